//! Control nodes come and go; only the workers that must move do, and their work never notices.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use remuda::client::Client;
use remuda_api::dto::Cluster;
use remuda_e2e::{Lab, detach, eventually, id, info, processes, within};
use remuda_model::{Failure, NodeId, NodeStatus};
use remuda_state::ownership::owner_of;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

type Owners = BTreeMap<NodeId, NodeId>;

/// Waits until every node but the dead is ready and belongs to whom the active control nodes make
/// its owner, as one of them sees it.
async fn owners(lab: &Lab, at: &str, controls: &[&str], nodes: &[String]) -> Owners {
    let client = lab.client(at);
    let controls: Vec<_> = controls.iter().map(|control| id(control)).collect();
    let wanted: Owners = nodes
        .iter()
        .map(|node| (id(node), owner_of(&id(node), &controls).expect("there is one")))
        .collect();
    let probe = async || {
        let views = client.nodes().await.unwrap_or_default().into_iter();
        let ready = views.filter(|view| view.status == NodeStatus::Ready);
        ready.filter_map(|view| Some((view.id, view.owner?))).collect::<Owners>()
    };
    eventually(&format!("the owners under {controls:?}"), probe, |seen| *seen == wanted).await
}

/// The nodes that changed hands, all of which had to: their new owner is new, or their old one has
/// gone.
fn moved(before: &Owners, after: &Owners, came: &[&str], went: &[&str]) -> BTreeSet<NodeId> {
    let among = |names: &[&str], node: &NodeId| names.iter().any(|name| *name == node.as_str());
    let moved: BTreeSet<_> =
        after.keys().filter(|node| before.get(*node) != after.get(*node)).cloned().collect();
    for node in moved.iter().filter(|node| before.contains_key(*node)) {
        let (old, new) = (&before[node], &after[node]);
        assert!(among(came, new) || among(went, old), "{node} moved from {old} to {new}");
    }
    moved
}

/// A request that is answered once a file appears.
struct Slow {
    node: String,
    flag: PathBuf,
    answer: JoinHandle<Result<Value, Failure>>,
}

impl Slow {
    fn start(client: Client, dir: &Path, node: &str, round: u32) -> Self {
        let flag = dir.join(format!("flag-{node}-{round}"));
        let script = format!("until [ -e {} ]; do sleep 0.1; done; echo done", flag.display());
        let request = json!({"argv": ["sh", "-c", script]});
        let to = id(node);
        let answer = tokio::spawn(async move {
            let class = "exec".parse().expect("a class");
            client.request(&to, &class, request, Some(Duration::from_mins(5))).await
        });
        Self { node: node.to_owned(), flag, answer }
    }

    /// Whether its command runs on its node.
    async fn runs(&self) {
        let script = format!("until [ -e {} ]; do sleep 0.1; done; echo done", self.flag.display());
        let probe = async || processes(&["sh", "-c", &script]).len();
        eventually(&format!("the request to {} runs", self.node), probe, |seen| *seen == 1).await;
    }

    async fn complete(self) -> Result<(), Failure> {
        fs::write(&self.flag, "").expect("a file");
        let what = format!("the answer of {}", self.node);
        let reply = within(&what, self.answer).await.expect("no panic")?;
        assert_eq!(reply["stdout"], "done\n", "{reply}");
        Ok(())
    }
}

/// What every worker runs, from the first to the last moment: task and pid.
struct Tasks(BTreeMap<String, (String, i32)>);

impl Tasks {
    async fn start(client: &Client, workers: &[String]) -> Self {
        let mut tasks = BTreeMap::new();
        for (number, worker) in workers.iter().enumerate() {
            // No other process of this machine sleeps as long as this.
            let marker = format!("{}.{number}1", 300_000 + std::process::id());
            detach(client, worker, &["sleep", &marker]).await;
            let pids = processes(&["sleep", &marker]);
            assert_eq!(pids.len(), 1, "{worker}: {pids:?}");
            tasks.insert(worker.clone(), (marker, pids[0]));
        }
        Self(tasks)
    }

    fn assert_untouched(&self) {
        for (worker, (marker, pid)) in &self.0 {
            assert_eq!(processes(&["sleep", marker]), [*pid], "the task of {worker}");
        }
    }
}

/// Waits for these voters.
async fn voters(lab: &Lab, at: &str, good: impl Fn(&[NodeId]) -> bool) -> Cluster {
    let client = lab.client(at);
    let probe = async || client.cluster().await;
    let good =
        |seen: &Result<Cluster, Failure>| seen.as_ref().is_ok_and(|cluster| good(&cluster.voters));
    eventually("voters", probe, good).await.expect("seen")
}

