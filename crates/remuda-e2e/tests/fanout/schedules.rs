//! Runs that begin by the clock, whoever dies meanwhile, and lists of targets by name.

use std::collections::BTreeSet;

use remuda::client::{Client, dto::Schedule};
use remuda_e2e::{Lab, eventually};
use remuda_model::run::{Outcome, RunView};
use serde_json::Value;

use crate::{
    crowd::{Act, Crowd},
    field::{cluster, count, fanout, finished, json, said, written},
};

/// A schedule that asks machines of the crowd.
async fn add(lab: &Lab, at: &str, crowd: &Crowd, options: &[&str], command: &[&str]) {
    let url = crowd.url("/nightly");
    let arguments = [&["schedule", "add"], options, &["http", "GET", &url], command].concat();
    // A cluster that has just begun does not speak of schedules at once.
    let added = async || fanout(lab, at, &arguments).await;
    let is_known = |ended: &remuda_e2e::Finished| !ended.stderr.contains("needs level");
    let ended = eventually("schedules are known", added, is_known).await;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:#?}");
}

/// Waits until a schedule stands as wanted. Control nodes may be away for a moment.
async fn stands(client: &Client, name: &str, good: impl Fn(&Schedule) -> bool) -> Schedule {
    let name = name.parse().expect("a name");
    let look = async || client.schedule(&name).await.map(|found| found.schedule);
    let good = |seen: &Result<Schedule, _>| seen.as_ref().is_ok_and(&good);
    eventually(&format!("schedule {name} stands so"), look, good).await.expect("seen")
}

