//! The control side of one node: its parts and its start.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use futures_util::future::BoxFuture;
use remuda_artifact::Store;
use remuda_link::{Authority, Endpoint, Link, Router};
use remuda_model::{
    ClassName, ClusterId, ErrorKind, Failure, Generation, LinkUrl, NodeId, Release, Role,
};
use remuda_plugin::Class;
use remuda_runtime::{CancellationToken, Supervisor, wall_ms};
use remuda_state::{Change, ClusterRecord, Command, TokenRecord};
use remuda_store::{Replica, ReplicaConfig, Timing};
use tokio::sync::{mpsc, watch};

use crate::{
    authority::{self, AuthorityFileError},
    events::Bus,
    handlers::issued,
    membership::{self, Request, new_record},
    metrics::Stats,
    ownership::History,
    peers::Peers,
    proxies::Proxies,
    raft::LinkTransport,
    relay::Relayed,
    removal::Links,
    runs::Runs,
};

/// How a control node runs.
pub struct ControlConfig {
    /// The node.
    pub node: NodeId,
    /// Its data directory; the replica takes `replica/` in it.
    pub data_dir: PathBuf,
    /// Where other nodes dial this one.
    pub addresses: Vec<LinkUrl>,
    /// The cluster's authority, made for a new cluster or received when joining. It is saved, so a
    /// later start needs none.
    pub authority: Option<Authority>,
    /// The job classes whose events are to be seen here.
    pub classes: Vec<Arc<dyn Class>>,
    /// Files on their way to nodes, by digest.
    pub artifacts: Store,
    /// Periods of the replication.
    pub timing: Timing,
}

/// A control node cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The replica cannot start.
    #[error("cannot open the replica")]
    Replica(#[from] remuda_store::OpenError),
    /// The authority cannot be read or saved.
    #[error("cannot keep the cluster's authority")]
    Authority(#[from] AuthorityFileError),
}

/// The control side of a node. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Control {
    pub(crate) shared: Arc<Shared>,
}

/// What all parts of a control node use.
pub(crate) struct Shared {
    pub me: NodeId,
    pub release: Release,
    addresses: RwLock<Vec<LinkUrl>>,
    pub timing: Timing,
    pub classes: Arc<BTreeMap<ClassName, Arc<dyn Class>>>,
    pub artifacts: Store,
    pub replica: Replica,
    pub peers: Arc<Peers>,
    pub proxies: Proxies,
    pub relayed: Relayed,
    pub links: Links,
    pub runs: Runs,
    pub history: History,
    pub bus: Arc<Bus>,
    pub stats: Stats,
    pub supervisor: Supervisor,
    /// Cancelled when this node leaves the cluster in good order.
    pub leaving: CancellationToken,
    /// Requests to the membership loop.
    pub membership: mpsc::Sender<Request>,
    membership_requests: Mutex<Option<mpsc::Receiver<Request>>>,
    /// The CA and the join secrets; the state has them too, once they were rotated.
    authority: RwLock<Option<Authority>>,
    /// Where the authority is kept.
    pub data_dir: PathBuf,
    /// What to dial with and what answers there; gone again when the node stops, because the
    /// handlers hold this very struct.
    dialling: Mutex<Option<(Endpoint, Router)>>,
}

