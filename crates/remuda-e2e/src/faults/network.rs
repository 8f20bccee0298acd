//! Networks that lose, delay and cut.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::Field;

/// Longer than it takes to give up a link that is silent.
const SILENT_MS: (u64, u64) = (17_000, 22_000);

pub(super) async fn partition(field: &mut Field) {
    let controls = field.controls.clone();
    let leader = field.leader().await;
    match field.rng.u32(..3) {
        0 => {
            field.note(format!("{leader}, which leads, is alone"));
            field.lan.cut(std::slice::from_ref(&leader), &field.others(&leader));
        }
        1 => {
            let others = field.others(&leader);
            let follower = others[field.rng.usize(..others.len())].clone();
            field.note(format!("{follower}, which follows, is alone"));
            field.lan.cut(std::slice::from_ref(&follower), &field.others(&follower));
        }
        _ => {
            field.note("each control node is alone");
            for (number, one) in controls.iter().enumerate() {
                field.lan.cut(std::slice::from_ref(one), &controls[number + 1..]);
            }
        }
    }
    field.last(2000, 8000).await;
}

pub(super) async fn one_way(field: &mut Field) {
    let leader = field.leader().await;
    let others = field.others(&leader);
    let alone = std::slice::from_ref(&leader);
    match field.rng.u32(..3) {
        0 => {
            field.note(format!("{leader}, which leads, is deaf"));
            field.lan.mute(&others, alone);
        }
        1 => {
            field.note(format!("{leader}, which leads, is mute"));
            field.lan.mute(alone, &others);
        }
        _ => {
            field.note("each control node hears one of the others");
            let controls = field.controls.clone();
            for number in 0..controls.len() {
                let next = (number + 1) % controls.len();
                field.lan.mute(&controls[number..=number], &controls[next..=next]);
            }
        }
    }
    field.last(2000, 8000).await;
}

pub(super) async fn worker_partition(field: &mut Field) {
    let worker = field.some_worker();
    field.note(format!("{worker} reaches nobody"));
    let controls = field.controls.clone();
    field.lan.cut(std::slice::from_ref(&worker), &controls);
    field.last(SILENT_MS.0, SILENT_MS.1).await;
}

pub(super) async fn flapping(field: &mut Field) {
    let controls = field.controls.clone();
    let (one, others) = if field.rng.bool() {
        (field.some_worker(), controls)
    } else {
        let one = field.some_control();
        let others = field.others(&one);
        (one, others)
    };
    field.note(format!("the cable of {one} comes and goes"));
    let mut left_ms = 8000_u64;
    while left_ms > 0 {
        field.lan.cut(std::slice::from_ref(&one), &others);
        left_ms = left_ms.saturating_sub(field.last(50, 1500).await);
        field.lan.heal();
        left_ms = left_ms.saturating_sub(field.last(50, 1500).await);
    }
}

pub(super) async fn packet_loss(field: &mut Field) {
    let percent = [1, 5, 20, 40][field.rng.usize(..4)];
    field.note(format!("{percent} % of all packets are lost"));
    field.lan.lose(percent);
    field.last(5000, 8000).await;
}

/// The agent dies while nobody can hear of it: its owner keeps a link to nobody, and the next agent
/// comes while that one counts as alive.
pub(super) async fn half_open(field: &mut Field) {
    let worker = field.some_worker();
    let controls = field.controls.clone();
    field.note(format!("{worker} is cut off"));
    field.lan.cut(std::slice::from_ref(&worker), &controls);
    // What is on its way arrives.
    tokio::time::sleep(Duration::from_millis(50)).await;
    field.kill(&worker);
    field.last(0, 3000).await;
    field.lan.heal();
    field.start(&worker).await;
}

pub(super) async fn reconnect_storm(field: &mut Field) {
    let names = field.lab.names();
    field.note("all connections are reset");
    // Whoever speaks learns that there is no connection; stopped processes do not speak first.
    let quiet = field.rng.bool().then(|| field.controls[0].clone());
    if let Some(control) = &quiet {
        field.signal(control, Signal::SIGSTOP);
    }
    field.lan.reset(&names);
    field.last(500, 2000).await;
    field.lan.heal();
    if let Some(control) = &quiet {
        field.signal(control, Signal::SIGCONT);
    }
}
