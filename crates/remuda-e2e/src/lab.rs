//! A cluster of processes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use remuda::client::Client;
use remuda_model::{NodeStatus, NodeView};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    Finished, Image, Node, Place, SmallDisk,
    binary::{finish, remuda},
    wait::eventually,
};

/// A cluster: nodes `c1`, `c2`, … (control and worker) and `w1`, `w2`, … (worker).
#[derive(Debug)]
pub struct Lab {
    nodes: BTreeMap<String, Node>,
    disks: BTreeMap<String, SmallDisk>,
    images: BTreeMap<String, Image>,
    admin: String,
    dir: TempDir,
}

impl Lab {
    /// Starts a cluster and waits until every node is ready.
    pub async fn start(controls: usize, workers: usize) -> Self {
        Self::start_with(controls, workers, &[]).await
    }

    /// Starts a cluster whose agents get further arguments.
    pub async fn start_with(controls: usize, workers: usize, extra: &[&str]) -> Self {
        let mut lab = Self::found(&Place::default(), extra).await;
        for number in 2..=controls {
            lab.join(&format!("c{number}"), &[&["--control"], extra].concat()).await;
        }
        for number in 1..=workers {
            lab.join(&format!("w{number}"), extra).await;
        }
        lab.wait_ready(controls + workers).await;
        lab
    }

    /// Starts a cluster of one node, `c1`.
    pub async fn found(place: &Place, extra: &[&str]) -> Self {
        let mut lab = Self::empty();
        lab.bootstrap(place, extra).await;
        lab
    }

