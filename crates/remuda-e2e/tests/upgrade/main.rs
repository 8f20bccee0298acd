//! A cluster of the release before is upgraded node by node under load, with a way back, and loses
//! nothing.
//!
//! One round in a run of all tests; `REMUDA_UPGRADE_ROUNDS` asks for more, each with another order
//! of the nodes.

mod events;
mod load;

use remuda_api::dto::Cluster;
use remuda_e2e::{Lab, Place, detach, eventually, id, info, processes, whole_output};
use remuda_model::{Failure, NodeStatus, NodeView, TaskEnd};

use self::{events::Followers, load::Load};

/// The version of the release before, as its nodes announce it.
const BEFORE: &str = "0.1.0";
const NOW: &str = env!("CARGO_PKG_VERSION");

/// An agent here runs as the release before.
fn before() -> Place {
    Place::default().with("REMUDA_FIXTURE_RELEASE", "previous")
}

/// In which order the nodes are upgraded, and which control node goes back once. The last one of the
/// control nodes stays on the release before until all others are done, and with it the way back.
struct Plan {
    order: [&'static str; 5],
    goes_back: &'static str,
}

impl Plan {
    fn of(round: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(round);
        let mut order = ["c2", "w1", "c1", "w2", "c3"];
        if round > 0 {
            random.shuffle(&mut order);
        }
        let mut controls = order.iter().filter(|name| name.starts_with('c'));
        let goes_back = controls.next().expect("three of them");
        Self { order, goes_back }
    }

    fn last_control(&self) -> &'static str {
        self.order.iter().rfind(|name| name.starts_with('c')).expect("three of them")
    }
}

/// Stops a node as an operator does, and starts it as that release.
async fn restart(lab: &mut Lab, name: &str, place: Place, version: &str) {
    let other = if name == "c1" { "c2" } else { "c1" };
    let node = lab.node_mut(name);
    assert_eq!(node.terminate().await, Some(0), "{name} ends cleanly");
    node.set_place(place);
    node.start();
    node.ready().await;
    let client = lab.client(other);
    let back = |nodes: &Vec<NodeView>| {
        let ready = nodes.iter().filter(|node| node.status == NodeStatus::Ready).count();
        let new = nodes.iter().find(|node| node.id == id(name));
        ready == 5 && new.is_some_and(|node| node.version == version)
    };
    let probe = async || client.nodes().await.unwrap_or_default();
    eventually(&format!("{name} is back as {version}"), probe, back).await;
    // Its copy of the state counts again before the next one is stopped.
    cluster(lab, other, |seen| {
        seen.voters.len() == 3 && seen.controls.iter().all(|control| control.active)
    })
    .await;
}

/// Waits until the cluster is as wanted, as a control node sees it.
async fn cluster(lab: &Lab, at: &str, good: impl Fn(&Cluster) -> bool) -> Cluster {
    let client = lab.client(at);
    let probe = async || client.cluster().await;
    let good = |seen: &Result<Cluster, Failure>| seen.as_ref().is_ok_and(&good);
    eventually(&format!("the cluster as {at} sees it"), probe, good).await.expect("seen")
}

