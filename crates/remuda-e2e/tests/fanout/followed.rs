//! Somebody follows a run whose coordinator is lost: the rest comes from the next one, each record
//! once.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use remuda::client::dto::RunRecord;
use remuda_e2e::{Lab, attack::request, within};
use remuda_model::{
    RunId,
    run::{Outcome, RunState, RunView},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout},
};

use crate::{
    crowd::{Act, Crowd, hosts},
    field::{PATIENT, assert_kept, by_index, cluster, count, judged, listed, until},
    losses::{half, whole},
    takeover::{not_by, standby},
};

/// A command that prints records as lines of JSON until the run has ended.
struct Follower {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    records: Vec<RunRecord>,
}

/// What such a command came to.
#[derive(Debug)]
struct Seen {
    code: Option<i32>,
    stderr: String,
    records: Vec<RunRecord>,
}

impl Follower {
    /// `remuda fanout results RUN --follow`.
    fn begin(lab: &Lab, at: &str, run: &RunId, options: &[&str]) -> Self {
        let arguments = ["fanout", "results", run.as_str(), "--follow", "--json"];
        Self::of(lab.command(at, &[&arguments[..], options].concat()))
    }

    fn of(command: Command) -> Self {
        let mut command = tokio::process::Command::from(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("the binary runs");
        let stdout = child.stdout.take().expect("a pipe");
        Self { child, lines: BufReader::new(stdout).lines(), records: Vec::new() }
    }

    async fn line(&mut self) -> Option<RunRecord> {
        let line = within("a line of the follower", self.lines.next_line()).await;
        let line = line.expect("text")?;
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// Waits until it has printed so many.
    async fn has(&mut self, number: usize) {
        while self.records.len() < number {
            let record = self.line().await.expect("it goes on");
            self.records.push(record);
        }
    }

    /// Waits for its end.
    async fn ended(mut self) -> Seen {
        while let Some(record) = self.line().await {
            self.records.push(record);
        }
        let ended = within("the follower", self.child.wait_with_output()).await.expect("it ends");
        let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
        Seen { code: ended.status.code(), stderr, records: self.records }
    }
}

impl Seen {
    /// Each of these records was printed once, and nothing else was.
    fn assert_whole(self, code: i32, kept: &[RunRecord]) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert_eq!(self.records.len(), kept.len(), "{}", self.stderr);
        assert_eq!(by_index(self.records), by_index(kept.to_vec()));
    }
}

/// The events of `…/progress`.
struct Progress(Lines<BufReader<TcpStream>>);

impl Progress {
    async fn begin(lab: &Lab, at: &str, run: &RunId) -> Self {
        let api = lab.node(at).api().trim_start_matches("http://").to_owned();
        let path = format!("/v1/fanout/{run}/progress");
        let asked = request(&api, "GET", &path, Some(lab.admin_token()), "");
        let mut socket = TcpStream::connect(&api).await.expect("the API listens");
        socket.write_all(asked.as_bytes()).await.expect("it listens");
        let mut begun = Self(BufReader::new(socket).lines());
        let first = begun.next().await.expect("an event");
        assert_eq!(first.id, *run);
        begun
    }

    /// The next event, or none after the last.
    async fn next(&mut self) -> Option<RunView> {
        loop {
            let line = within("an event", self.0.next_line()).await.expect("text")?;
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(data).expect("a run"));
            }
        }
    }

    /// Waits until it says that nobody can be asked.
    async fn is_out_of_reach(&mut self, coordinator: &str) {
        let text = format!("control node `{coordinator}`, which coordinates it, is out of reach");
        loop {
            let view = self.next().await.expect("it goes on");
            if view.reason.as_ref() == Some(&text) {
                assert_eq!(view.state, RunState::Waiting, "{view:#?}");
                return;
            }
        }
    }

    /// Reads to the end, which is that of the run.
    async fn ended(mut self) -> RunView {
        let mut last = self.next().await.expect("it goes on");
        while let Some(view) = self.next().await {
            assert!(!last.state.has_ended(), "{last:#?}");
            last = view;
        }
        assert!(last.state.has_ended(), "{last:#?}");
        last
    }
}

