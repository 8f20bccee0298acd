//! What all these tests do: start runs, wait for them, and judge what became of their targets.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    fs,
    path::PathBuf,
};

use remuda::client::{
    Client,
    dto::{RecordQuery, RunRecord},
};
use remuda_e2e::{Finished, Lab, eventually, within};
use remuda_model::{
    RunId,
    run::{Counts, Outcome, RunState, RunView},
};
use serde_json::Value;

use crate::crowd::Crowd;

/// Lets agents contact the machines of the tests.
pub(crate) const LOOPBACK: &str = "--fanout-allow-loopback";

/// A cluster that may contact loopback.
pub(crate) async fn cluster(controls: usize, workers: usize) -> Lab {
    let lab = Lab::start_with(controls, workers, &[LOOPBACK]).await;
    for number in 1..=controls {
        // Each knows of the runs of all.
        let client = lab.client(&format!("c{number}"));
        let silent = async || client.runs().await.map(|found| found.unreachable);
        let none = |silent: &Result<Vec<_>, _>| silent.as_ref().is_ok_and(Vec::is_empty);
        eventually("all control nodes answer", silent, none).await.expect("seen");
    }
    lab
}

/// A command of `remuda fanout`.
pub(crate) async fn fanout(lab: &Lab, at: &str, arguments: &[&str]) -> Finished {
    lab.cli(at, &[&["fanout"], arguments].concat()).await
}

/// One that must succeed; its standard output.
pub(crate) async fn said(lab: &Lab, at: &str, arguments: &[&str]) -> String {
    let ended = fanout(lab, at, arguments).await;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:#?}");
    ended.stdout
}

/// One that must succeed and say JSON.
pub(crate) async fn json(lab: &Lab, at: &str, arguments: &[&str]) -> Value {
    let text = said(lab, at, &[arguments, &["--json"]].concat()).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

/// A file of targets, one a line.
pub(crate) fn listed<T: Display>(lab: &Lab, name: &str, hosts: &[T]) -> String {
    let lines: Vec<String> = hosts.iter().map(|host| format!("{host}\n")).collect();
    written(lab, name, &lines.concat())
}

/// A file beside the nodes.
pub(crate) fn written(lab: &Lab, name: &str, text: &str) -> String {
    let path: PathBuf = lab.dir().join(name);
    fs::write(&path, text).expect("it is written");
    path.to_str().expect("UTF-8").to_owned()
}

/// However long a test holds them up, targets do not end for want of time.
pub(crate) const PATIENT: [&str; 4] = ["--timeout", "10m", "--first-byte-timeout", "10m"];

/// Starts a run that asks the machines of a file, and leaves it to itself.
pub(crate) async fn detach(
    lab: &Lab,
    (at, crowd): (&str, &Crowd),
    targets: &str,
    options: &[&str],
) -> RunId {
    let url = crowd.url("/health");
    let arguments = ["http", "GET", &url, "--targets", targets, "--detach"];
    let id = said(lab, at, &[&arguments[..], &PATIENT, options].concat()).await;
    id.trim().parse().expect("an id")
}

/// Waits until a run is as wanted, as a control node sees it. Away for a moment is no harm.
pub(crate) async fn until(
    client: &Client,
    run: &RunId,
    what: &str,
    good: impl Fn(&RunView) -> bool,
) -> RunView {
    let view = async || client.run(run).await;
    let good = |seen: &Result<RunView, _>| seen.as_ref().is_ok_and(&good);
    eventually(&format!("run {run} {what}"), view, good).await.expect("seen")
}

/// Waits for the end of a run.
pub(crate) async fn ended(client: &Client, run: &RunId) -> RunView {
    until(client, run, "ends", |view| view.state.has_ended()).await
}

/// The records of a run that are there.
pub(crate) async fn records(client: &Client, run: &RunId) -> Vec<RunRecord> {
    let reading = async {
        let mut stream = client.run_records(run, &RecordQuery::default()).await.expect("records");
        let mut records = Vec::new();
        while let Some(record) = stream.next().await.expect("records") {
            records.push(record);
        }
        records
    };
    within("the records of a run", Box::pin(reading)).await
}

/// Waits for the end of a run that is not cancelled, and judges it.
pub(crate) async fn finished(client: &Client, run: &RunId) -> Vec<RunRecord> {
    let view = ended(client, run).await;
    assert_eq!(view.state, RunState::Finished, "{view:#?}");
    judged(client, run).await
}

/// The records of a run that has ended: each target has exactly one, and all counts agree.
pub(crate) async fn judged(client: &Client, run: &RunId) -> Vec<RunRecord> {
    let view = client.run(run).await.expect("known");
    assert!(view.state.has_ended(), "{view:#?}");
    let records = records(client, run).await;
    let indices: BTreeSet<u32> = records.iter().map(|record| record.index).collect();
    assert_eq!(records.len(), indices.len(), "some targets have several records");
    assert!(indices.into_iter().eq(0..view.targets), "some targets have no record: {view:#?}");
    assert_eq!(counted(&records), view.counts, "{view:#?}");
    assert_eq!(view.done, view.targets, "{view:#?}");
    assert_eq!(view.in_flight, 0, "{view:#?}");
    records
}

/// How many records there are of each outcome.
pub(crate) fn counted(records: &[RunRecord]) -> Counts {
    let mut counts = Counts::new();
    for record in records {
        *counts.entry(record.outcome).or_default() += 1;
    }
    counts
}

/// How many targets ended so.
pub(crate) fn count(records: &[RunRecord], outcome: Outcome) -> u32 {
    counted(records).get(&outcome).copied().unwrap_or(0)
}

/// Records by their place in the run.
pub(crate) fn by_index(records: Vec<RunRecord>) -> BTreeMap<u32, RunRecord> {
    records.into_iter().map(|record| (record.index, record)).collect()
}

/// What was there before is there afterwards, as it was.
pub(crate) fn assert_kept(before: Vec<RunRecord>, after: Vec<RunRecord>) {
    let after = by_index(after);
    for record in before {
        assert_eq!(after.get(&record.index), Some(&record), "a record is lost or changed");
    }
}
