//! Local clusters: they are what they say, end as a whole, and leave nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use remuda_e2e::{Finished, Place, eventually, finish, mentioning, processes, remuda, within};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;

const SMALL: [&str; 5] = ["dev", "--controls", "1", "--workers", "1"];

/// The home of one user, with all that this user's programs write.
struct Home {
    dir: TempDir,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("tmp")).expect("a folder");
        Self { dir }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn place(&self) -> Place {
        let path = |below| self.path(below).to_str().expect("UTF-8").to_owned();
        Place::default().with("HOME", &path("")).with("TMPDIR", &path("tmp"))
    }

    async fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = self.place().command(remuda());
        command.args(arguments);
        finish(command).await
    }

    /// Runs a script against a small cluster.
    async fn script(&self, options: &[&str], script: &str) -> Finished {
        self.run(&[&SMALL, options, &["--", "sh", "-c", script]].concat()).await
    }

    /// Starts a small cluster and waits until it says that it is there.
    async fn start(&self, name: &str, options: &[&str]) -> Dev {
        let said = self.path(name);
        let mut command = self.place().command(remuda());
        command.args([&SMALL, options, &["--json"]].concat()).stdin(Stdio::null());
        command.stdout(fs::File::create(&said).expect("a file"));
        let log = self.path(&format!("{name}.log"));
        command.stderr(fs::File::create(&log).expect("a file"));
        let mut command = tokio::process::Command::from(command);
        let mut child = command.kill_on_drop(true).spawn().expect("it starts");
        let probe = async || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("{name} ended: {status}\n{}", fs::read_to_string(&log).expect("a log"));
            }
            serde_json::from_slice(&fs::read(&said).unwrap_or_default()).ok()
        };
        let said: Value = eventually(name, probe, Option::is_some).await.expect("seen");
        Dev { child, said }
    }

    /// Whatever of this user still runs.
    async fn wait_empty(&self) {
        let home = self.dir.path().to_str().expect("UTF-8");
        let left = async || mentioning(home);
        eventually("nothing is left", left, Vec::is_empty).await;
    }

    fn temporary(&self) -> usize {
        fs::read_dir(self.path("tmp")).expect("a folder").count()
    }
}

/// A local cluster that runs.
struct Dev {
    child: Child,
    said: Value,
}

impl Dev {
    fn text(&self, key: &str) -> &str {
        self.said[key].as_str().unwrap_or_else(|| panic!("no {key} in {}", self.said))
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().expect("it runs")).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("a process of ours");
    }

    async fn ended(mut self) -> Option<i32> {
        within("the end", self.child.wait()).await.expect("a process of ours").code()
    }
}

