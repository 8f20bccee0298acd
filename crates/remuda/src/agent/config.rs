//! What a node needs to know before it starts.

use std::{fmt, net::SocketAddr, ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use remuda_control::ApiToken;
use remuda_discovery::tracker::TrackerUrl;
use remuda_fanout::DEFAULT_SLOTS;
pub use remuda_fanout::policy::Cidr;
use remuda_link::{JoinToken, Proxy, Router};
use remuda_model::{JoinUrl, Labels, LinkUrl, NodeId, Release, Roles};
use remuda_plugin::{Class, JobClass, erase};

/// Adds protocols of a program to those of the node.
pub type RouterSetup = Box<dyn FnOnce(&mut Router) + Send + Sync>;

/// Says something about the program; called on a thread that may block.
pub type Diagnosis = Box<dyn Fn() -> serde_json::Value + Send + Sync>;

/// What a node needs to know before it starts. [`AgentConfig::new`] fills in the defaults.
#[non_exhaustive]
pub struct AgentConfig {
    /// Its name; made at the first start unless given here.
    pub node: Option<NodeId>,
    /// Where it keeps its name, certificate, records and log.
    pub data_dir: PathBuf,
    /// Worker, or control and worker.
    pub roles: Roles,
    /// Starts a new cluster (or the one that `init_cluster` prepared) instead of joining one.
    pub bootstrap: bool,
    /// Control nodes to join: addresses, or names for which DNS has the addresses.
    pub join: Vec<JoinUrl>,
    /// Dials nobody to join: listens, and waits until a control node adds it
    /// ([`Control::add_node`](remuda_control::Control::add_node)). For workers; needs a token and an
    /// address to listen on over `tls`, `wss` or `quic`. Of no account once it belongs to a cluster.
    pub awaits: bool,
    /// The name server to ask about names in `join`, instead of those of the system.
    pub dns_server: Option<SocketAddr>,
    /// Whether control nodes on the same subnet are looked for, and this one announces itself.
    pub lan: LanUse,
    /// Bulletin boards: a node that looks for its cluster reads them, a control node is pinned up
    /// there.
    pub trackers: Vec<TrackerUrl>,
    /// Where a control node serves such a board, for everybody.
    pub tracker_listen: Option<SocketAddr>,
    /// The way out for links over `wss`.
    pub proxy: Option<Proxy>,
    /// Proves that this node may join; needed until it has a certificate.
    pub token: Option<JoinToken>,
    /// Where to listen for links. Port 0 takes a free port and keeps it for later boots.
    pub listen: Vec<LinkUrl>,
    /// Where others shall dial it; what it listens on unless given.
    pub advertise: Vec<LinkUrl>,
    /// Labels of its first start; later they are changed through the cluster.
    pub labels: Labels,
    /// Where control nodes serve the API.
    pub api: Option<ApiListen>,
    /// Where a control node answers the calls of programs that were written for REST Commander.
    pub rest_commander: Option<RestCommander>,
    /// Allows `tcp` and `ws` beyond loopback.
    pub allow_plaintext: bool,
    /// The name of a new cluster.
    pub cluster_name: String,
    /// The program that runs as `PROGRAM holder --dir DIR`, `PROGRAM script-run DIR` and
    /// `PROGRAM function-helper`; processes, files, repositories and functions run only when it is
    /// given.
    pub holder_program: Option<PathBuf>,
    /// The directories whose files may be read and written through the cluster; the data directory
    /// never.
    pub files: Vec<PathBuf>,
    /// Whether repositories on the disks of this machine may be cloned, for tests.
    pub file_repositories: bool,
    /// What fan-out runs may contact from here, and how many targets at a time.
    pub fanout: FanoutConfig,
    /// Job classes beside the built-in ones.
    pub classes: Vec<Arc<dyn Class>>,
    /// How long a shutdown waits for running tasks.
    pub drain_limit: Duration,
    /// The first API token of a new cluster; made at random unless given.
    pub admin_token: Option<ApiToken>,
    /// Adds protocols of the program.
    pub router: Option<RouterSetup>,
    /// With port 0 for the API and none kept: the port to take when it is free.
    pub preferred_api_port: Option<u16>,
    /// What the program adds to what the node says of itself to whoever looks for a fault, such as
    /// its settings and its last log lines. It must contain no secrets.
    pub diagnosis: Option<Diagnosis>,
    /// Files in the data directory that are removed once it is locked: what an earlier process said
    /// there about itself is not true any more.
    pub stale_files: Vec<PathBuf>,
    /// As which release it speaks to others and writes its log: for tests of rolling upgrades.
    pub release: Release,
}

/// What a node does with announcements on its subnets (UDP port 44201).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LanUse {
    /// Nothing: no socket is opened.
    Off,
    /// A node looks when it was given no address of a control node, or when those that it has lead
    /// nowhere; a control node that listens beyond loopback announces itself.
    #[default]
    Auto,
    /// Every node looks, besides what it was given; every control node announces itself.
    On,
}

