//! A million targets: within bounds of memory and time.

use std::{fs, time::Duration};

use remuda::client::dto::{GroupQuery, RecordQuery};
use remuda_e2e::Lab;
use remuda_model::run::{Outcome, RunState, RunView};
use tokio::time::{Instant, sleep, timeout};

const TARGETS: u32 = 1_000_000;
/// The most that an agent, which does all of it here, may take.
const MOST_KIB: u64 = 1 << 20;
/// The longest that the run may take, and its start, on a machine that others use too.
const LONGEST: Duration = Duration::from_mins(6);

/// The most memory that a process ever had.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    peak.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_targets_are_within_bounds() {
    // Policy forbids loopback, so that nothing is waited for.
    let lab = Lab::start(1, 0).await;
    let targets = "127.[0-15].[0-249].[0-249]";
    let start = ["fanout", "http", "GET", "http://{{host}}/", "-t", targets];
    let start = [&start[..], &["--id", "million", "--detach"]].concat();
    let mut start = tokio::process::Command::from(lab.command("c1", &start));
    let started = timeout(LONGEST, start.kill_on_drop(true).output()).await.expect("in time");
    let started = started.expect("it runs");
    assert!(started.status.success(), "{started:?}");

    let client = lab.client("c1");
    let (run, begun) = ("million".parse().expect("an id"), Instant::now());
    let view: RunView = loop {
        let view = client.run(&run).await.expect("it answers all the while");
        if view.state.has_ended() {
            break view;
        }
        assert!(begun.elapsed() < LONGEST, "{view:#?}");
        sleep(Duration::from_millis(200)).await;
    };
    assert_eq!((view.state, view.targets), (RunState::Finished, TARGETS), "{view:#?}");
    assert_eq!(view.counts.get(&Outcome::Blocked), Some(&TARGETS), "{view:#?}");
    let by_trouble = GroupQuery { by: "trouble".to_owned(), ..GroupQuery::default() };
    let groups = client.run_groups(&run, &by_trouble).await.expect("grouped");
    assert_eq!((groups.total, groups.list[0].count), (TARGETS, TARGETS), "{groups:#?}");
    assert_eq!(groups.list[0].value.as_deref(), Some("policy"));
    let last = RecordQuery { host: Some("127.15.249.249".to_owned()), ..RecordQuery::default() };
    let mut last = client.run_records(&run, &last).await.expect("records");
    assert!(last.next().await.expect("records").is_some(), "the last target has none");
    assert_eq!(last.next().await, Ok(None));
    let peak = peak_kib(lab.node("c1").pid().expect("it runs"));
    assert!(peak < MOST_KIB, "{peak} KiB");
}
