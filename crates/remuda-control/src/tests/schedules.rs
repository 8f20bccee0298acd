//! Lists of targets by name, and schedules whose runs begin by themselves, whoever leads.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use remuda_model::{ErrorKind, NodeId, ScheduleId, TargetListId, run::Secrets};
use remuda_state::{Change, Reached, Step};
use serde_json::json;

use super::fixture::{Cluster, Node, Start, until};
use crate::{NewSchedule, RunChange, ScheduleTargets, ScheduleView, When, proposals::CHANGE};

fn list(name: &str) -> TargetListId {
    name.parse().expect("a name of a list")
}

fn schedule(name: &str) -> ScheduleId {
    name.parse().expect("a name of a schedule")
}

/// Every second, to one host that nobody contacts: there are no workers.
fn each_second(name: &str, overlap: bool) -> NewSchedule {
    NewSchedule {
        id: schedule(name),
        when: When::Every { every_ms: 1000 },
        spec: serde_json::from_value(json!({"command": {"ping": {}}})).expect("a spec"),
        targets: ScheduleTargets { lines: "a.example".to_owned(), ..ScheduleTargets::default() },
        secrets: Secrets::default(),
        overlap,
        paused: false,
    }
}

/// A cluster in which all speak of schedules.
async fn cluster(names: &[&'static str]) -> Cluster {
    let cluster = Cluster::start(names).await;
    until("level 2", async || {
        let level = |node: &Node| node.control.shared.replica.state().level();
        let levels: Vec<u16> = cluster.nodes.iter().map(level).collect();
        if levels.iter().all(|level| *level >= 2) { Ok(()) } else { Err(format!("{levels:?}")) }
    })
    .await;
    cluster
}

/// Waits until the schedule stands as wanted.
async fn stands(node: &Node, name: &str, good: impl Fn(&ScheduleView) -> bool) -> ScheduleView {
    until("stands so", async || match node.control.schedule(&schedule(name)).await {
        Ok(view) if good(&view) => Ok(view),
        other => Err(format!("{other:?}")),
    })
    .await
}

/// The runs that are whole on the disk of a node; without any there is no directory.
fn on_disk(node: &Node) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(node.dir.path().join("runs")) else {
        return BTreeSet::new();
    };
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("text"));
    names.filter(|name| !name.starts_with('~')).collect()
}

