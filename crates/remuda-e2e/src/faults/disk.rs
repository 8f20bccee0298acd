//! Disks that lose power, rot, fill, slow down and fail.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    Field,
    shim::{self, Ill},
};
use crate::{eventually, id};

/// How much of the end of a log is cut off at most: a few records.
const TORN: u64 = 300;

/// Some control nodes, or all of them, lose power at once.
pub(super) async fn power_cut(field: &mut Field) {
    let victims = match field.rng.u32(..3) {
        0 => vec![field.leader().await],
        1 => vec![field.some_control()],
        _ => field.controls.clone(),
    };
    field.note(format!("power is cut at {}", victims.join(", ")));
    for victim in &victims {
        field.lab.node_mut(victim).kill9();
    }
    for victim in &victims {
        field.lab.image_mut(victim).cut();
    }
    for victim in &victims {
        field.lab.node_mut(victim).start();
    }
    for victim in &victims {
        field.lab.node_mut(victim).ready().await;
    }
}

/// A control node other than the leader; what it loses here, others have.
async fn follower(field: &mut Field) -> String {
    let leader = field.leader().await;
    let others = field.others(&leader);
    others[field.rng.usize(..others.len())].clone()
}

pub(super) async fn torn_log(field: &mut Field) {
    let victim = follower(field).await;
    field.kill(&victim);
    let log = newest_log(&field.lab.node(&victim).dir().join("control/replica/log"));
    let size = fs::metadata(&log).expect("a log").len();
    let cut = field.rng.u64(1..=TORN.min(size / 2));
    field.note(format!("the last {cut} bytes of the log of {victim} are gone"));
    let file = fs::File::options().write(true).open(&log).expect("a log");
    file.set_len(size - cut).expect("cut");
    field.start(&victim).await;
}

fn newest_log(dir: &Path) -> PathBuf {
    let mut files = files(dir);
    files.retain(|path| !path.ends_with("LOCK"));
    files.pop().expect("a log has a file")
}

/// All files below a directory, sorted, that hold something.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            found.extend(files(&path));
        } else if kind.is_file() && entry.metadata().is_ok_and(|file| file.len() > 0) {
            found.push(path);
        }
    }
    found.sort_unstable();
    found
}

/// One bit flips. The node must go on rightly, or refuse with words; then it is rebuilt as the words
/// say.
pub(super) async fn corrupt(field: &mut Field) {
    let victim = if field.rng.bool() { "c2" } else { "c3" };
    field.kill(victim);
    let dir = field.lab.node(victim).dir().to_owned();
    let mut candidates: Vec<PathBuf> = files(&dir.join("control"));
    candidates.extend(files(&dir.join("worker")));
    candidates.retain(|path| !path.ends_with("LOCK"));
    let file = field.rng.choice(&candidates).expect("a node has files").clone();
    let mut bytes = fs::read(&file).expect("ours");
    let at = field.rng.usize(..bytes.len());
    bytes[at] ^= 1 << field.rng.u32(..8);
    fs::write(&file, bytes).expect("ours");
    let shown = file.strip_prefix(&dir).expect("below").display().to_string();
    field.note(format!("a bit of byte {at} of {shown} of {victim} flips"));

    let before = field.lab.node(victim).log().len();
    field.lab.node_mut(victim).start();
    if field.lab.node_mut(victim).settled().await {
        return;
    }
    let log = field.lab.node(victim).log().split_off(before);
    assert!(log.contains("hint:"), "{victim} ends without a word of help:\n{log}");
    assert!(!log.contains("panicked at"), "{victim} panicked:\n{log}");
    if log.contains("move worker.redb away") {
        field.note(format!("{victim} refuses to start and loses its old records"));
        let records = dir.join("worker/worker.redb");
        fs::rename(&records, records.with_extension("damaged")).expect("ours");
        field.start(victim).await;
        return;
    }
    field.note(format!("{victim} refuses to start and is rebuilt"));
    let client = field.client("c1");
    let node = id(victim);
    let remove = async || match client.remove_control(&node).await {
        Err(failure) if failure.code == "unknown_node" => Ok(()),
        other => other,
    };
    eventually(&format!("{victim} is removed"), remove, Result::is_ok).await.expect("seen");
    field.lab.forget(victim);
    field.join_anew(victim).await;
}

/// Until the node is started again with space, the others go on.
pub(super) async fn full(field: &mut Field) {
    let victim = field.some_control();
    field.note(format!("the disk of {victim} is full"));
    field.lab.disk(&victim).fill();
    stopped(field, &victim).await;
    field.kill(&victim);
    field.lab.disk(&victim).free();
    field.start(&victim).await;
}

/// Waits until a control node says that its replica has stopped.
async fn stopped(field: &Field, victim: &str) {
    let client = field.client(victim).stale();
    let reasons = async || client.cluster().await.map(|cluster| cluster.reasons);
    let good = |seen: &Result<Vec<String>, _>| {
        seen.as_ref().is_ok_and(|reasons| reasons.iter().any(|why| why.contains("has stopped")))
    };
    eventually(&format!("{victim} says that it has stopped"), reasons, good).await.expect("seen");
}

pub(super) async fn slow(field: &mut Field) {
    let victims = match field.rng.u32(..3) {
        0 => vec![field.leader().await],
        1 => vec![follower(field).await],
        _ => field.controls.clone(),
    };
    let ms = [50, 500, 2000][field.rng.usize(..3)];
    field.note(format!("each sync of {} takes {ms} ms more", victims.join(", ")));
    let dir = field.lab.dir().to_owned();
    for victim in &victims {
        shim::fall_ill(&dir, victim, Ill::Slow(ms));
    }
    field.last(4000, 7000).await;
    for victim in &victims {
        shim::recover(&dir, victim);
    }
}

/// A sync that failed is never tried again: nobody knows what the disk has.
pub(super) async fn error(field: &mut Field) {
    let victim = field.some_control();
    field.note(format!("one sync of the log of {victim} fails"));
    let dir = field.lab.dir().to_owned();
    shim::fall_ill(&dir, &victim, Ill::Fails);
    let done = async || !shim::is_ill(&dir, &victim);
    eventually("a sync fails", done, |done| *done).await;
    stopped(field, &victim).await;
    field.kill(&victim);
    field.start(&victim).await;
}
