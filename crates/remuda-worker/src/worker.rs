//! Puts the parts of a worker together.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use remuda_link::{Endpoint, KeyId, Link, Router};
use remuda_model::{
    Epoch, Failure, Generation, Labels, LinkUrl, NodeId, NodeStatus, Release, Role, Roles,
};
use remuda_plugin::{ClassTable, erase};
use remuda_runtime::Supervisor;
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use crate::{
    StartError,
    agent::Agent,
    boot::LastBoot,
    epoch::EpochGate,
    files::{Files, FilesConfig},
    labels::LabelBook,
    node_class::{self, DataBook, NodeClass, Slot},
    owner::{self, Dialler, News},
    serve, spool,
    status::Wanted,
    store::{Loaded, Store},
    tasks::{self, Setup},
};

/// The database, in the data directory.
const DATABASE: &str = "worker.redb";
/// Which files have begun to arrive, in the data directory.
const ARRIVING: &str = "arriving";
/// Links that others have dialled and that wait to be looked at.
const OFFERS: usize = 64;
/// How long sessions and tasks have when the agent shuts down, and then the spool, and the disk.
const PARTS_LIMIT: Duration = Duration::from_secs(6);
const SPOOL_LIMIT: Duration = Duration::from_secs(3);
const STORE_LIMIT: Duration = Duration::from_secs(3);

/// What a worker is.
pub struct WorkerConfig {
    /// The name of the node.
    pub node: NodeId,
    /// Its boot counter.
    pub generation: Generation,
    /// Its roles.
    pub roles: Roles,
    /// Where it keeps its records; made when it does not exist. Only one process may use it.
    pub data_dir: PathBuf,
    /// Its configured labels; once people have changed them, the saved ones win.
    pub labels: Labels,
    /// Facts about the node, besides those that it finds out.
    pub attributes: BTreeMap<String, String>,
    /// Its job classes; `node` is added. More may be put into the table at any time.
    pub classes: ClassTable,
    /// Which of its files may be read and written from elsewhere.
    pub files: FilesConfig,
}

impl fmt::Debug for WorkerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, generation, roles, data_dir, .. } = self;
        f.debug_struct("WorkerConfig")
            .field("node", node)
            .field("generation", generation)
            .field("roles", roles)
            .field("data_dir", data_dir)
            .finish_non_exhaustive()
    }
}

/// The part of a node that runs work. Cheap to clone.
///
/// It ends with its supervisor: sessions say goodbye, tasks lose their inboxes (what their classes
/// can recover goes on), records are written.
#[derive(Clone)]
pub struct Worker {
    agent: Arc<Agent>,
    supervisor: Supervisor,
    news: mpsc::Sender<News>,
    search: Arc<Mutex<Option<Search>>>,
}

/// What the search for the owner needs, until it begins.
struct Search {
    learnt: Vec<LinkUrl>,
    news: mpsc::Receiver<News>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("node", &self.agent.node).finish_non_exhaustive()
    }
}

impl Worker {
    /// Opens the records of the node and takes up the tasks that an earlier boot has left.
    ///
    /// # Errors
    ///
    /// [`StartError`] says when the records are in use, damaged or those of another node.
    pub async fn start(config: WorkerConfig, supervisor: Supervisor) -> Result<Self, StartError> {
        Self::start_as(Release::CURRENT, config, supervisor).await
    }