    /// No nodes yet.
    ///
    /// # Panics
    ///
    /// When there is no place for a temporary directory.
    pub fn empty() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Self {
            nodes: BTreeMap::new(),
            disks: BTreeMap::new(),
            images: BTreeMap::new(),
            admin: String::new(),
            dir,
        }
    }

    /// Makes a cluster in the directory of `c1`, which is not started yet: everybody can know its
    /// tokens.
    pub async fn init(&mut self) {
        let mut command = Place::default().command(remuda());
        command.args(["cluster", "init", "--data-dir"]).arg(self.dir.path().join("c1"));
        let made = finish(command).await;
        assert_eq!(made.code, Some(0), "{made:#?}");
        self.admin = self.read("c1", "admin-token");
    }

    /// Starts the first node, `c1`.
    pub async fn bootstrap(&mut self, place: &Place, extra: &[&str]) {
        self.add_at(place, "c1", &[&["--control", "--bootstrap"], extra].concat()).await;
        self.admin = self.read("c1", "admin-token");
    }

    /// Gives a node that was not started yet a small disk of its own.
    pub fn mount(&mut self, name: &str, megabytes: u32) {
        let disk = SmallDisk::mount(&self.dir.path().join(name), megabytes);
        self.disks.insert(name.to_owned(), disk);
    }

    /// The small disk of a node.
    ///
    /// # Panics
    ///
    /// When it has none.
    pub fn disk(&self, name: &str) -> &SmallDisk {
        self.disks.get(name).unwrap_or_else(|| panic!("{name} has no small disk"))
    }

    /// Gives a node that was not started yet a disk that can lose power.
    pub fn mount_image(&mut self, name: &str, megabytes: u32) {
        let image = Image::make(self.dir.path(), name, megabytes);
        self.images.insert(name.to_owned(), image);
    }

    /// The disk of a node that can lose power.
    ///
    /// # Panics
    ///
    /// When it has none.
    pub fn image_mut(&mut self, name: &str) -> &mut Image {
        self.images.get_mut(name).unwrap_or_else(|| panic!("no power to cut at {name}"))
    }

    /// Ends a node for good, with all that it has written.
    ///
    /// # Panics
    ///
    /// When there is none of this name, or its directory cannot be removed.
    pub fn forget(&mut self, name: &str) {
        let node = self.nodes.remove(name).unwrap_or_else(|| panic!("no node {name}"));
        let dir = node.dir().to_owned();
        drop(node);
        fs::remove_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    }

    /// Starts a node without telling it of the cluster.
    pub async fn add(&mut self, name: &str, extra: &[&str]) {
        self.add_at(&Place::default(), name, extra).await;
    }

    /// The same at some place.
    pub async fn add_at(&mut self, place: &Place, name: &str, extra: &[&str]) {
        let node = self.prepare_at(place, name, extra);
        node.start();
        node.ready().await;
    }

    /// Starts a node that joins at `c1`.
    pub async fn join(&mut self, name: &str, extra: &[&str]) {
        self.join_at(&Place::default(), name, extra).await;
    }

    /// The same at some place.
    pub async fn join_at(&mut self, place: &Place, name: &str, extra: &[&str]) {
        let node = self.prepare_join(place, name, extra);
        node.start();
        node.ready().await;
    }

    /// A node that would join at `c1`, and is not started yet.
    pub fn prepare_join(&mut self, place: &Place, name: &str, extra: &[&str]) -> &mut Node {
        let role = if extra.contains(&"--control") { "control" } else { "worker" };
        let token = self.join_token(role);
        let url = self.url("c1");
        let extra = [&["--join", url.as_str(), "--token", token.as_str()], extra].concat();
        self.prepare_at(place, name, &extra)
    }

    /// A node that is told nothing of the cluster, and is not started yet.
    pub fn prepare_at(&mut self, place: &Place, name: &str, extra: &[&str]) -> &mut Node {
        let dir = self.dir.path().join(name);
        let mut arguments = vec!["agent", "--name", name, "--exit-with-parent"];
        arguments.extend(["--data-dir", dir.to_str().expect("UTF-8")]);
        if !extra.contains(&"--listen") {
            arguments.extend(["--listen", "remuda://127.0.0.1:0"]);
        }
        if *place == Place::default() && !extra.contains(&"--lan") {
            // Nothing is said on the networks of this machine.
            arguments.extend(["--lan", "off"]);
        }
        if extra.contains(&"--control") && !extra.contains(&"--api") {
            arguments.extend(["--api", "127.0.0.1:0"]);
        }
        arguments.extend(extra);
        let node = Node::new(name, &dir, place.clone(), &arguments);
        self.nodes.entry(name.to_owned()).insert_entry(node).into_mut()
    }

    /// The token with which nodes of a role join.
    ///
    /// # Panics
    ///
    /// When `c1` was never ready.
    pub fn join_token(&self, role: &str) -> String {
        self.read("c1", &format!("join-token-{role}"))
    }

    /// The first link address of a node.
    ///
    /// # Panics
    ///
    /// When it was never ready or does not listen.
    pub fn url(&self, name: &str) -> String {
        let ready = fs::read(self.node(name).dir().join("ready.json")).expect("ready before");
        let ready: Value = serde_json::from_slice(&ready).expect("JSON");
        ready["links"][0].as_str().expect("it listens").to_owned()
    }

    fn read(&self, name: &str, file: &str) -> String {
        let path = self.dir.path().join(name).join(file);
        let text = fs::read_to_string(&path);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.trim().to_owned()
    }

    /// The directory under which everything of this cluster lies.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The token of scope `admin`.
    pub fn admin_token(&self) -> &str {
        &self.admin
    }

    /// A node.
    ///
    /// # Panics
    ///
    /// When there is none of this name.
    pub fn node(&self, name: &str) -> &Node {
        self.nodes.get(name).unwrap_or_else(|| panic!("no node {name}"))
    }

    /// A node, to start or end it.
    ///
    /// # Panics
    ///
    /// When there is none of this name.
    pub fn node_mut(&mut self, name: &str) -> &mut Node {
        self.nodes.get_mut(name).unwrap_or_else(|| panic!("no node {name}"))
    }

    /// The names of all nodes.
    pub fn names(&self) -> Vec<String> {
        self.nodes.keys().cloned().collect()
    }

    /// A client of the API of one control node, with the rights of an administrator.
    pub fn client(&self, name: &str) -> Client {
        self.node(name).client(&self.admin)
    }

    /// Runs the binary where a control node runs, connected to the API of that node.
    pub async fn cli(&self, at: &str, arguments: &[&str]) -> Finished {
        finish(self.command(at, arguments)).await
    }

    /// The binary, to be run where a control node runs, connected to the API of that node.
    pub fn command(&self, at: &str, arguments: &[&str]) -> Command {
        let node = self.node(at);
        let mut command = node.place().command(remuda());
        command.args(arguments);
        command.env("REMUDA_ADDR", node.api()).env("REMUDA_TOKEN", &self.admin);
        command
    }

    /// Waits until `c1` sees this many ready nodes.
    pub async fn wait_ready(&self, n_ready: usize) -> Vec<NodeView> {
        self.wait_ready_at("c1", n_ready).await
    }

    /// Waits until a control node sees this many ready nodes.
    pub async fn wait_ready_at(&self, at: &str, n_ready: usize) -> Vec<NodeView> {
        let client = self.client(at);
        let ready = |nodes: &Vec<NodeView>| {
            nodes.iter().filter(|node| node.status == NodeStatus::Ready).count() == n_ready
        };
        let probe = async || client.nodes().await.unwrap_or_default();
        eventually(&format!("{n_ready} ready nodes at {at}"), probe, ready).await
    }
    /// Waits until exactly these nodes are ready, as a control node says where it runs: its API may
    /// be out of the reach of the test itself.
    pub async fn wait_only_ready(&self, at: &str, names: &[&str]) {
        let wanted: BTreeSet<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let probe = async || {
            let listed = self.cli(at, &["node", "list", "--on", "status==ready", "--json"]).await;
            let nodes: Value = serde_json::from_str(&listed.stdout).unwrap_or_default();
            let ids = nodes.as_array().into_iter().flatten().filter_map(|node| node["id"].as_str());
            ids.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        eventually(&format!("ready nodes at {at}"), probe, |seen| *seen == wanted).await;
    }
}