fn names(prefix: &str, numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    numbers.map(|number| format!("{prefix}{number}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_workers_that_must_move_do_when_control_nodes_come_and_go() {
    let mut lab = Lab::start(1, 6).await;
    let dir = lab.dir().to_owned();
    let workers = names("w", 1..=6);
    let all = |controls: &[&str]| -> Vec<String> {
        controls.iter().map(|name| (*name).to_owned()).chain(workers.clone()).collect()
    };
    let alone = owners(&lab, "c1", &["c1"], &all(&["c1"])).await;
    let tasks = Tasks::start(&lab.client("c1"), &workers).await;
    let slow: Vec<_> =
        workers.iter().map(|node| Slow::start(lab.client("c1"), &dir, node, 1)).collect();
    for request in &slow {
        request.runs().await;
    }

    // One control node becomes four.
    for control in ["c2", "c3", "c4"] {
        lab.join(control, &["--control"]).await;
    }
    let four = owners(&lab, "c4", &["c1", "c2", "c3", "c4"], &all(&["c1", "c2", "c3", "c4"])).await;
    let gone = moved(&alone, &four, &["c2", "c3", "c4"], &[]);
    assert!(gone.iter().any(|node| node.as_str().starts_with('w')), "{four:?}");
    let cluster = voters(&lab, "c2", |voters| voters.len() == 3).await;
    assert_eq!(cluster.controls.len(), 4, "{cluster:?}");
    // Requests that waited for an answer get it, also where the owner has changed: the old link
    // lives until its calls are done.
    for request in slow {
        let node = request.node.clone();
        request.complete().await.unwrap_or_else(|failure| panic!("{node}: {failure:?}"));
    }
    tasks.assert_untouched();

    // One leaves in good order; requests by way of another one go on.
    let slow: Vec<_> =
        workers.iter().map(|node| Slow::start(lab.client("c1"), &dir, node, 2)).collect();
    for request in &slow {
        request.runs().await;
    }
    assert_eq!(lab.node_mut("c4").terminate().await, Some(0));
    let three = owners(&lab, "c1", &["c1", "c2", "c3"], &all(&["c1", "c2", "c3"])).await;
    moved(&four, &three, &[], &["c4"]);
    voters(&lab, "c1", |voters| voters.len() == 3 && !voters.contains(&id("c4"))).await;
    for request in slow {
        let (node, owner) = (request.node.clone(), four[&id(&request.node)].clone());
        match request.complete().await {
            Ok(()) => {}
            // Its way led through the one that has left: the outcome is unknown, and says so.
            Err(failure) => {
                assert_eq!(owner, id("c4"), "{node}: {failure:?}");
                assert_eq!(failure.code, "outcome_unknown", "{node}: {failure:?}");
            }
        }
    }
    tasks.assert_untouched();

    // One dies.
    let slow: Vec<_> = workers
        .iter()
        .filter(|node| three[&id(node)] != id("c3"))
        .map(|node| Slow::start(lab.client("c1"), &dir, node, 3))
        .collect();
    for request in &slow {
        request.runs().await;
    }
    lab.node_mut("c3").kill9();
    let two = owners(&lab, "c2", &["c1", "c2"], &all(&["c1", "c2"])).await;
    moved(&three, &two, &[], &["c3"]);
    for request in slow {
        let node = request.node.clone();
        request.complete().await.unwrap_or_else(|failure| panic!("{node}: {failure:?}"));
    }
    tasks.assert_untouched();
    let cluster = voters(&lab, "c1", |voters| voters.len() % 2 == 1).await;
    assert!(!cluster.healthy, "a dead control node is worth a word");
    assert!(cluster.reasons.iter().any(|reason| reason.contains("c3")), "{:?}", cluster.reasons);

    // It will not come back.
    let removed = lab.cli("c1", &["cluster", "remove", "c3"]).await;
    assert_eq!(removed.code, Some(0), "{removed:?}");
    let status = async || {
        let shown = lab.cli("c2", &["cluster", "status", "--json"]).await.stdout;
        let mut shown: Value = serde_json::from_str(&shown).unwrap_or_default();
        // Random letters may say anything.
        shown["id"] = Value::Null;
        shown
    };
    let without = |seen: &Value| seen["voters"].is_array() && !seen.to_string().contains("c3");
    eventually("c3 is gone from the status", status, without).await;
    let cluster = voters(&lab, "c1", |voters| voters.len() % 2 == 1).await;
    assert!(!cluster.voters.contains(&id("c3")), "{cluster:?}");
    for worker in &workers {
        for at in ["c1", "c2"] {
            info(&lab.client(at), worker).await.expect("it answers");
        }
    }
    tasks.assert_untouched();
}