impl Shared {
    /// Where other nodes dial this one.
    pub(crate) fn addresses(&self) -> Vec<LinkUrl> {
        self.addresses.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The cluster's authority.
    pub(crate) fn authority(&self) -> Result<Authority, Failure> {
        let authority = self.authority.read().unwrap_or_else(PoisonError::into_inner).clone();
        authority.ok_or_else(|| {
            Failure::new(ErrorKind::Unavailable, "this control node has no authority")
                .code("no_authority")
                .hint("ask another control node, or let this one join again")
        })
    }

    /// Signs, and lets nodes join, with this authority from now on.
    pub(crate) fn set_authority(&self, authority: Authority) {
        *self.authority.write().unwrap_or_else(PoisonError::into_inner) = Some(authority);
    }

    /// What to dial with, and what answers on the links that were dialled.
    pub(crate) fn dialling(&self) -> Result<(Endpoint, Router), Failure> {
        let dialling = self.dialling.lock().unwrap_or_else(PoisonError::into_inner);
        dialling
            .clone()
            .ok_or_else(|| Failure::new(ErrorKind::Unavailable, "this control node does not run"))
    }

    /// The boot of this node, once its endpoint is known.
    pub(crate) fn generation(&self) -> Option<Generation> {
        self.dialling().ok().map(|(endpoint, _)| endpoint.identity().generation)
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("node", &self.shared.me).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ControlConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlConfig")
            .field("node", &self.node)
            .field("data_dir", &self.data_dir)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Control {
    /// Opens the replica and the authority from disk. Nothing runs before [`start`](Self::start).
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn open(config: ControlConfig, supervisor: Supervisor) -> Result<Self, OpenError> {
        Self::open_as(Release::CURRENT, config, supervisor).await
    }

    /// As [`open`](Self::open), as a node of this release. Its endpoint must speak as the same.
    /// Boxed here, so that all of it is compiled once, with this crate.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open_as(
        release: Release,
        config: ControlConfig,
        supervisor: Supervisor,
    ) -> BoxFuture<'static, Result<Self, OpenError>> {
        Box::pin(Self::assemble(release, config, supervisor))
    }

    async fn assemble(
        release: Release,
        config: ControlConfig,
        supervisor: Supervisor,
    ) -> Result<Self, OpenError> {
        let ControlConfig { node, data_dir, addresses, authority, classes, artifacts, timing } =
            config;
        let authority = match authority {
            Some(authority) => {
                authority::save(&data_dir, &authority)?;
                Some(authority)
            }
            None => authority::load(&data_dir)?,
        };
        let peers = Arc::new(Peers::new(node.clone(), supervisor.clone()));
        let replica = ReplicaConfig {
            dir: data_dir.join("replica"),
            node: node.clone(),
            addresses: addresses.clone(),
            timing,
        };
        let transport = Arc::new(LinkTransport { peers: Arc::clone(&peers) });
        let replica = Replica::open_as(release, replica, transport).await?;
        let (membership, requests) = mpsc::channel(membership::WAITING);
        let classes: BTreeMap<ClassName, Arc<dyn Class>> =
            classes.into_iter().map(|class| (class.name(), class)).collect();
        let shared = Shared {
            me: node,
            release,
            addresses: RwLock::new(addresses),
            timing,
            stats: Stats::new(classes.keys()),
            classes: Arc::new(classes),
            artifacts,
            replica,
            peers,
            proxies: Proxies::default(),
            relayed: Relayed::default(),
            links: Links::default(),
            runs: Runs::new(&data_dir),
            history: History::default(),
            bus: Arc::new(Bus::new()),
            supervisor,
            leaving: CancellationToken::new(),
            membership,
            membership_requests: Mutex::new(Some(requests)),
            authority: RwLock::new(authority),
            data_dir,
            dialling: Mutex::new(None),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Says where other nodes dial this one, once it is known. To be called before the node founds
    /// or joins a cluster; what changes later is announced by its worker part.
    pub fn set_addresses(&self, addresses: Vec<LinkUrl>) {
        *self.shared.addresses.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// Starts what runs all the time: links to other control nodes, the membership, the ownership.
    /// A second call does nothing.
    pub fn start(&self, endpoint: Endpoint) {
        let mut router = Router::new();
        self.register(&mut router);
        {
            let mut dialling = self.shared.dialling.lock().unwrap_or_else(PoisonError::into_inner);
            if dialling.is_some() {
                return;
            }
            *dialling = Some((endpoint.clone(), router.clone()));
        }
        let requests = {
            let mut waiting =
                self.shared.membership_requests.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.take()
        };
        let spawn = &self.shared.supervisor;
        if let Some(requests) = requests {
            spawn.spawn("membership", self.clone().keep_membership(requests));
        }
        spawn.spawn("removed nodes", self.clone().keep_out());
        spawn.spawn("authority", self.clone().keep_authority());
        spawn.spawn("ownership", self.clone().keep_ownership());
        self.shared.runs.expect_earlier();
        spawn.spawn("runs", self.clone().keep_runs());
        spawn.spawn("schedules", self.clone().keep_schedules());
        spawn
            .spawn("control dialler", self.clone().dial_controls(endpoint.clone(), router.clone()));
        spawn.spawn("worker dialler", self.clone().dial_workers(endpoint, router));
        if self.shared.replica.is_initialized() {
            spawn.spawn("enlist", self.clone().keep_enlisted());
        }
        let (stop, control) = (spawn.token(), self.clone());
        spawn.spawn("replica", async move {
            stop.cancelled().await;
            control.shared.replica.shutdown().await;
            control.shared.dialling.lock().unwrap_or_else(PoisonError::into_inner).take();
        });
    }

    /// Founds a cluster with this node as its one control node, and these tokens.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) when the node belongs to a cluster already.
    pub async fn bootstrap(
        &self,
        cluster: ClusterId,
        name: &str,
        tokens: Vec<TokenRecord>,
    ) -> Result<(), Failure> {
        let record = ClusterRecord { id: cluster, name: name.to_owned(), created_ms: wall_ms() };
        let mut me = new_record(self.shared.me.clone(), self.shared.addresses());
        me.active = true;
        self.shared.release.version.clone_into(&mut me.version);
        // An attempt at an earlier boot may have come as far as a record of that boot.
        me.generation = self.shared.generation().unwrap_or_default();
        // The identity comes last: until then a crash leaves a cluster that can be founded again.
        let tokens = tokens.into_iter().map(Change::CreateToken);
        let certificate = self.own_certificate();
        let changes = [Change::PutNode(me)].into_iter().chain(certificate);
        let changes = changes.chain(tokens).chain([Change::Init(record)]);
        let first = changes.map(Command::once).collect();
        self.shared.replica.bootstrap(first).await?;
        self.shared.supervisor.spawn("enlist", self.clone().keep_enlisted());
        Ok(())
    }

    /// Makes known the certificate that this node has made for itself.
    fn own_certificate(&self) -> Option<Change> {
        let (endpoint, _) = self.shared.dialling().ok()?;
        let facts = endpoint.identity().certificate?.read().ok()?;
        Some(issued(&self.shared.me, facts, false))
    }

    /// Whether this node belongs to a cluster: it was founded here, or its state has arrived.
    pub fn is_member(&self) -> bool {
        self.shared.replica.state().cluster().is_some()
    }

    /// How people call the cluster, once this node belongs to one.
    pub fn cluster_name(&self) -> Option<String> {
        self.shared.replica.state().cluster().map(|cluster| cluster.name.clone())
    }

    /// Adds this node to the control nodes of the cluster that is found at these addresses. It is
    /// tried in the background until it succeeds, once the node has [started](Self::start).
    pub fn enlist(&self, controls: watch::Receiver<Vec<LinkUrl>>) {
        self.shared.supervisor.spawn("first links", self.clone().find_controls(controls));
        if !self.shared.replica.is_initialized() {
            self.shared.supervisor.spawn("enlist", self.clone().keep_enlisted());
        }
    }

    /// Dials the given addresses until the state tells who the control nodes are.
    async fn find_controls(self, mut controls: watch::Receiver<Vec<LinkUrl>>) {
        let stop = self.shared.supervisor.token();
        let cap = Duration::from_secs(5);
        let mut backoff = remuda_runtime::Backoff::new(Duration::from_millis(200), cap, seed());
        while !self.is_member() {
            let urls = controls.borrow_and_update().clone();
            if let Ok((endpoint, router)) = self.shared.dialling() {
                // Each of them: the leader may be able to reach this node over its own link only.
                for url in &urls {
                    if stop.is_cancelled() || self.is_member() {
                        return;
                    }
                    self.dial_control(&endpoint, &router, None, std::slice::from_ref(url)).await;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                Ok(()) = controls.changed() => (),
                () = tokio::time::sleep(backoff.next_delay().max(Duration::from_millis(200))) => (),
            }
        }
    }

    /// Takes note of a link with another node that somebody else dialled or accepted. The caller
    /// goes on serving it.
    pub fn offer(&self, link: Link) {
        self.shared.links.add(link.clone());
        let peer = link.peer();
        // Whoever dialled speaks first: workers announce themselves, and control nodes greet. The
        // worker part of a control node dials too, and closes its link when its owner changes; such
        // a link must not carry the replication.
        if !peer.dialled || peer.role != Role::Control || peer.node == self.shared.me {
            return;
        }
        if self.shared.peers.link_to(&peer.node).is_some() {
            return;
        }
        let control = self.clone();
        self.shared.supervisor.spawn("control greeting", async move {
            if control.greeted(&link).await {
                control.shared.peers.note(&link);
            }
        });
    }
}

/// A seed that differs between pairs of nodes.
pub(crate) fn link_seed(a: &NodeId, b: &NodeId) -> u64 {
    let mut hasher = DefaultHasher::new();
    (a, b).hash(&mut hasher);
    hasher.finish() ^ seed()
}

/// A seed for delays, which need not be repeatable here.
pub(crate) fn seed() -> u64 {
    fastrand::u64(..)
}
