//! A million targets: within bounds of memory and time.

use std::{fs, time::Duration};

use remuda_e2e::{Lab, finish};
use remuda_model::run::{Outcome, RunState, RunView};
use tokio::time::{Instant, sleep};

use crate::field::{fanout, json};

const TARGETS: u32 = 1_000_000;
/// The most that an agent, which does all of it here, may take.
const MOST_KIB: u64 = 1 << 20;
/// The longest that the run may take, on a machine that others use too.
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
    let url = "http://{{host}}/";
    let targets = "127.[0-15].[0-249].[0-249]";
    let start = ["http", "GET", url, "-t", targets, "--id", "million", "--detach"];
    let started = finish(lab.command("c1", &[&["fanout"], &start[..]].concat())).await;
    assert_eq!(started.code, Some(0), "{started:#?}");
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
    let groups = json(&lab, "c1", &["group", "million", "--by", "trouble"]).await;
    assert_eq!(groups["total"], TARGETS, "{groups}");
    assert_eq!(groups["list"][0]["value"], "policy", "{groups}");
    let last = ["results", "million", "--host", "127.15.249.249", "--json"];
    let last = fanout(&lab, "c1", &last).await;
    assert_eq!(last.stdout.lines().count(), 1, "{last:#?}");
    let peak = peak_kib(lab.node("c1").pid().expect("it runs"));
    assert!(peak < MOST_KIB, "{peak} KiB");
}
