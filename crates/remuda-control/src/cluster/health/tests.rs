//! Each trouble gives its own reason, and a cluster in order gives none.

use remuda_model::{Generation, Labels, NodeStats, Roles};
use remuda_wire::message::control::Health;

use super::*;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn id(text: &str) -> NodeId {
    text.parse().expect("a node name")
}

/// Three control nodes and a worker that are well.
struct Herd {
    leadership: Leadership,
    controls: Vec<ControlView>,
    nodes: Vec<NodeView>,
    certificates: BTreeMap<NodeId, u64>,
}

impl Herd {
    fn new(controls: &[&str]) -> Self {
        let ids: Vec<NodeId> = controls.iter().map(|name| id(name)).collect();
        let health = Health { linked: ids.clone(), ..Health::default() };
        let view = |node: &NodeId| ControlView {
            id: node.clone(),
            active: true,
            linked: true,
            lag: Some(0),
            skew_ms: Some(3),
            lost_ms: None,
            health: Some(health.clone()),
        };
        let leadership = Leadership {
            leader: ids.first().cloned(),
            voters: ids.iter().cloned().collect(),
            ..Leadership::default()
        };
        let worker = id("w1");
        let all = ids.iter().chain([&worker]);
        Self {
            leadership,
            controls: ids.iter().map(view).collect(),
            nodes: all.clone().map(node).collect(),
            certificates: all.map(|node| (node.clone(), 20 * DAY_MS)).collect(),
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let me = id("a");
        problems(&Sight {
            me: &me,
            leadership: &self.leadership,
            controls: &self.controls,
            nodes: &self.nodes,
            certificates: &self.certificates,
            now_ms: DAY_MS,
        })
    }

    /// The one problem there is.
    fn only(&self) -> (&'static str, String) {
        let mut problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let problem = problems.remove(0);
        assert!(!problem.hint.is_empty(), "{problem:?}");
        (problem.code, problem.message)
    }
}

fn node(name: &NodeId) -> NodeView {
    NodeView {
        id: name.clone(),
        roles: Roles::WORKER,
        status: NodeStatus::Ready,
        version: "1.0.0".to_owned(),
        generation: Generation(1),
        addresses: Vec::new(),
        labels: Labels::default(),
        attributes: BTreeMap::new(),
        stats: Some(NodeStats { disk_total: 100, disk_available: 50, ..NodeStats::default() }),
        owner: None,
        via: None,
        rtt_us: None,
        running_tasks: 0,
    }
}

#[test]
fn a_cluster_in_order_gives_no_reason() {
    assert_eq!(Herd::new(&["a", "b", "c"]).problems(), []);
    assert_eq!(Herd::new(&["a"]).problems(), []);
}

#[test]
fn consensus_in_trouble() {
    let mut herd = Herd::new(&["a", "b", "c"]);
    herd.leadership.leader = None;
    assert_eq!(herd.only().0, "no_leader");

    let mut herd = Herd::new(&["a", "b", "c"]);
    herd.controls[2].linked = false;
    let (code, message) = herd.only();
    assert_eq!(code, "voter_unreachable");
    assert_eq!(message, "voters out of reach: c; no further voter may fail");

    let mut herd = Herd::new(&["a", "b", "c", "d", "e"]);
    herd.controls[2].linked = false;
    assert_eq!(herd.only().1, "voters out of reach: c; 1 more may fail");

    let mut herd = Herd::new(&["a", "b", "c"]);
    herd.controls[1].linked = false;
    herd.controls[2].linked = false;
    let codes: Vec<_> = herd.problems().iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["no_majority", "voter_unreachable"], "whoever leads, as far as we know");

    assert_eq!(Herd::new(&["a", "b"]).only().0, "even_voters");

    let mut herd = Herd::new(&["a", "b", "c"]);
    herd.leadership.fault = Some("disk full".to_owned());
    assert!(herd.only().1.contains("answering node has stopped: disk full"));
    let mut herd = Herd::new(&["a", "b", "c"]);
    let health = herd.controls[1].health.as_mut().expect("there is one");
    health.fault = Some("disk full".to_owned());
    assert_eq!(herd.only().1, "the replica of b has stopped: disk full");
}

#[test]
fn control_nodes_in_trouble() {
    let herd = |change: &dyn Fn(&mut ControlView)| {
        let mut herd = Herd::new(&["a", "b", "c"]);
        change(&mut herd.controls[1]);
        herd.only()
    };
    assert_eq!(herd(&|control| control.active = false).0, "control_inactive");
    assert_eq!(herd(&|control| control.lag = Some(1001)).0, "control_behind");
    let (code, message) = herd(&|control| control.skew_ms = Some(-6000));
    assert_eq!((code, message.as_str()), ("clock_skew", "the clock of b is 6 s behind ours"));
    let (code, message) = herd(&|control| {
        let health = control.health.as_mut().expect("there is one");
        health.linked.retain(|node| *node != id("c"));
    });
    assert_eq!((code, message.as_str()), ("control_not_linked", "b has no link to c"));

    let mut herd = Herd::new(&["a", "b", "c", "d"]);
    herd.leadership.voters.remove(&id("d"));
    herd.controls[3].linked = false;
    assert_eq!(herd.only().1, "control nodes out of reach: d");
}

#[test]
fn nodes_in_trouble() {
    let herd = |change: &dyn Fn(&mut NodeView)| {
        let mut herd = Herd::new(&["a", "b", "c"]);
        change(&mut herd.nodes[3]);
        herd.only()
    };
    let (code, message) = herd(&|node| node.status = NodeStatus::NotConnected);
    assert_eq!((code, message.as_str()), ("node_not_connected", "nodes not connected: w1"));
    let full = |node: &mut NodeView| {
        node.stats.as_mut().expect("measured").disk_available = 4;
    };
    assert_eq!(herd(&full).0, "disk_full");
    let large = |available: u64| {
        move |node: &mut NodeView| {
            let stats = node.stats.as_mut().expect("measured");
            (stats.disk_total, stats.disk_available) = (1 << 40, available);
        }
    };
    assert_eq!(herd(&large((5 << 30) - 1)).0, "disk_full");
    let mut spacious = Herd::new(&["a", "b", "c"]);
    large(5 << 30)(&mut spacious.nodes[3]);
    assert_eq!(spacious.problems(), [], "half a percent, and enough");
    let (code, message) = herd(&|node| node.version = "1.1.0".to_owned());
    assert_eq!(code, "mixed_versions");
    assert_eq!(message, "mixed versions: 3 with 1.0.0, 1 with 1.1.0");

    let mut herd = Herd::new(&["a", "b", "c"]);
    herd.certificates.insert(id("w1"), 7 * DAY_MS);
    assert_eq!(herd.only().1, "certificates end within 7 days: w1");
}

#[test]
fn long_lists_are_cut() {
    let all: Vec<NodeId> = (1..=6).map(|n| id(&format!("w{n}"))).collect();
    assert_eq!(names(&all), "w1, w2, w3, w4, w5 and 1 more");
}