/// What fan-out runs may contact from a worker, and how many targets at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FanoutConfig {
    /// Targets that are contacted at a time, over all runs.
    pub slots: u32,
    /// Private ranges that runs may contact; none unless given.
    pub allow: Vec<Cidr>,
    /// Whether runs may contact loopback addresses, for tests and benchmarks.
    pub allow_loopback: bool,
    /// The ports that runs may connect to; any when there is none.
    pub ports: Vec<RangeInclusive<u16>>,
}

impl Default for FanoutConfig {
    fn default() -> Self {
        Self { slots: DEFAULT_SLOTS, allow: Vec::new(), allow_loopback: false, ports: Vec::new() }
    }
}

/// Where a control node answers as REST Commander did, and of what. Names, tokens and TLS are as for
/// the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestCommander {
    /// The directory of `agentcommand.conf`, `nodegroup.conf`, `aggregation.conf` and
    /// `httpheader.conf`.
    pub dir: PathBuf,
    /// The address; port 0 takes a free one.
    pub listen: SocketAddr,
}

/// Where the API listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiListen {
    /// The address; port 0 takes a free one and keeps it for later boots.
    pub address: SocketAddr,
    /// Serves plain HTTP even where others can read it.
    pub insecure: bool,
    /// Names by which clients may call it, besides its address and `localhost`.
    pub hosts: Vec<String>,
    /// Shows `/metrics` to callers without a token.
    pub open_metrics: bool,
}

impl AgentConfig {
    /// A worker that listens nowhere.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            node: None,
            data_dir: data_dir.into(),
            roles: Roles::WORKER,
            bootstrap: false,
            join: Vec::new(),
            awaits: false,
            dns_server: None,
            lan: LanUse::Off,
            trackers: Vec::new(),
            tracker_listen: None,
            proxy: None,
            token: None,
            listen: Vec::new(),
            advertise: Vec::new(),
            labels: Labels::default(),
            api: None,
            rest_commander: None,
            allow_plaintext: false,
            cluster_name: "remuda".to_owned(),
            holder_program: None,
            files: vec!["/".into()],
            file_repositories: false,
            fanout: FanoutConfig::default(),
            classes: Vec::new(),
            drain_limit: Duration::from_secs(10),
            admin_token: None,
            router: None,
            preferred_api_port: None,
            diagnosis: None,
            stale_files: Vec::new(),
            release: Release::CURRENT,
        }
    }

    /// Adds a job class.
    pub fn class(mut self, class: impl JobClass) -> Self {
        self.classes.push(erase(class));
        self
    }
}

impl fmt::Debug for AgentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentConfig")
            .field("node", &self.node)
            .field("data_dir", &self.data_dir)
            .field("roles", &self.roles)
            .field("join", &self.join)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}
