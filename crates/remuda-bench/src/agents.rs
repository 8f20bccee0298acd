//! Nodes as users run them: processes of the binary `remuda`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use remuda::{
    client::{Client, ClientConfig},
    model::{LinkUrl, NodeId, NodeStatus},
};
use remuda_state::ownership;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

/// How often it is looked whether something has come about.
const LOOK: Duration = Duration::from_millis(20);
/// How long a node may take to start, and a cluster to settle.
const PATIENCE: Duration = Duration::from_mins(2);

/// One node, which may run or not.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: NodeId,
    dir: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
}

/// What a node that runs says about itself.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Ready {
    api: Option<std::net::SocketAddr>,
    pub(crate) links: Vec<LinkUrl>,
}

impl Node {
    /// Starts the process; it ends with this one.
    pub(crate) fn start(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.name);
        fs::create_dir_all(&self.dir)?;
        drop(fs::remove_file(self.dir.join("ready.json")));
        let log = File::options().create(true).append(true).open(self.dir.join("agent.log"))?;
        let program = std::env::current_exe()?.with_file_name("remuda");
        let mut command = Command::new(&program);
        command.args(&self.arguments).env("REMUDA_LOG", "warn").kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn();
        let missing = || format!("{}: build it with cargo xtask bench", program.display());
        self.child = Some(child.with_context(missing)?);
        Ok(())
    }

    /// Waits until it says that it runs.
    pub(crate) async fn ready(&mut self) -> Result<Ready> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Ok(said) = self.said() {
                return Ok(said);
            }
            let ended = self.child.as_mut().context("it was started")?.try_wait()?;
            let log = || fs::read_to_string(self.dir.join("agent.log")).unwrap_or_default();
            ensure!(ended.is_none(), "{} ended: {}", self.name, log());
            ensure!(Instant::now() < end, "{} does not start: {}", self.name, log());
            sleep(LOOK).await;
        }
    }

    /// What it said when it started last.
    pub(crate) fn said(&self) -> Result<Ready> {
        Ok(serde_json::from_slice(&fs::read(self.dir.join("ready.json"))?)?)
    }

    /// Ends it as a power cut would. The sockets are closed when this returns.
    pub(crate) async fn kill9(&mut self) -> Result<()> {
        let mut child = self.child.take().context("it runs")?;
        child.kill().await.context("a process of ours")
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.as_ref().and_then(Child::id).context("it runs")
    }

    pub(crate) fn runs(&self) -> bool {
        self.child.is_some()
    }
}

/// A cluster of processes on loopback: `c1`, `c2`, … and `w1`, `w2`, …
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    admin: String,
    dir: TempDir,
}

impl Cluster {
    /// Starts it below a directory and waits until every node is ready.
    pub(crate) async fn start(below: &Path, controls: usize, workers: usize) -> Result<Self> {
        Self::start_with(below, controls, workers, &[]).await
    }

    /// As [`start`](Self::start), with further arguments for all of its nodes.
    pub(crate) async fn start_with(
        below: &Path,
        controls: usize,
        workers: usize,
        more: &[&str],
    ) -> Result<Self> {
        let mut cluster = Self::found(below, more).await?;
        let url = cluster.link(0)?.to_string();
        for number in 2..=controls {
            let token = cluster.read("join-token-control")?;
            let words = ["--control", "--join", &url, "--token", &token];
            cluster.add(&format!("c{number}"), &[&words, more].concat()).await?;
        }
        for number in 1..=workers {
            let token = cluster.read("join-token-worker")?;
            let words = ["--join", &url, "--token", &token];
            cluster.add(&format!("w{number}"), &[&words, more].concat()).await?;
        }
        cluster.settled(controls).await?;
        Ok(cluster)
    }

    /// Starts a cluster of one control node, with further arguments.
    pub(crate) async fn found(below: &Path, more: &[&str]) -> Result<Self> {
        let dir = TempDir::with_prefix_in("remuda-bench-", below)?;
        let mut cluster = Self { nodes: Vec::new(), admin: String::new(), dir };
        cluster.add("c1", &[&["--control", "--bootstrap"], more].concat()).await?;
        cluster.admin = cluster.read("admin-token")?;
        Ok(cluster)
    }