/// A number of seconds that no other process of this machine sleeps for.
fn marker(test: u32) -> String {
    format!("{}.{test}7", 500_000 + std::process::id())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_command_passes_through() {
    let home = Home::new();
    let script = "remuda exec dev2 -- sh -c 'exit 3'; test $? = 3 || exit 99; \
                  remuda node list --json; exit 42";
    let ended = home.script(&["--label", "dev2=gpu;model=a100"], script).await;
    assert_eq!(ended.code, Some(42), "{ended:?}");
    let nodes: Value = serde_json::from_str(&ended.stdout).expect("only the command's output");
    let labels: Vec<_> =
        nodes.as_array().expect("nodes").iter().map(|node| &node["labels"]).collect();
    assert_eq!(labels, ["", "gpu;model=a100"]);

    let killed = home.script(&[], "kill -TERM $$").await;
    assert_eq!(killed.code, Some(128 + 15), "{killed:?}");
    let missing = home.run(&[&SMALL[..], &["--", "/no/such/program"]].concat()).await;
    assert!(missing.code.is_some_and(|code| code != 0), "{missing:?}");
    assert!(missing.stderr.contains("/no/such/program"), "{missing:?}");
    home.wait_empty().await;
    assert_eq!(home.temporary(), 0, "files are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_them_live_side_by_side() {
    let home = Home::new();
    let first = home.start("first", &["--label", "dev1=first"]).await;
    let second = home.start("second", &["--label", "dev1=second"]).await;
    assert_ne!(first.text("api"), second.text("api"));
    assert_ne!(first.text("context"), second.text("context"));
    for (dev, label) in [(&first, "first"), (&second, "second")] {
        let arguments = ["node", "label", "dev1", "--context", dev.text("context")];
        let ended = home.run(&arguments).await;
        assert_eq!((ended.code, ended.stdout.trim()), (Some(0), label), "{ended:?}");
    }
    // The first one started is the one that commands mean by themselves.
    assert_eq!(home.run(&["node", "label", "dev1"]).await.stdout.trim(), "first");
    let crossed = home
        .run(&["node", "list", "--addr", second.text("api"), "--token", first.text("token")])
        .await;
    assert_eq!(crossed.code, Some(6), "tokens of one are nothing to the other: {crossed:?}");

    let context = second.text("context").to_owned();
    first.signal(Signal::SIGINT);
    assert_eq!(first.ended().await, Some(0));
    let ended = home.run(&["exec", "--context", &context, "dev2", "--", "echo", "still"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "still\n"), "{ended:?}");
    second.signal(Signal::SIGTERM);
    second.ended().await;
    home.wait_empty().await;
    assert_eq!(home.temporary(), 0, "files are left");
    let contexts = fs::read_to_string(home.path(".config/remuda/contexts.toml")).expect("kept");
    assert!(!contexts.contains("rmt1."), "secrets of dead clusters are left: {contexts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_one_leaves_no_process() {
    let home = Home::new();
    let mut dev = home.start("dev", &[]).await;
    let marker = marker(1);
    for arguments in [
        vec!["exec", "dev1", "--detach", "--", "sleep", &marker],
        vec!["exec", "dev2", "--detach", "--", "sleep", &marker],
        // One that does not obey.
        vec![
            "exec",
            "dev2",
            "--detach",
            "--",
            "sh",
            "-c",
            "trap '' TERM; while :; do sleep 1; done",
        ],
    ] {
        let ended = home.run(&arguments).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    assert_eq!(processes(&["sleep", &marker]).len(), 2);
    dev.child.kill().await.expect("a process of ours");
    home.wait_empty().await;
    let tasks = async || processes(&["sleep", &marker]).len();
    eventually("the tasks are gone", tasks, |seen| *seen == 0).await;
    // The next one is not disturbed, and cleans up.
    let next = home.script(&[], "remuda exec --all -- true").await;
    assert_eq!(next.code, Some(0), "{next:?}");
    home.wait_empty().await;
    assert_eq!(home.temporary(), 0, "files are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_one_is_resumed_however_it_ended() {
    let home = Home::new();
    let kept = home.path("kept");
    let options = ["--data-dir", kept.to_str().expect("UTF-8")];
    let mut dev = home.start("dev", &options).await;
    let made = home.run(&["token", "create", "mine", "--scope", "admin", "--json"]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let made: Value = serde_json::from_str(&made.stdout).expect("JSON");
    let secret = find_token(&made).expect("a token in the answer");
    assert_eq!(home.run(&["node", "label", "dev2", "rack=7"]).await.code, Some(0));
    let beside = home.run(&[&SMALL[..], &options].concat()).await;
    assert!(beside.code.is_some_and(|code| code != 0), "{beside:?}");
    assert!(beside.stderr.contains("another `remuda dev` uses"), "{beside:?}");

    // Killed: whatever was acknowledged is there.
    dev.child.kill().await.expect("a process of ours");
    home.wait_empty().await;
    let dev = home.start("dev", &options).await;
    let works = async |dev: &Dev| {
        let arguments = ["node", "label", "dev2", "--addr", dev.text("api"), "--token", &secret];
        let ended = home.run(&arguments).await;
        assert_eq!((ended.code, ended.stdout.trim()), (Some(0), "rack=7"), "{ended:?}");
    };
    works(&dev).await;
    dev.signal(Signal::SIGINT);
    assert_eq!(dev.ended().await, Some(0));
    home.wait_empty().await;

    // Ended in order: the same.
    let dev = home.start("dev", &options).await;
    works(&dev).await;
    drop(dev);
    home.wait_empty().await;
    let more = home.run(&["dev", "--controls", "3", options[0], options[1]]).await;
    assert!(more.code.is_some_and(|code| code != 0), "{more:?}");
    assert!(
        more.stderr.contains("has 1 control node") && more.stderr.contains("hint:"),
        "{more:?}"
    );
}

fn find_token(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.starts_with("rmt1.") => Some(text.clone()),
        Value::Object(fields) => fields.values().find_map(find_token),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_options_are_refused_before_anything_starts() {
    let home = Home::new();
    let file = home.path("file");
    fs::write(&file, "").expect("written");
    let below = file.join("data");
    for (options, code, words) in [
        (vec!["--controls", "0"], 2, "--controls"),
        (vec!["--controls", "many"], 2, "--controls"),
        (vec!["--workers", "65"], 2, "--workers"),
        (vec!["--label", "dev1"], 2, "--label"),
        (vec!["--label", "dev1=;;"], 2, "--label"),
        (vec!["--label", "dev9=gpu"], 2, "dev9"),
        (vec!["--colour"], 2, "--colour"),
        (vec!["--data-dir", text(&below)], 1, "data"),
    ] {
        let arguments = [&["dev"], options.as_slice(), &["--", "true"]].concat();
        let ended = home.run(&arguments).await;
        assert_eq!(ended.code, Some(code), "{options:?}: {ended:?}");
        assert!(ended.stderr.contains(words), "{options:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{options:?}");
    }
    home.wait_empty().await;
    assert_eq!(home.temporary(), 0, "files are left");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