async fn upgraded_under_load(round: u64) -> Lab {
    let plan = Plan::of(round);
    // Tasks that run are left alone, and not waited for.
    let extra = ["--drain-limit", "0s"];
    let mut lab = Lab::found(&before(), &extra).await;
    for control in ["c2", "c3"] {
        lab.join_at(&before(), control, &["--control", "--drain-limit", "0s"]).await;
    }
    for worker in ["w1", "w2"] {
        lab.join_at(&before(), worker, &extra).await;
    }
    let nodes = lab.wait_ready(5).await;
    assert!(nodes.iter().all(|node| node.version == BEFORE), "{nodes:#?}");
    cluster(&lab, "c1", |seen| seen.voters.len() == 3 && seen.level == 1).await;

    // One task that does nothing, whose process is known; one that counts until it is told to end.
    let marker = format!("{}.{round}9", 400_000 + std::process::id());
    let (flag, admin) = (lab.dir().join("flag"), lab.client("c1"));
    detach(&admin, "w1", &["sleep", &marker]).await;
    let pids = processes(&["sleep", &marker]);
    assert_eq!(pids.len(), 1, "{pids:?}");
    let script = format!(
        "i=0; until [ -e {} ]; do echo $i; i=$((i+1)); sleep 0.02; done; echo end",
        flag.display()
    );
    let counting = detach(&admin, "w2", &["sh", "-c", &script]).await;
    let load = Load::start(&lab, &["c1", "c2", "c3"], &["w1", "w2"]);
    let followers = Followers::start(&lab, &["c1", "c2", "c3"], &["w1", "w2"]);

    let now = Place::default;
    for name in plan.order.into_iter().filter(|name| *name != plan.last_control()) {
        restart(&mut lab, name, now(), NOW).await;
        load.goes_on().await;
    }
    // The way back is open as long as one control node is of the release before.
    let seen = cluster(&lab, "c1", |_| true).await;
    assert_eq!(seen.level, 1, "{seen:?}");
    restart(&mut lab, plan.goes_back, before(), BEFORE).await;
    load.goes_on().await;
    restart(&mut lab, plan.goes_back, now(), NOW).await;
    load.goes_on().await;
    assert_eq!(cluster(&lab, "c1", |_| true).await.level, 1);

    restart(&mut lab, plan.last_control(), now(), NOW).await;
    for at in ["c1", "c2", "c3"] {
        cluster(&lab, at, |seen| seen.level == 2).await;
    }
    load.goes_on().await;

    assert_eq!(processes(&["sleep", &marker]), pids, "the same process as before");
    std::fs::write(&flag, "").expect("a file");
    let (output, end) = whole_output(&lab.client("c2"), "w2", &counting.id).await;
    assert!(matches!(end, TaskEnd::Exited { .. }) && end.success(), "{end:?}");
    let lines: Vec<&str> = output.lines().collect();
    let (last, counted) = lines.split_last().expect("it said something");
    assert_eq!(*last, "end");
    assert!(counted.iter().enumerate().all(|(n, line)| n.to_string() == **line), "{output}");
    load.finish(&lab, &["c1", "c2", "c3"]).await;
    followers.finish().await;
    lab
}

/// What is of the release before after the level was raised.
async fn older_nodes_after_the_raise(lab: &mut Lab) {
    // A worker never reads the log: it may come, and is spoken to as before.
    lab.join_at(&before(), "w3", &["--drain-limit", "0s"]).await;
    lab.wait_ready(6).await;
    let said = info(&lab.client("c1"), "w3").await.expect("it answers");
    assert_eq!(said["version"], BEFORE, "{said}");

    // A control node that comes anew is refused by name.
    let stranger = lab.prepare_join(&before(), "c4", &["--control"]);
    stranger.start();
    assert_ne!(stranger.ended().await, Some(0));
    let log = stranger.log();
    for words in ["control node `c4` runs remuda 0.1.0", "install the newer version"] {
        assert!(log.contains(words), "{words}: {log}");
    }

    // One that goes back cannot read its own log.
    let node = lab.node_mut("c3");
    assert_eq!(node.terminate().await, Some(0));
    node.set_place(before());
    node.start();
    assert_ne!(node.ended().await, Some(0));
    assert!(node.log().contains("run the newer version of remuda again"), "{}", node.log());

    // Nothing is lost by the attempt.
    let node = lab.node_mut("c3");
    node.set_place(Place::default());
    node.start();
    node.ready().await;
    lab.wait_ready(6).await;
    cluster(lab, "c1", |seen| seen.voters.len() == 3 && seen.level == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_upgraded_node_by_node_under_load() {
    let rounds = std::env::var("REMUDA_UPGRADE_ROUNDS").ok();
    let rounds: u64 = rounds.map_or(1, |text| text.parse().expect("a number of rounds"));
    for round in 0..rounds {
        let started = tokio::time::Instant::now();
        let mut lab = upgraded_under_load(round).await;
        if round == 0 {
            older_nodes_after_the_raise(&mut lab).await;
        }
        drop(lab);
        println!("round {round}: {} s", started.elapsed().as_secs());
    }
}