    async fn add(&mut self, name: &str, more: &[&str]) -> Result<()> {
        let mut node = self.prepare(name, more)?;
        node.start()?;
        node.ready().await?;
        self.nodes.push(node);
        Ok(())
    }

    /// A node that does not run yet.
    pub(crate) fn prepare(&self, name: &str, more: &[&str]) -> Result<Node> {
        let dir = self.dir.path().join(name);
        let text = dir.to_str().context("a path in UTF-8")?.to_owned();
        let mut arguments =
            vec!["agent", "--exit-with-parent", "--name", name, "--data-dir", &text];
        arguments.extend(["--listen", "remuda://127.0.0.1:0", "--drain-limit", "0s"]);
        if more.contains(&"--control") {
            arguments.extend(["--api", "127.0.0.1:0"]);
        }
        if !more.contains(&"--lan") {
            arguments.extend(["--lan", "off"]);
        }
        arguments.extend(more);
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        Ok(Node { name: name.parse()?, dir, arguments, child: None })
    }

    /// A file of the first node: its tokens.
    pub(crate) fn read(&self, file: &str) -> Result<String> {
        let path = self.dir.path().join("c1").join(file);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(text.trim().to_owned())
    }

    /// The token of scope `admin`.
    pub(crate) fn admin(&self) -> &str {
        &self.admin
    }

    /// Where a node listens for links.
    pub(crate) fn link(&self, index: usize) -> Result<LinkUrl> {
        self.nodes[index].said()?.links.first().cloned().context("it listens")
    }

    /// A client of the API of a control node that gives up soon.
    pub(crate) fn client(&self, index: usize, patience: Duration) -> Result<Client> {
        let api = self.nodes[index].said()?.api.context("a control node")?;
        let mut config = ClientConfig::new(format!("http://{api}"), &self.admin);
        config.timeout = patience;
        Ok(Client::new(config)?)
    }

    /// Where the node of a name stands in the list.
    pub(crate) fn index(&self, name: &NodeId) -> Result<usize> {
        let found = self.nodes.iter().position(|node| node.name == *name);
        found.with_context(|| format!("no node {name}"))
    }

    /// The control node that leads, as one that runs sees it.
    pub(crate) async fn leader(&self) -> Result<usize> {
        let end = Instant::now() + PATIENCE;
        loop {
            for (index, _) in self.controls().filter(|(_, node)| node.runs()) {
                let client = self.client(index, Duration::from_secs(2))?;
                if let Ok(cluster) = client.cluster().await
                    && let Some(leader) = cluster.leader
                {
                    return self.index(&leader);
                }
            }
            ensure!(Instant::now() < end, "no leader");
            sleep(LOOK).await;
        }
    }

    /// The control nodes with their places in the list.
    pub(crate) fn controls(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.name.as_str().starts_with('c'))
    }

    /// Waits until all control nodes vote and are active, every node is ready at the owner where it
    /// belongs, and every control node sees that.
    pub(crate) async fn settled(&self, controls: usize) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        for (index, node) in self.controls() {
            while let Err(why) = self.sees_all(index, controls).await {
                ensure!(
                    Instant::now() < end,
                    "{} does not see a whole cluster: {why:#}",
                    node.name
                );
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    async fn sees_all(&self, index: usize, controls: usize) -> Result<()> {
        let client = self.client(index, Duration::from_secs(5))?;
        let (cluster, nodes) = (client.cluster().await?, client.nodes().await?);
        let voters = if controls.is_multiple_of(2) { controls - 1 } else { controls };
        ensure!(cluster.voters.len() == voters, "{} vote", cluster.voters.len());
        let active = cluster.controls.iter().filter(|control| control.active);
        let active: Vec<NodeId> = active.map(|control| control.id.clone()).collect();
        ensure!(active.len() == controls, "{} are active", active.len());
        ensure!(nodes.len() >= self.nodes.len(), "{} nodes are known", nodes.len());
        for node in nodes {
            ensure!(node.status == NodeStatus::Ready, "{} is {}", node.id, node.status);
            let owner = ownership::owner_of(&node.id, &active);
            ensure!(node.owner == owner, "{} is not at its owner", node.id);
        }
        Ok(())
    }
}