/// The coordinator dies in mid-run. One follows at the control node with the second copy, or at the
/// third one.
async fn follows(at_standby: bool) {
    let mut lab = cluster(3, 1).await;
    let half = half(&lab, "c2", &["--on", "node==w1"]).await;
    let next = standby(&lab.client("c2"), &half.run).await;
    let third = ["c1", "c3"].into_iter().find(|node| *node != next).expect("a third");
    let at = if at_standby { &next } else { third };
    let run = half.run.clone();
    let mut all = Follower::begin(&lab, at, &run, &[]);
    let mut some = Follower::begin(&lab, at, &run, &["--outcome", "ok", "--limit", "300"]);
    let mut progress = Progress::begin(&lab, at, &run).await;
    let before = half.before.clone();
    all.has(before.len()).await;
    some.has(before.len()).await;

    lab.node_mut("c2").kill9();
    progress.is_out_of_reach("c2").await;
    let client = lab.client(at);
    let view = until(&client, &run, "is taken over", not_by("c2")).await;
    assert_eq!(view.coordinator.as_str(), next);
    whole(&lab, at, half).await;

    let kept = judged(&client, &run).await;
    let last = progress.ended().await;
    assert_eq!((last.state, last.done), (RunState::Finished, last.targets));
    assert_eq!(last.counts.get(&Outcome::Ok), Some(&last.targets));
    let some = some.ended().await;
    assert_eq!((some.code, some.records.len()), (Some(0), 300), "{}", some.stderr);
    assert_eq!(by_index(some.records.clone()).len(), 300, "some came twice");
    assert_kept(some.records, kept.clone());
    let all = all.ended().await;
    assert_kept(before, all.records.clone());
    all.assert_whole(0, &kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_elsewhere_sees_each_target_once_when_the_coordinator_dies() {
    follows(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_at_the_second_copy_sees_each_target_once_when_the_coordinator_dies() {
    follows(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_stopped_leaves_a_followed_run_to_the_next_one() {
    let mut lab = cluster(3, 1).await;
    let half = half(&lab, "c2", &["--on", "node==w1"]).await;
    let next = standby(&lab.client("c2"), &half.run).await;
    let third = ["c1", "c3"].into_iter().find(|node| *node != next).expect("a third");
    let run = half.run.clone();
    let mut follower = Follower::begin(&lab, third, &run, &[]);
    follower.has(half.before.len()).await;
    assert_eq!(lab.node_mut("c2").terminate().await, Some(0));
    let client = lab.client(third);
    until(&client, &run, "is taken over", not_by("c2")).await;
    whole(&lab, third, half).await;
    follower.ended().await.assert_whole(0, &judged(&client, &run).await);
}

/// Two control nodes keep no second copy: the run waits for its coordinator.
#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_comes_back_is_followed_on() {
    let mut lab = cluster(2, 1).await;
    let half = half(&lab, "c2", &["--on", "node==w1"]).await;
    let run = half.run.clone();
    let mut follower = Follower::begin(&lab, "c1", &run, &[]);
    let mut progress = Progress::begin(&lab, "c1", &run).await;
    follower.has(half.before.len()).await;
    lab.node_mut("c2").kill9();
    progress.is_out_of_reach("c2").await;
    lab.node_mut("c2").start();
    lab.node_mut("c2").ready().await;
    whole(&lab, "c1", half).await;
    assert_eq!(progress.ended().await.state, RunState::Finished);
    follower.ended().await.assert_whole(0, &judged(&lab.client("c1"), &run).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_taken_from_where_it_was_begun_ends_there_with_its_exit_code() {
    let lab = cluster(3, 1).await;
    let crowd = Crowd::held(|host| match host.octets()[3] {
        1 => Act::Answer(503, b"away".to_vec()),
        _ => Act::ok("here"),
    })
    .await;
    let (targets, url) = (listed(&lab, "hosts.txt", &hosts(400)), crowd.url("/health"));
    let arguments = ["fanout", "http", "GET", &url, "--targets", &targets, "--id", "mine"];
    let options = ["--json", "--on", "node==w1", "--fixed", "--concurrency", "100"];
    let command = lab.command("c2", &[&arguments[..], &options, &PATIENT].concat());
    let mut follower = Follower::of(command);
    crowd.until("the first are asked", |busy| busy.now == 100).await;
    crowd.let_through(150);
    follower.has(150).await;
    let run: RunId = "mine".parse().expect("an id");
    standby(&lab.client("c2"), &run).await;

    lab.node("c2").signal(Signal::SIGSTOP);
    let client = lab.client("c1");
    until(&client, &run, "is taken over", not_by("c2")).await;
    lab.node("c2").signal(Signal::SIGCONT);
    crowd.open();
    let seen = follower.ended().await;
    let kept = judged(&client, &run).await;
    assert_eq!((count(&kept, Outcome::Ok), count(&kept, Outcome::Unexpected)), (398, 2));
    seen.assert_whole(7, &kept);
}
