//! Files to nodes, from nodes and between nodes: whole or not at all, whatever breaks off meanwhile.

use std::{fs, path::Path};

use remuda::client::{Client, LocalFile};
use remuda_e2e::{
    Copying, Finished, Lab, Namespace, Place, eventually, exec, finish, id, pair,
    random_file as file, within,
};
use serde_json::Value;

const MB: usize = 1 << 20;

/// A place where `/srv` is a disk of its own, with so many megabytes.
fn with_disk(megabytes: u32) -> Place {
    Place::behind(&disk(megabytes).each_ref().map(String::as_str))
}

/// What comes before a program that is to have such a disk.
fn disk(megabytes: u32) -> [String; 5] {
    let mount = format!("mount -t tmpfs -o size={megabytes}m srv /srv && exec \"$0\" \"$@\"");
    ["unshare", "--mount", "sh", "-c", &mount].map(str::to_owned)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

async fn copy(lab: &Lab, at: &str, arguments: &[&str]) -> Finished {
    lab.cli(at, &[&["cp"], arguments].concat()).await
}

async fn copied(lab: &Lab, at: &str, arguments: &[&str]) -> Vec<String> {
    let ended = copy(lab, at, arguments).await;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:#?}");
    let mut lines: Vec<_> = ended.stdout.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// What is in a directory of a node, hidden files included.
async fn listing(client: &Client, node: &str, dir: &str) -> String {
    let (listing, _) = exec(client, node, &["ls", "-A", dir]).await.expect("runs");
    listing
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_to_all_nodes_back_and_from_node_to_node() {
    let mut lab = Lab::start(1, 0).await;
    for worker in ["w1", "w2"] {
        lab.join_at(&with_disk(64), worker, &["--files", "/srv", "--labels", "disk"]).await;
    }
    lab.wait_ready(3).await;
    let source = file(&lab, "source", 5 * MB + 3);
    let local = LocalFile::read(&source).await.expect("reads");
    let client = lab.client("c1");

    let lines = copied(&lab, "c1", &[text(&source), "--on", "disk:/srv/new/"]).await;
    assert_eq!(lines, ["w1:/srv/new/source", "w2:/srv/new/source"]);
    let again = copied(&lab, "c1", &[text(&source), "--on", "disk:/srv/new/"]).await;
    assert_eq!(again[0], "w1:/srv/new/source (was there)");

    let back = lab.dir().join("back");
    copied(&lab, "c1", &["w1:/srv/new/source", text(&back), "--mode", "600"]).await;
    assert!(fs::read(&back).expect("is there") == fs::read(&source).expect("is there"));

    copied(&lab, "c1", &["w1:/srv/new/source", "w2:/srv/moved", "--mode", "755"]).await;
    let moved = client.node_file(&id("w2"), "/srv/moved").await.expect("is there");
    assert_eq!((moved.digest, moved.mode), (local.digest, 0o755));
    assert_eq!(listing(&client, "w2", "/srv").await, "moved\nnew\n");
}

/// It fits when it begins; then somebody else takes the room.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_meanwhile_is_left_without_halves_in_namespaces() {
    let (near, far) = pair();
    let listen = format!("remuda://{}:0", near.address());
    let mut lab = Lab::found(&near.place(), &["--listen", &listen]).await;
    let disk = disk(24);
    let disk = disk.each_ref().map(String::as_str);
    let place = Place::behind(&[&["ip", "netns", "exec", far.name()], &disk[..]].concat());
    lab.join_at(&place, "w1", &["--files", "/srv"]).await;
    lab.wait_only_ready("c1", &["c1", "w1"]).await;
    near.slow(20);
    let source = file(&lab, "source", 16 * MB);
    let copying = lab.command("c1", &["cp", text(&source), "w1:/srv/copy"]);
    let copying = tokio::spawn(finish(copying));
    let sizes = ["exec", "w1", "--", "sh", "-c", "cat /srv/.copy.*.part | wc -c"];
    let arrived = async || lab.cli("c1", &sizes).await.stdout.trim().parse().unwrap_or(0);
    eventually("the first bytes", arrived, |bytes: &u64| *bytes > 0).await;
    let fill = ["exec", "w1", "--", "sh", "-c", "cat /dev/zero > /srv/other"];
    let filled = lab.cli("c1", &fill).await;
    assert!(filled.stderr.contains("No space left"), "{filled:#?}");
    let copied = within("the end of a copy", copying).await.expect("ends");
    assert_eq!(copied.code, Some(4), "{copied:#?}");
    assert!(copied.stderr.contains("the disk is full"), "{copied:#?}");
    let left = lab.cli("c1", &["exec", "w1", "--", "ls", "-A", "/srv"]).await;
    assert_eq!(left.stdout, "other\n", "{left:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_written_or_read_is_refused_with_words() {
    let mut lab = Lab::start(1, 0).await;
    lab.join_at(&with_disk(8), "w1", &["--files", "/srv"]).await;
    lab.wait_ready(2).await;
    let client = lab.client("c1");
    let big = file(&lab, "big", 20 * MB);
    let small = file(&lab, "small", 10);
    exec(&client, "w1", &["ln", "-s", "/etc", "/srv/way"]).await.expect("runs");
    exec(&client, "w1", &["mkfifo", "/srv/pipe"]).await.expect("runs");
    let dir = lab.node("c1").dir().canonicalize().expect("is there");
    let key = format!("c1:{}", text(&dir.join("node.json")));
    let local = lab.dir().join("fetched");
    for (from, to, code, words) in [
        (text(&big), "w1:/srv/big", 4, "no room"),
        (text(&small), "w1:/etc/small", 6, "the node allows /srv"),
        (text(&small), "w1:/srv/way/small", 6, "symbolic link"),
        (text(&small), "w1:/srv/../etc/small", 2, "`..`"),
        (text(&small), "w1:/srv/pipe", 2, "no regular file"),
        ("w1:/srv/pipe", text(&local), 2, "no regular file"),
        ("w1:/srv/none", text(&local), 3, "No such file"),
        ("w1:/etc/passwd", text(&local), 6, "the node allows /srv"),
        (&key, text(&local), 6, "cannot be used"),
        ("/nowhere/file", "w1:/srv/x", 3, "/nowhere/file"),
    ] {
        let refused = copy(&lab, "c1", &[from, to]).await;
        assert_eq!(refused.code, Some(code), "{from} {to}: {refused:#?}");
        assert!(refused.stderr.contains(words), "{from} {to}: {refused:#?}");
    }
    assert_eq!(listing(&client, "w1", "/srv").await, "pipe\nway\n");
    assert!(!local.exists());
    copied(&lab, "c1", &[text(&small), "w1:/srv/small"]).await;
    let other = file(&lab, "other", 11);
    let kept = copy(&lab, "c1", &[text(&other), "w1:/srv/small", "--no-clobber"]).await;
    assert_eq!(kept.code, Some(4), "{kept:#?}");
    let found = client.node_file(&id("w1"), "/srv/small").await.expect("is there");
    assert_eq!(found.size, 10);
}

/// `c1`, which sends so many megabits a second, in one namespace, and `w1` in another one.
async fn two_machines(megabits: u32, controls: &[&str]) -> (Lab, Namespace, Namespace) {
    let (near, far) = pair();
    let listen = format!("remuda://{}:0", near.address());
    let mut lab = Lab::found(&near.place(), &["--listen", &listen]).await;
    for control in controls {
        lab.join_at(&near.place(), control, &["--control", "--listen", &listen]).await;
    }
    let allowed = text(lab.dir()).to_owned();
    lab.join_at(&far.place(), "w1", &["--files", &allowed]).await;
    lab.wait_only_ready("c1", &[&["c1", "w1"], controls].concat()).await;
    near.slow(megabits);
    (lab, near, far)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_on_after_its_worker_was_killed_in_namespaces() {
    let (mut lab, _near, _far) = two_machines(400, &[]).await;
    let copying = Copying::begin(&lab, "c1", 48 * MB);
    copying.arrives().await;
    lab.node_mut("w1").kill9();
    lab.node_mut("w1").start();
    copying.succeeds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_on_when_the_owner_of_its_worker_is_killed_in_namespaces() {
    let (mut lab, _near, _far) = two_machines(400, &["c2", "c3"]).await;
    let shown = lab.cli("c1", &["node", "show", "w1", "--json"]).await.stdout;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let owner = shown["owner"].as_str().expect("is owned");
    let at = ["c1", "c2", "c3"].into_iter().find(|at| *at != owner).expect("another");
    let copying = Copying::begin(&lab, at, 48 * MB);
    copying.arrives().await;
    lab.node_mut(owner).kill9();
    copying.succeeds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_on_by_another_control_node_when_the_first_was_killed_in_namespaces() {
    let (mut lab, _near, _far) = two_machines(400, &["c2", "c3"]).await;
    let copying = Copying::begin(&lab, "c1", 48 * MB);
    copying.arrives().await;
    lab.node_mut("c1").kill9();
    let broken = copying.finished().await;
    assert_ne!(broken.code, Some(0), "{broken:#?}");
    lab.wait_only_ready("c2", &["c2", "c3", "w1"]).await;
    Copying::begin(&lab, "c2", 48 * MB).succeeds().await;
}