/// Which run of its name this is.
fn incarnation(node: &Node, run: &str) -> serde_json::Value {
    let path = node.dir.path().join("runs").join(run).join("run.json");
    let saved = std::fs::read(path).expect("what the run is");
    let mut saved: serde_json::Value = serde_json::from_slice(&saved).expect("JSON");
    let incarnation = saved["incarnation"].take();
    assert!(incarnation.is_u64(), "{run} has none");
    incarnation
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_read_when_they_are_saved_and_whenever_they_are_used() {
    let cluster = cluster(&["c1"]).await;
    let control = &cluster.nodes[0].control;
    let lines = "# the front\nweb[01-03].example, 10.0.0.0/30\n{\"host\": \"x\", \"vars\": {\"a\": \"1\"}}\n";
    let saved = control.save_targets(&list("web"), lines.to_owned()).await.expect("saved");
    assert_eq!((saved.targets, saved.bytes), (6, lines.len()));
    assert_eq!(control.target_list(&list("web")).await, Ok((saved.clone(), lines.to_owned())));
    assert_eq!(control.target_lists().await, Ok(vec![saved]));
    let twice = [list("web"), list("web")];
    let more = "web01.example\nnew.example".to_owned();
    let found = control.saved_targets(&twice, more, None).await.expect("targets");
    let hosts: Vec<&str> = found.iter().map(|target| &*target.host).collect();
    let all = ["web01", "web02", "web03"].map(|host| format!("{host}.example"));
    let all = all.iter().map(String::as_str).chain(["10.0.0.1", "10.0.0.2", "x", "new.example"]);
    assert_eq!(hosts, all.collect::<Vec<_>>());

    let wrong = control.save_targets(&list("web"), "good\nweb[3-1]\n".to_owned()).await;
    let wrong = wrong.expect_err("a line is wrong");
    assert!(wrong.message.contains("line 2: "), "{wrong}");
    let empty = control.save_targets(&list("web"), "# nothing\n".to_owned()).await;
    assert_eq!(empty.map_err(|failure| failure.code), Err("bad_targets".to_owned()));
    let long = control.save_targets(&list("web"), "x".repeat(256 * 1024 + 1)).await;
    assert_eq!(long.map_err(|failure| failure.kind), Err(ErrorKind::NoCapacity));
    assert_eq!(control.target_list(&list("web")).await.map(|(view, _)| view.targets), Ok(6));

    control.remove_targets(&list("web")).await.expect("removed");
    let gone = control.saved_targets(&twice, String::new(), None).await;
    assert_eq!(gone.map_err(|failure| failure.code), Err("unknown_targets".to_owned()));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_begins_a_run_each_time_until_it_is_paused() {
    let cluster = cluster(&["c1"]).await;
    let node = &cluster.nodes[0];
    let made = node.control.create_schedule(each_second("often", true)).await.expect("made");
    assert!(made.next_ms.is_some_and(|next| next > made.record.created_ms), "{made:?}");
    let again = node.control.create_schedule(each_second("often", true)).await;
    assert_eq!(again.map(drop).map_err(|failure| failure.kind), Err(ErrorKind::Exists));
    let view = stands(node, "often", |view| view.standing.begun >= 3).await;
    let paused = node.control.pause_schedule(&schedule("often"), true).await.expect("paused");
    assert_eq!(paused.next_ms, None);
    // What was due before is begun still.
    let rests = |view: &ScheduleView| view.standing.pending.is_none();
    let paused = stands(node, "often", rests).await;
    let runs = on_disk(node);
    assert_eq!(runs.len() as u64, paused.standing.begun);
    assert!(runs.iter().all(|run| run.starts_with("often-2")), "{runs:?}");
    let found = node.control.runs().await.runs;
    assert_eq!(found.len(), runs.len());
    assert!(found.iter().all(|run| run.spec.name.as_deref() == Some("often")), "{found:?}");
    assert!(
        found.iter().any(|run| Some(&run.id) == view.standing.last.as_ref().map(|last| &last.run))
    );

    // By hand it begins all the same, and twice in a second if need be.
    let first = node.control.run_schedule(&schedule("often")).await.expect("begun");
    let second = node.control.run_schedule(&schedule("often")).await.expect("begun");
    assert_ne!(first.id, second.id);
    let rests = stands(node, "often", |view| view.standing.pending.is_none()).await;
    assert_eq!(rests.standing.begun, paused.standing.begun + 2);
    assert_eq!((rests.standing.missed, rests.standing.failed), (paused.standing.missed, 0));

    let resumed = node.control.pause_schedule(&schedule("often"), false).await.expect("resumed");
    stands(node, "often", |view| view.standing.begun > rests.standing.begun).await;
    assert!(resumed.next_ms.is_some());
    node.control.remove_schedule(&schedule("often")).await.expect("removed");
    let gone = node.control.schedule(&schedule("often")).await;
    assert_eq!(gone.map(drop).map_err(|failure| failure.code), Err("unknown_schedule".to_owned()));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_waits_for_the_end_of_the_one_before() {
    let cluster = cluster(&["c1"]).await;
    let node = &cluster.nodes[0];
    node.control.create_schedule(each_second("slow", false)).await.expect("made");
    let view = stands(node, "slow", |view| view.standing.skipped >= 2).await;
    assert_eq!((view.standing.begun, view.standing.is_running), (1, true));
    let by_hand = node.control.run_schedule(&schedule("slow")).await.expect_err("one is running");
    assert_eq!((by_hand.kind, by_hand.code.as_str()), (ErrorKind::Conflict, "schedule_running"));
    let run = view.standing.last.expect("it runs").run;
    node.control.change_run(&run, RunChange::Cancel).await.expect("cancelled");
    let view = stands(node, "slow", |view| view.standing.begun == 2).await;
    assert_ne!(view.standing.last.expect("it runs").run, run);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_gone_is_said_and_the_schedule_goes_on_when_it_is_back() {
    let cluster = cluster(&["c1"]).await;
    let node = &cluster.nodes[0];
    let named = || NewSchedule {
        targets: ScheduleTargets { saved: vec![list("web")], ..ScheduleTargets::default() },
        ..each_second("listed", true)
    };
    let unknown = node.control.create_schedule(named()).await;
    assert_eq!(
        unknown.map(drop).map_err(|failure| failure.code),
        Err("unknown_targets".to_owned())
    );
    node.control.save_targets(&list("web"), "a\nb\n".to_owned()).await.expect("saved");
    node.control.create_schedule(named()).await.expect("made");
    let view = stands(node, "listed", |view| view.standing.begun >= 1).await;
    let run = view.standing.last.expect("it began").run;
    assert_eq!(node.control.run(&run).await.map(|run| run.targets), Ok(2));
    node.control.remove_targets(&list("web")).await.expect("removed");
    let view = stands(node, "listed", |view| view.standing.failed >= 1).await;
    let (at_ms, reason) = view.standing.last_error.expect("why");
    assert!(at_ms > 0 && reason.contains("no target list `web`"), "{reason}");
    // The list as it is at the time counts.
    node.control.save_targets(&list("web"), "a\nb\nc\n".to_owned()).await.expect("saved");
    let begun = view.standing.begun;
    let view = stands(node, "listed", |view| view.standing.begun > begun).await;
    assert_eq!(view.standing.last_error, None);
    let run = view.standing.last.expect("it began").run;
    assert_eq!(node.control.run(&run).await.map(|run| run.targets), Ok(3));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_schedule_is_named_before_it_is_made() {
    let cluster = cluster(&["c1"]).await;
    let control = &cluster.nodes[0].control;
    let targets = |lines: &str, nodes: Option<&str>| ScheduleTargets {
        lines: lines.to_owned(),
        saved: Vec::new(),
        nodes: nodes.map(str::to_owned),
    };
    let new = || each_second("s", false);
    let cron = |expression: &str, timezone: &str| When::Cron {
        expression: expression.to_owned(),
        timezone: timezone.to_owned(),
    };
    let spec = json!({"command": {"ping": {"port": "{{vars.port}}"}}});
    let spec = || serde_json::from_value(spec.clone()).expect("a spec");
    for (wrong, said) in [
        (NewSchedule { when: cron("0 2 * *", "UTC"), ..new() }, "cron: "),
        (NewSchedule { when: cron("0 2 * * *", "Nowhere"), ..new() }, "timezone: "),
        (NewSchedule { targets: targets(" \n", None), ..new() }, "targets: "),
        (NewSchedule { targets: targets("a\n[", None), ..new() }, "line 2: "),
        (NewSchedule { targets: targets("", Some("a &&")), ..new() }, "targets: nodes: "),
        (NewSchedule { spec: spec(), ..new() }, "port"),
    ] {
        let failure = control.create_schedule(wrong).await.expect_err(said);
        assert_eq!(failure.kind, ErrorKind::Invalid, "{failure}");
        assert!(failure.message.contains(said), "{said}: {failure}");
    }
    assert_eq!(control.schedules().await.map(|found| found.len()), Ok(0));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_leader_goes_on_and_no_time_has_two_runs() {
    let mut cluster = cluster(&["c1", "c2", "c3"]).await;
    cluster.nodes[0].control.create_schedule(each_second("often", true)).await.expect("made");
    stands(&cluster.nodes[0], "often", |view| view.standing.begun >= 2).await;
    let leader = cluster.nodes[0].control.shared.replica.leadership().borrow().leader.clone();
    let leader = leader.expect("a leader");
    let at = cluster.nodes.iter().position(|node| node.id == leader).expect("a control node");
    let dead = cluster.nodes.remove(at);
    dead.kill().await;
    let other = &cluster.nodes[0];
    let before = stands(other, "often", |_| true).await.standing.begun;
    let elsewhere = |view: &ScheduleView| {
        let last = view.standing.last.as_ref();
        view.standing.begun >= before + 2 && last.is_some_and(|last| last.coordinator != leader)
    };
    stands(other, "often", elsewhere).await;
    other.control.pause_schedule(&schedule("often"), true).await.expect("paused");
    let lives = |view: &ScheduleView| {
        let pending = view.standing.pending.as_ref();
        pending.is_none_or(|pending| pending.coordinator == leader)
    };
    let view = stands(other, "often", lives).await;
    assert!(on_disk(&dead).len() >= 2, "it has begun some");
    let mut all = BTreeMap::new();
    for node in cluster.nodes.iter().chain([&dead]) {
        for run in on_disk(node) {
            let made = incarnation(node, &run);
            // One that was taken over by now is at both, and the same.
            let other = all.insert(run.clone(), made.clone()).unwrap_or_else(|| made.clone());
            assert_eq!(other, made, "two runs are called {run}");
        }
    }
    // Those of which the dead one could not say that it had begun them were counted as missed.
    let n_runs = all.len() as u64;
    assert!(view.standing.begun <= n_runs, "{view:?}");
    assert!(n_runs <= view.standing.begun + view.standing.missed + 1, "{view:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_away_begins_what_is_its_own_when_it_is_back() {
    let mut cluster = cluster(&["c1", "c2", "c3"]).await;
    let paused = NewSchedule { paused: true, ..each_second("often", true) };
    let made = cluster.nodes[0].control.create_schedule(paused).await.expect("made");
    let away = cluster.nodes.pop().expect("c3");
    away.kill().await;
    // As a leader that died right after this.
    let coordinator: NodeId = away.id.clone();
    let step = Step::Begin { run: "often-1".parse().expect("an id"), coordinator };
    let reached = Reached {
        schedule: schedule("often"),
        if_revision: made.standing.modified,
        due_ms: made.standing.after_ms + 1000,
        missed: 0,
        step,
    };
    let reach = Change::ReachSchedule(Box::new(reached));
    cluster.nodes[0].control.propose(reach, CHANGE).await.expect("committed");
    let waits = stands(&cluster.nodes[1], "often", |view| view.standing.pending.is_some()).await;
    assert_eq!(waits.standing.begun, 0);
    let start = Start {
        name: "c3",
        generation: 2,
        cluster: cluster.id.clone(),
        authority: None,
        classes: Vec::new(),
        dir: Arc::clone(&away.dir),
    };
    cluster.nodes.push(Node::start(start).await);
    let view = stands(&cluster.nodes[0], "often", |view| view.standing.begun == 1).await;
    assert_eq!(view.standing.pending, None);
    assert_eq!(on_disk(&cluster.nodes[2]), ["often-1".to_owned()].into());
    cluster.stop().await;
}