    /// As [`start`](Self::start), as a node of this release. Boxed here, so that all of a worker is
    /// compiled once, with this crate.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_as(
        release: Release,
        config: WorkerConfig,
        supervisor: Supervisor,
    ) -> BoxFuture<'static, Result<Self, StartError>> {
        Box::pin(Self::open_records(release, config, supervisor))
    }

    async fn open_records(
        release: Release,
        config: WorkerConfig,
        supervisor: Supervisor,
    ) -> Result<Self, StartError> {
        let dir = config.data_dir.clone();
        tokio::fs::create_dir_all(&dir)
            .await
            .map_err(|source| StartError::DataDir { dir: dir.clone(), source })?;
        let (store, loaded) = Store::open(&dir.join(DATABASE)).await?;
        match Self::assemble(release, config, supervisor, store.clone(), loaded).await {
            Ok(worker) => Ok(worker),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    async fn assemble(
        release: Release,
        config: WorkerConfig,
        supervisor: Supervisor,
        store: Store,
        loaded: Loaded,
    ) -> Result<Self, StartError> {
        let WorkerConfig { node, generation, roles, data_dir, labels, attributes, classes, files } =
            config;
        let last_boot = LastBoot::check(&node, &data_dir, &loaded, &store).await?;
        let unreadable = |source| StartError::Unreadable { what: "labels", source };
        let labels = LabelBook::open(labels, &loaded, store.clone()).map_err(unreadable)?;
        let labels = Arc::new(labels);
        let (spool, spool_actor) = spool::open(node.clone(), generation, &loaded, store.clone())
            .map_err(|source| StartError::Unreadable { what: "events", source })?;
        let attributes = node_class::facts(attributes);
        let events = spool.sender();
        let setup =
            Setup { node: node.clone(), generation, store: store.clone(), events: events.clone() };
        let (tasks, inbox) = tasks::handle(&setup);
        let files = Files::open(files, data_dir.join(ARRIVING)).await.map_err(StartError::Files)?;
        let diagnosis = Slot::default();
        let node_class = erase(NodeClass {
            node: node.clone(),
            roles,
            generation,
            version: release.version,
            attributes: attributes.clone(),
            data_dir: data_dir.clone(),
            tasks: tasks.clone(),
            labels: Arc::clone(&labels),
            data: DataBook::open(&loaded, store.clone()),
            files: files.clone(),
            classes: classes.clone(),
            diagnosis: diagnosis.clone(),
        });
        classes.fix(node_class)?;

        // The spool outlives the parts that report to it, and the disk outlives the spool.
        let (parts, spool_part) = (Supervisor::new(), Supervisor::new());
        spool_part.spawn("spool", spool_actor.run(spool_part.token()));
        let actor = tasks::Actor::start(
            setup,
            inbox,
            classes.clone(),
            spool.clone(),
            parts.clone(),
            (last_boot.wanted, last_boot.tasks),
        );
        parts.spawn("tasks", actor.await.run(parts.token()));
        parts.spawn("files", files.clone().sweep(parts.token()));
        let agent = Arc::new(Agent {
            node,
            generation,
            version: release.version,
            roles,
            data_dir,
            attributes,
            addresses: Mutex::default(),
            labels,
            classes,
            tasks,
            files,
            gate: EpochGate::new(loaded.meta(EpochGate::KEY), store.clone()),
            spool,
            events,
            store: store.clone(),
            boot: fastrand::u64(1..),
            since: Instant::now(),
            diagnosis,
            stop: parts.token(),
        });
        let end = end(supervisor.clone(), parts.clone(), spool_part, store);
        supervisor.spawn("worker", end);
        let (news, heard) = mpsc::channel(OFFERS);
        let learnt = owner::learnt(loaded.meta(owner::LEARNT_KEY));
        let search = Arc::new(Mutex::new(Some(Search { learnt, news: heard })));
        Ok(Self { agent, supervisor: parts, news, search })
    }

    pub(crate) fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Answers calls of control nodes on links that others have dialled.
    pub fn register(&self, router: &mut Router) {
        serve::register(router, &self.agent, &TaskTracker::new());
    }

    /// Begins the search for the owner, in the background and for ever: at control nodes known from
    /// earlier boots, at `candidates`, and on links that are [offered](Self::offer). On the links
    /// that it dials the protocols of `others` are answered too. Only the first call has an effect.
    pub fn find_owner(
        &self,
        endpoint: Endpoint,
        others: Router,
        candidates: watch::Receiver<Vec<LinkUrl>>,
    ) {
        let dial: Dialler = Arc::new(move |url| {
            let endpoint = endpoint.clone();
            Box::pin(async move {
                endpoint.dial(&url).await.map_err(remuda_link::DialError::into_failure)
            })
        });
        self.find_owner_with(dial, others, candidates);
    }

    pub(crate) fn find_owner_with(
        &self,
        dial: Dialler,
        others: Router,
        candidates: watch::Receiver<Vec<LinkUrl>>,
    ) {
        let search = self.search.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Search { learnt, news }) = search else { return };
        let (agent, parts) = (Arc::clone(&self.agent), self.supervisor.clone());
        let actor = owner::Actor::new(agent, dial, others, learnt, parts);
        self.supervisor.spawn("owner", actor.run(candidates, news));
    }

    /// Somebody has dialled this worker; the link's streams must be served by a router that knows
    /// this worker. Only links of other control nodes are used: one of this very node is the far end
    /// of what its worker has dialled. When many wait already, it is not looked at.
    pub fn offer(&self, link: Link) {
        let peer = link.peer();
        if peer.role != Role::Control || peer.node == self.agent.node {
            return;
        }
        if self.news.try_send(News::Offered(link)).is_err() {
            tracing::warn!("too many control nodes dial at the same time; one is ignored");
        }
    }

    /// Replaces the link to the owner by a new one if it rests on another CA than these; calls on
    /// the old one may end meanwhile.
    ///
    /// # Cancel safety
    ///
    /// Nothing happens when the future is dropped.
    pub async fn trust(&self, trusted: Vec<KeyId>) {
        // The search ends only with the node.
        drop(self.news.send(News::Trusted(trusted)).await);
    }

    /// Lets work of an ownership in: one of a higher epoch ends that of lower ones.
    ///
    /// # Errors
    ///
    /// `stale_epoch` for a lower epoch than was seen; `node_not_ready` while the node takes no work.
    pub async fn admit(&self, epoch: Epoch) -> Result<(), Failure> {
        self.agent.gate.admit(epoch).await?;
        self.agent.tasks.check_takes_requests()
    }

    /// Where this node can be dialled; told to control nodes with the next announcement.
    pub fn set_addresses(&self, addresses: Vec<LinkUrl>) {
        *self.agent.addresses.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// What the program adds to the answer of the class `node` to `debug`: called on a thread that
    /// may block. It must contain no secrets. Only the first call has an effect.
    pub fn set_diagnosis(&self, diagnosis: impl Fn() -> serde_json::Value + Send + Sync + 'static) {
        self.agent.diagnosis.set(Box::new(diagnosis));
    }

    /// What the node shows, now and later.
    pub fn status(&self) -> watch::Receiver<NodeStatus> {
        self.agent.tasks.status()
    }

    /// Wishes to be ready, standby or stopped, as a request from the cluster does: the wish is on
    /// disk when this returns, is told to the owner, and is kept over restarts. Returns what the node
    /// shows now: `stopping` while tasks run, `connecting` while it looks for its owner.
    ///
    /// # Errors
    ///
    /// [`Invalid`](remuda_model::ErrorKind::Invalid) for another status; what the disk says; with
    /// the code `shutting_down` or `shut_down_meanwhile` when the worker ends.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the wish may have been taken or not.
    pub async fn set_status(&self, status: NodeStatus) -> Result<NodeStatus, Failure> {
        self.agent.tasks.want(Wanted::from_status(status)?).await
    }

    /// Takes no more tasks and waits until none runs, at most for `limit`. Tells whether none runs.
    /// The next start knows nothing of it.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.agent.tasks.drain(limit).await
    }
}

/// Waits for the end of the agent, and ends the parts in order.
async fn end(supervisor: Supervisor, parts: Supervisor, spool: Supervisor, store: Store) {
    supervisor.token().cancelled().await;
    for (what, supervisor, limit) in [("parts", parts, PARTS_LIMIT), ("spool", spool, SPOOL_LIMIT)]
    {
        if !supervisor.shutdown(limit).await {
            tracing::warn!(what, "the worker does not end in time");
        }
    }
    if tokio::time::timeout(STORE_LIMIT, store.close()).await.is_err() {
        tracing::warn!("the disk is slow; the records may not be complete");
    }
}