/// The runs of a schedule, of all control nodes.
async fn runs_of(client: &Client, name: &str) -> Vec<RunView> {
    let mut found = client.runs().await.expect("runs").runs;
    found.retain(|run| run.spec.name.as_deref() == Some(name));
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn each_time_is_a_run_until_the_schedule_is_paused() {
    let lab = cluster(1, 1).await;
    let crowd = Crowd::start(|_| Act::ok("here")).await;
    let client = lab.client("c1");
    let three = ["-t", "127.7.0.[1-3]"];
    add(&lab, "c1", &crowd, &["often", "--every", "2s"], &three).await;
    add(&lab, "c1", &crowd, &["other", "--every", "1s", "--overlap"], &["-t", "127.8.0.1"]).await;
    stands(&client, "often", |often| often.begun >= 2 && !often.running).await;
    let rests = |often: &Schedule| often.pending.is_none() && !often.running;
    said(&lab, "c1", &["schedule", "pause", "often"]).await;
    let paused = stands(&client, "often", rests).await;
    assert!(paused.paused && paused.next_ms.is_none(), "{paused:?}");
    // Two seconds of the other one are enough for one of it.
    let other = stands(&client, "other", |_| true).await.begun;
    stands(&client, "other", |now| now.begun >= other + 4).await;
    assert_eq!(stands(&client, "often", |_| true).await, paused);
    let runs = runs_of(&client, "often").await;
    let ids: BTreeSet<&str> = runs.iter().map(|run| run.id.as_str()).collect();
    assert_eq!((ids.len() as u64, runs.len()), (paused.begun, ids.len()), "{ids:?}");
    assert!(ids.iter().all(|id| id.starts_with("often-2")), "{ids:?}");
    for run in &runs {
        let kept = finished(&client, &run.id).await;
        assert_eq!((kept.len(), count(&kept, Outcome::Ok)), (3, 3), "{}", run.id);
    }
    for host in ["127.7.0.1", "127.7.0.2", "127.7.0.3"] {
        let times = crowd.asked()[&host.parse().expect("an address")];
        assert_eq!(u64::from(times), paused.begun, "{host}");
    }

    let listed = json(&lab, "c1", &["schedule", "list"]).await;
    let names: Vec<&Value> =
        listed.as_array().expect("schedules").iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["often", "other"]);
    let shown = said(&lab, "c1", &["schedule", "show", "often"]).await;
    assert!(shown.starts_with("schedule often: every 2s, paused\n"), "{shown}");
    assert!(shown.contains("127.7.0.[1-3]"), "{shown}");
    said(&lab, "c1", &["schedule", "resume", "often"]).await;
    stands(&client, "often", |often| often.begun > paused.begun).await;
    for name in ["often", "other"] {
        said(&lab, "c1", &["schedule", "remove", name]).await;
    }
    assert_eq!(json(&lab, "c1", &["schedule", "list"]).await, Value::Array(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_list_counts_as_it_is_when_a_run_begins() {
    let lab = cluster(1, 1).await;
    let crowd = Crowd::start(|_| Act::ok("here")).await;
    let client = lab.client("c1");
    let save = async |targets: &[&str]| {
        let arguments = [&["targets", "save", "web"], targets].concat();
        let saved = async || fanout(&lab, "c1", &arguments).await;
        let is_known = |ended: &remuda_e2e::Finished| !ended.stderr.contains("needs level");
        eventually("lists are known", saved, is_known).await
    };
    let table = written(&lab, "web.csv", "host,site\n127.7.0.2,north\n127.7.0.3,south\n");
    let saved = save(&["-t", "127.7.0.[1-2]", "--targets", &table]).await;
    assert_eq!(saved.code, Some(0), "{saved:#?}");
    let shown = said(&lab, "c1", &["targets", "show", "web"]).await;
    assert!(shown.starts_with("127.7.0.[1-2]\n{"), "{shown}");
    let wrong = written(&lab, "wrong.txt", "127.7.0.1\n\n127.7.0.[2-1]\n");
    let wrong = save(&["--targets", &wrong]).await;
    assert_eq!(wrong.code, Some(2), "{wrong:#?}");
    assert!(wrong.stderr.contains("line 3: "), "{wrong:#?}");

    // A run by hand may have others besides; what stands twice is taken once.
    let url = crowd.url("/");
    let more = ["-t", "127.7.0.9", "-t", "127.7.0.1"];
    let by_hand = ["http", "GET", &url, "--saved", "web", "--id", "by-hand"];
    said(&lab, "c1", &[&by_hand, &more[..]].concat()).await;
    let kept = finished(&client, &"by-hand".parse().expect("an id")).await;
    let mut hosts: Vec<&str> = kept.iter().map(|record| record.host.as_str()).collect();
    hosts.sort_unstable();
    // With another variable it is another target.
    assert_eq!(hosts, ["127.7.0.1", "127.7.0.2", "127.7.0.2", "127.7.0.3", "127.7.0.9"]);

    let cron = ["yearly", "--cron", "0 2 1 1 *", "--timezone", "Europe/Berlin"];
    add(&lab, "c1", &crowd, &cron, &["--saved", "web"]).await;
    let yearly = stands(&client, "yearly", |yearly| yearly.next_ms.is_some()).await;
    // One o'clock in UTC.
    assert_eq!(yearly.next_ms.map(|ms| ms / 1000 % 86_400), Some(3600));
    for (targets, number) in [(None, 4), (Some("127.7.0.[1-8]"), 8)] {
        if let Some(targets) = targets {
            assert_eq!(save(&["-t", targets]).await.code, Some(0));
        }
        let run = said(&lab, "c1", &["schedule", "run", "yearly"]).await;
        let kept = finished(&client, &run.trim().parse().expect("an id")).await;
        assert_eq!(kept.len(), number);
        stands(&client, "yearly", |yearly| !yearly.running).await;
    }
    said(&lab, "c1", &["targets", "remove", "web"]).await;
    let failed = fanout(&lab, "c1", &["schedule", "run", "yearly"]).await;
    assert_eq!(failed.code, Some(1), "{failed:#?}");
    assert!(failed.stderr.contains("no target list `web`"), "{failed:#?}");
    let yearly = stands(&client, "yearly", |_| true).await;
    let error = yearly.last_error.expect("it is kept");
    assert!(error.at_ms > yearly.created_ms && error.message.contains("`web`"), "{error:?}");
    assert_eq!((yearly.begun, yearly.failed), (2, 1));
    assert!(said(&lab, "c1", &["schedule", "show", "yearly"]).await.contains(&error.message));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_schedule_is_said() {
    let lab = cluster(1, 0).await;
    for (options, said) in [
        (&["--cron", "0 2 * *"][..], "cron: `0 2 * *`: "),
        (&["--cron", "0 25 * * *"], "cron: `0 25 * * *`: "),
        (&["--cron", "*/5 * * * * *"], "cron: "),
        (&["--cron", "0 2 * * *", "--timezone", "Nowhere/Never"], "timezone: "),
        (&["--every", "10ms"], "every_ms: "),
        (&["--every", "2s", "--cron", "0 2 * * *"], "--cron"),
        (&["--every", "2s", "--timezone", "UTC"], "--timezone"),
        (&[], "--cron"),
    ] {
        let arguments = [&["schedule", "add", "s"], options, &["ping", "-t", "a"]].concat();
        let ended = fanout(&lab, "c1", &arguments).await;
        assert_eq!(ended.code, Some(2), "{options:?}: {ended:#?}");
        assert!(ended.stderr.contains(said), "{options:?}: {ended:#?}");
    }
    for (command, said) in [
        (&["ping"][..], "no targets"),
        (&["ping", "-t", "a", "-t", "["], "line 2: "),
        (&["ping", "-t", "a", "--detach"], "--detach"),
        (&["ping", "-t", "a", "--id", "x"], "--id"),
    ] {
        let arguments = [&["schedule", "add", "s", "--every", "2s"], command].concat();
        let ended = fanout(&lab, "c1", &arguments).await;
        assert_eq!(ended.code, Some(2), "{command:?}: {ended:#?}");
        assert!(ended.stderr.contains(said), "{command:?}: {ended:#?}");
    }
    let unknown = ["schedule", "add", "s", "--every", "2s", "ping", "--saved", "none"];
    let ended = fanout(&lab, "c1", &unknown).await;
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(ended.stderr.contains("no target list `none`"), "{ended:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_dies_and_no_time_has_two_runs() {
    let mut lab = cluster(3, 1).await;
    let crowd = Crowd::start(|_| Act::ok("here")).await;
    let client = lab.client("c2");
    let leader = async || client.cluster().await.ok().and_then(|cluster| cluster.leader);
    let leader = eventually("a leader", leader, Option::is_some).await.expect("seen");
    let at = ["c1", "c2", "c3"].into_iter().find(|name| *name != leader.as_str());
    let at = at.expect("another");
    let client = lab.client(at);
    // A run of the one that dies must not hold up those that follow.
    let options = ["often", "--every", "1s", "--overlap"];
    add(&lab, at, &crowd, &options, &["-t", "127.7.0.[1-2]"]).await;
    let of = |one: &Schedule| one.last.as_ref().map(|last| last.coordinator.clone());
    let first = Some(leader.clone());
    stands(&client, "often", |often| often.begun >= 3 && of(often) == first).await;
    lab.node_mut(leader.as_str()).kill9();
    let next = |often: &Schedule| of(often).is_some_and(|other| other != leader);
    let begun = stands(&client, "often", next).await.begun;
    stands(&client, "often", |often| often.begun >= begun + 2).await;
    lab.node_mut(leader.as_str()).start();
    lab.node_mut(leader.as_str()).ready().await;
    let begun = stands(&client, "often", |_| true).await.begun;
    stands(&client, "often", |often| often.begun >= begun + 2).await;
    said(&lab, at, &["schedule", "pause", "often"]).await;
    let rests = |often: &Schedule| often.pending.is_none();
    let paused = stands(&client, "often", rests).await;
    let all = async || client.runs().await;
    let is_whole = |found: &Result<remuda::client::dto::RunList, _>| {
        found.as_ref().is_ok_and(|found| found.unreachable.is_empty())
    };
    eventually("all control nodes answer", all, is_whole).await.expect("seen");
    let runs = runs_of(&client, "often").await;
    let ids: BTreeSet<&str> = runs.iter().map(|run| run.id.as_str()).collect();
    assert_eq!(ids.len(), runs.len(), "a time has two runs: {runs:#?}");
    // What the dead one began and could not say any more counts as missed, or as begun later.
    let (begun, missed) = (paused.begun, paused.missed);
    let number = runs.len() as u64;
    assert!(begun <= number && number <= begun + missed, "{number} runs: {paused:#?}");
    for run in &runs {
        let kept = finished(&client, &run.id).await;
        assert_eq!((kept.len(), count(&kept, Outcome::Ok)), (2, 2), "{}", run.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_and_its_secrets_outlive_the_only_control_node() {
    let mut lab = cluster(1, 1).await;
    let crowd = Crowd::start(|_| Act::ok("here")).await;
    let token = format!("token={}", written(&lab, "token.txt", "hush-hush\n"));
    let header = ["-H", "X-Token: {{secrets.token}}", "--secret", &token];
    let options = [&header[..], &["-t", "127.7.0.1"]].concat();
    add(&lab, "c1", &crowd, &["often", "--every", "1s"], &options).await;
    let client = lab.client("c1");
    let before = stands(&client, "often", |often| often.begun >= 1).await.begun;
    lab.node_mut("c1").kill9();
    let asked = crowd.busy().total;
    lab.node_mut("c1").start();
    lab.node_mut("c1").ready().await;
    stands(&client, "often", |often| often.begun >= before + 2).await;
    crowd.until("it is asked again", |busy| busy.total > asked).await;
    let request = crowd.request_to([127, 7, 0, 1].into()).to_ascii_lowercase();
    assert!(request.contains("x-token: hush-hush\r\n"), "{request}");
    for arguments in [&["schedule", "show", "often"][..], &["schedule", "list"]] {
        for form in [&[][..], &["--json"]] {
            let shown = said(&lab, "c1", &[arguments, form].concat()).await;
            assert!(!shown.contains("hush"), "{shown}");
        }
    }
}
