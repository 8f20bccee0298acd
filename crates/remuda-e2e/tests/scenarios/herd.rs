//! A cluster on machines of one switch, one node on each.

use std::collections::BTreeSet;

use remuda_e2e::{Lab, Lan, eventually, id, in_private_network};
use remuda_model::{NodeId, NodeStatus, NodeView};
use remuda_state::ownership::owner_of;
use tokio::runtime::Handle;

/// Runs a test where it can make machines.
pub(crate) fn on_machines<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    in_private_network(|| Handle::current().block_on(Box::pin(test())));
}

/// Nodes, and the network between them. Machines are called as their nodes.
pub(crate) struct Herd {
    pub(crate) lab: Lab,
    pub(crate) lan: Lan,
}

impl Herd {
    /// Machines without nodes.
    pub(crate) fn machines(names: &[&str]) -> Self {
        let mut lan = Lan::new();
        for name in names {
            lan.add(name);
        }
        Self { lab: Lab::empty(), lan }
    }

    /// A cluster of these nodes, all of them ready, and machines for more.
    pub(crate) async fn start(controls: &[&str], workers: &[&str], spare: &[&str]) -> Self {
        let mut herd = Self::machines(&[controls, workers, spare].concat());
        for control in controls {
            herd.control(control).await;
        }
        for worker in workers {
            herd.worker(worker, &[]).await;
        }
        herd.ready(controls, &[controls, workers].concat()).await;
        herd
    }

    /// The arguments of an agent that can be reached at a place that never changes.
    pub(crate) fn arguments(&self, name: &str) -> Vec<String> {
        let address = self.lan.address(name);
        let mut arguments = vec!["--listen".to_owned(), format!("remuda://{address}:1973")];
        if name.starts_with('c') {
            let api = format!("{address}:44200");
            arguments.extend(["--control", "--api", &api, "--api-insecure"].map(str::to_owned));
        }
        arguments
    }

    /// Starts a control node; `c1` founds the cluster.
    pub(crate) async fn control(&mut self, name: &str) {
        let arguments = self.arguments(name);
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let place = self.lan.place(name);
        if name == "c1" {
            // The laboratory says itself that it is a control node.
            let words: Vec<&str> = words.into_iter().filter(|word| *word != "--control").collect();
            self.lab.bootstrap(&place, &words).await;
        } else {
            self.lab.join_at(&place, name, &words).await;
        }
    }

    /// Starts a worker; unless its arguments say where it listens, it can be reached.
    pub(crate) async fn worker(&mut self, name: &str, extra: &[&str]) {
        let arguments = if extra.contains(&"--listen") { Vec::new() } else { self.arguments(name) };
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let place = self.lan.place(name);
        self.lab.join_at(&place, name, &[&words, extra].concat()).await;
    }

    /// Starts a node again, and waits until it says that it is ready.
    pub(crate) async fn restart(&mut self, name: &str) {
        self.lab.node_mut(name).start();
        self.lab.node_mut(name).ready().await;
    }

    /// Waits until each of these control nodes sees exactly these nodes ready.
    pub(crate) async fn ready(&self, controls: &[&str], nodes: &[&str]) {
        let wanted: BTreeSet<NodeId> = nodes.iter().map(|name| id(name)).collect();
        for at in controls {
            let client = self.lab.client(at);
            let seen = async || {
                let views = client.nodes().await.unwrap_or_default().into_iter();
                let ready = views.filter(|view| view.status == NodeStatus::Ready);
                ready.map(|view| view.id).collect::<BTreeSet<_>>()
            };
            eventually(&format!("ready nodes at {at}"), seen, |seen| *seen == wanted).await;
        }
    }

    /// What a control node knows of a node.
    pub(crate) async fn view(&self, at: &str, node: &str) -> NodeView {
        self.lab.client(at).node(&id(node)).await.expect("a node of the cluster")
    }

    /// Waits until a control node sees a node as wanted.
    pub(crate) async fn sees(
        &self,
        (at, node): (&str, &str),
        what: &str,
        good: impl Fn(&NodeView) -> bool,
    ) -> NodeView {
        let (client, name) = (self.lab.client(at), id(node));
        let view = async || client.node(&name).await.ok();
        let good = |view: &Option<NodeView>| view.as_ref().is_some_and(&good);
        eventually(&format!("{node} {what}, as {at} sees it"), view, good).await.expect("seen")
    }

    /// Waits until a node is missed.
    pub(crate) async fn missed(&self, at: &str, node: &str) {
        let away = |view: &NodeView| view.status == NodeStatus::NotConnected;
        self.sees((at, node), "is missed", away).await;
    }
}

/// The control node that owns a worker when these are active.
pub(crate) fn owner(worker: &str, controls: &[&str]) -> String {
    let controls: Vec<_> = controls.iter().map(|control| id(control)).collect();
    owner_of(&id(worker), &controls).expect("there are some").to_string()
}

/// Names that a machine has, as the network wants them.
pub(crate) fn names(these: &[&str]) -> Vec<String> {
    these.iter().map(|name| (*name).to_owned()).collect()
}
