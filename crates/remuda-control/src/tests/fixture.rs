//! Control nodes that run and workers that answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use remuda_artifact::{Store, StoreConfig};
use remuda_link::{
    Authority, Endpoint, EndpointConfig, Identity, Limits, Link, Priority, Router, Stream, code,
};
use remuda_model::{
    ClusterId, Epoch, ErrorKind, Event, Failure, Generation, Labels, LinkUrl, NodeId, NodeStatus,
    Role, Roles, TaskEnd, Transport,
};
use remuda_plugin::Class;
use remuda_runtime::Supervisor;
use remuda_state::Scope;
use remuda_store::Timing;
use remuda_wire::message::{
    ANNOUNCE, OUTPUT, SESSION, WORK,
    announce::{Announce, Answer, Placement},
    output::{Chunk, Follow, Source},
    session::{FromOwner, FromWorker},
    work,
};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use crate::{ApiToken, Control, ControlConfig};

/// Nothing here takes that long.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

pub(super) const TIMING: Timing = Timing {
    heartbeat: Duration::from_millis(30),
    election_min: Duration::from_millis(150),
    election_max: Duration::from_millis(300),
    snapshot_after: 500,
};

pub(super) fn id(text: &str) -> NodeId {
    text.parse().expect("a node name")
}

/// Waits until the condition holds, and shows what it last said if it never does.
pub(super) async fn until<T: std::fmt::Debug>(
    what: &str,
    mut check: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        match check().await {
            Ok(value) => return value,
            Err(last) if tokio::time::Instant::now() > end => panic!("{what}: {last}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// One control node that runs.
pub(super) struct Node {
    pub id: NodeId,
    pub control: Control,
    pub url: LinkUrl,
    pub dir: Arc<TempDir>,
    supervisor: Supervisor,
    accepted: Arc<Mutex<Vec<Link>>>,
}

pub(super) struct Start {
    pub name: &'static str,
    pub generation: u64,
    pub cluster: ClusterId,
    pub authority: Option<Authority>,
    pub classes: Vec<Arc<dyn Class>>,
    pub dir: Arc<TempDir>,
}

async fn store(dir: &Path) -> Store {
    Store::open(StoreConfig::new(dir.join("artifacts"))).await.expect("opens")
}

impl Node {
    pub(super) async fn start(start: Start) -> Self {
        let supervisor = Supervisor::new();
        let node = id(start.name);
        let config = ControlConfig {
            node: node.clone(),
            data_dir: start.dir.path().to_owned(),
            addresses: Vec::new(),
            authority: start.authority,
            classes: start.classes,
            artifacts: store(start.dir.path()).await,
            timing: TIMING,
        };
        let control = Control::open(config, supervisor.clone()).await.expect("opens");
        let identity = Identity {
            node: node.clone(),
            cluster: start.cluster,
            role: Role::Control,
            generation: Generation(start.generation),
            certificate: None,
        };
        let (endpoint, mut links) =
            Endpoint::new(endpoint(identity, &control), supervisor.clone()).expect("an endpoint");
        let any = LinkUrl { host: "x".into(), port: 0, transport: Transport::Mem, path: None };
        let url = endpoint.listen(&any).await.expect("listens");
        control.set_addresses(vec![url.clone()]);
        let mut router = Router::new();
        control.register(&mut router);
        let accepted: Arc<Mutex<Vec<Link>>> = Arc::default();
        let (server, keep, nursery) = (control.clone(), Arc::clone(&accepted), supervisor.clone());
        supervisor.spawn("accepted", async move {
            let stop = nursery.token();
            loop {
                let link = tokio::select! {
                    () = stop.cancelled() => return,
                    link = links.recv() => link,
                };
                let Some(link) = link else { return };
                keep.lock().unwrap().push(link.clone());
                server.offer(link.clone());
                let (router, nurse) = (router.clone(), nursery.clone());
                nursery.spawn("link", async move { router.serve(link, &nurse).await });
            }
        });
        control.start(endpoint);
        let dir = start.dir;
        Self { id: node, control, url, dir, supervisor, accepted }
    }

    /// Ends as a crash would for all others, only that the files are closed.
    pub(super) async fn kill(&self) {
        for link in self.accepted.lock().unwrap().drain(..) {
            link.close("killed");
        }
        assert!(self.supervisor.shutdown(DEADLINE).await, "all tasks end");
        for link in self.accepted.lock().unwrap().drain(..) {
            link.close("killed");
        }
    }
}

fn endpoint(identity: Identity, control: &Control) -> EndpointConfig {
    EndpointConfig {
        identity,
        advertise: Vec::new(),
        allow_plaintext: true,
        admission: control.admission(),
        secret: None,
        limits: Limits::default(),
    }
}

/// A cluster of control nodes; the first has founded it.
pub(super) struct Cluster {
    pub id: ClusterId,
    pub nodes: Vec<Node>,
    pub admin: String,
}

impl Cluster {
    /// `names` are the control nodes; waits until all of them are active and voters are settled.
    pub(super) async fn start(names: &[&'static str]) -> Self {
        Self::with_classes(names, Vec::new()).await
    }

    pub(super) async fn with_classes(names: &[&'static str], classes: Vec<Arc<dyn Class>>) -> Self {
        let cluster = ClusterId::random();
        let authority = Authority::generate(&cluster).expect("an authority");
        let token = ApiToken::random();
        let mut nodes: Vec<Node> = Vec::new();
        for name in names {
            let start = Start {
                name,
                generation: 1,
                cluster: cluster.clone(),
                authority: Some(authority.clone()),
                classes: classes.clone(),
                dir: Arc::new(tempfile::tempdir().expect("a directory")),
            };
            let node = Node::start(start).await;
            match nodes.first() {
                None => {
                    let tokens = vec![token.record("first", Scope::Admin, None)];
                    node.control.bootstrap(cluster.clone(), "test", tokens).await.expect("founds");
                }
                Some(first) => {
                    let (_, controls) = watch::channel(vec![first.url.clone()]);
                    node.control.enlist(controls);
                }
            }
            nodes.push(node);
        }
        let made = Self { id: cluster, nodes, admin: token.reveal() };
        let n_voters = if names.len().is_multiple_of(2) { names.len() - 1 } else { names.len() };
        made.settled(names, n_voters).await;
        made
    }

    /// Waits until all living nodes agree on the active control nodes and the number of voters,
    /// and are linked with each other.
    pub(super) async fn settled(&self, active: &[&str], n_voters: usize) {
        let active: BTreeSet<NodeId> = active.iter().map(|name| id(name)).collect();
        until("settles", async || {
            for node in self.nodes.iter().filter(|node| active.contains(&node.id)) {
                let shared = &node.control.shared;
                let controls: BTreeSet<_> = shared.replica.state().controls().into_iter().collect();
                let now = shared.replica.leadership().borrow().clone();
                let linked = shared.peers.linked();
                if controls != active
                    || now.voters.len() != n_voters
                    || !now.voters.is_subset(&active)
                    || now.leader.is_none_or(|leader| !active.contains(&leader))
                    || !active.is_subset(&linked)
                {
                    let voters = now.voters;
                    return Err(format!("{}: {controls:?} {voters:?} {linked:?}", node.id));
                }
            }
            Ok(())
        })
        .await;
    }

    pub(super) fn node(&self, node: &NodeId) -> &Node {
        self.nodes.iter().find(|found| found.id == *node).expect("a control node")
    }

    /// The node that owns this worker.
    pub(super) fn owner(&self, worker: &str) -> &Node {
        let state = self.nodes[0].control.shared.replica.state();
        self.node(&state.owner_of(&id(worker)).expect("an owner"))
    }

    /// Some node that does not own this worker.
    pub(super) fn stranger(&self, worker: &str) -> &Node {
        let owner = self.owner(worker).id.clone();
        self.nodes.iter().find(|node| node.id != owner).expect("another node")
    }

    /// A name for a worker that this control node owns.
    pub(super) fn worker_of(&self, control: &str) -> String {
        let names = (0..1000).map(|number| format!("w{number}"));
        let mut owned = names.filter(|name| self.owner(name).id == id(control));
        owned.next().expect("rendezvous hashing is fair")
    }

    pub(super) fn urls(&self) -> Vec<LinkUrl> {
        self.nodes.iter().map(|node| node.url.clone()).collect()
    }

    pub(super) async fn stop(self) {
        for node in &self.nodes {
            node.kill().await;
        }
    }
}

/// What a worker does next.
#[derive(Clone, Debug)]
pub(super) enum Say {
    Events(Vec<Event>),
    Labels(Labels),
}

/// How a worker starts.
#[derive(Clone)]
pub(super) struct Plan {
    pub name: String,
    pub generation: u64,
    pub controls: Vec<LinkUrl>,
    pub unreachable: Vec<NodeId>,
}

/// A worker that echoes requests and counts what happens to it.
pub(super) struct FakeWorker {
    pub id: NodeId,
    /// The control node that has the session's link, and how many sessions there were.
    pub session: watch::Receiver<(Option<NodeId>, u32)>,
    /// The last acknowledged event.
    pub acknowledged: watch::Receiver<u64>,
    /// The code of the last refusal.
    pub refused: watch::Receiver<Option<String>>,
    pub say: mpsc::Sender<Say>,
    /// How often it was asked for what it refuses, or loses at first.
    pub asked: Arc<AtomicU32>,
    supervisor: Supervisor,
}

struct Running {
    plan: Plan,
    endpoint: Endpoint,
    router: Router,
    session: watch::Sender<(Option<NodeId>, u32)>,
    acknowledged: watch::Sender<u64>,
    refused: watch::Sender<Option<String>>,
    says: mpsc::Receiver<Say>,
    supervisor: Supervisor,
    epoch: Epoch,
}

impl FakeWorker {
    pub(super) fn start(cluster: &Cluster, name: &str) -> Self {
        let controls = cluster.urls();
        let name = name.to_owned();
        Self::with(cluster, Plan { name, generation: 1, controls, unreachable: Vec::new() })
    }

    pub(super) fn with(cluster: &Cluster, plan: Plan) -> Self {
        let supervisor = Supervisor::new();
        let node = id(&plan.name);
        let identity = Identity {
            node: node.clone(),
            cluster: cluster.id.clone(),
            role: Role::Worker,
            generation: Generation(plan.generation),
            certificate: None,
        };
        let config = endpoint(identity, &cluster.nodes[0].control);
        let (endpoint, _links) = Endpoint::new(config, supervisor.clone()).expect("an endpoint");
        let mut router = Router::new();
        let asked: Arc<AtomicU32> = Arc::default();
        let counted = Arc::clone(&asked);
        router.route(WORK, &[Role::Control], move |_link, stream| {
            let counted = Arc::clone(&counted);
            async move { answer_work(stream, &counted).await }
        });
        router.route(OUTPUT, &[Role::Control], answer_output);
        let (session, sessions) = watch::channel((None, 0));
        let (acknowledged, acknowledgements) = watch::channel(0);
        let (refused, refusals) = watch::channel(None);
        let (say, says) = mpsc::channel(16);
        let running = Running {
            plan,
            endpoint,
            router,
            session,
            acknowledged,
            refused,
            says,
            supervisor: supervisor.clone(),
            epoch: Epoch(0),
        };
        supervisor.spawn("worker", running.run());
        Self {
            id: node,
            session: sessions,
            acknowledged: acknowledgements,
            refused: refusals,
            say,
            asked,
            supervisor,
        }
    }

    /// Waits for a session and gives the control node that has its link.
    pub(super) async fn connected(&self) -> NodeId {
        let mut session = self.session.clone();
        let found = tokio::time::timeout(DEADLINE, session.wait_for(|now| now.0.is_some())).await;
        found.expect("connects in time").expect("runs").0.clone().expect("connected")
    }

    pub(super) fn n_sessions(&self) -> u32 {
        self.session.borrow().1
    }

    pub(super) async fn refusal(&self, code: &str) {
        let mut refused = self.refused.clone();
        let found = refused.wait_for(|now| now.as_deref() == Some(code));
        tokio::time::timeout(DEADLINE, found).await.expect("refused in time").expect("runs");
    }

    pub(super) async fn stop(&self) {
        self.supervisor.shutdown(DEADLINE).await;
    }
}

impl Running {
    async fn run(mut self) {
        let stop = self.supervisor.token();
        let mut next = self.plan.controls.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                found = self.once(next) => next = found,
            }
            let pause = Duration::from_millis(20);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => (),
            }
        }
    }

    /// One attempt and, when it succeeds, one session. Gives what to try next.
    async fn once(&mut self, controls: Vec<LinkUrl>) -> Vec<LinkUrl> {
        let everywhere = self.plan.controls.clone();
        for url in controls {
            let Ok(link) = self.endpoint.dial(&url).await else { continue };
            let guard = Closing(link.clone());
            let body = remuda_wire::encode(&self.announce());
            let answer = link.call(ANNOUNCE, Priority::Control, body, DEADLINE).await;
            let Ok(answer) = answer else { continue };
            let answer: Answer = remuda_wire::decode(&answer).expect("an answer");
            match answer {
                Ok(Placement::Redirect { addresses, .. }) => return addresses,
                Ok(Placement::Owned { epoch } | Placement::Relay { epoch, .. }) => {
                    self.epoch = epoch;
                    let (router, nurse) = (self.router.clone(), self.supervisor.clone());
                    let its = link.clone();
                    self.supervisor.spawn("link", async move { router.serve(its, &nurse).await });
                    let moved = self.in_session(&link, epoch).await;
                    self.session.send_modify(|now| now.0 = None);
                    drop(guard);
                    return moved.unwrap_or(everywhere);
                }
                Err(Failure { code, .. }) => {
                    self.refused.send_replace(Some(code));
                }
            }
        }
        everywhere
    }

    async fn in_session(&mut self, link: &Link, epoch: Epoch) -> Option<Vec<LinkUrl>> {
        let mut stream = link.open(SESSION, Priority::Events).await.ok()?;
        let hello = FromWorker::Hello {
            announce: Box::new(self.announce()),
            epoch,
            status: NodeStatus::Ready,
            running_tasks: 0,
            next_event: *self.acknowledged.borrow() + 1,
            last_event: *self.acknowledged.borrow(),
        };
        stream.send(&hello).await.ok()?;
        loop {
            tokio::select! {
                said = stream.recv::<FromOwner>(1 << 20) => match said {
                    Ok(Some(FromOwner::Welcome { acknowledged })) => {
                        self.acknowledged.send_replace(acknowledged);
                        let at = Some(link.peer().node.clone());
                        self.session.send_modify(|now| *now = (at, now.1 + 1));
                    }
                    Ok(Some(FromOwner::Acknowledge(number))) => {
                        self.acknowledged.send_replace(number);
                    }
                    Ok(Some(FromOwner::Moved { addresses, .. })) => return Some(addresses),
                    Ok(None) | Err(_) => return None,
                },
                Some(say) = self.says.recv() => {
                    let message = match say {
                        Say::Events(events) => FromWorker::Events(events),
                        Say::Labels(labels) => FromWorker::Labels(labels),
                    };
                    stream.send(&message).await.ok()?;
                }
            }
        }
    }

    fn announce(&self) -> Announce {
        Announce {
            node: id(&self.plan.name),
            generation: Generation(self.plan.generation),
            boot: 1,
            roles: Roles::WORKER,
            version: "1".into(),
            addresses: Vec::new(),
            labels: Labels::default(),
            attributes: BTreeMap::new(),
            epoch: self.epoch,
            unreachable: self.plan.unreachable.clone(),
        }
    }
}

/// Closes a link with the attempt that it was made for.
struct Closing(Link);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close("done");
    }
}

/// Answers the calls that come by this link, until it closes.
pub(super) fn serve_work(link: &Link) {
    let (link, nurse) = (link.clone(), Supervisor::new());
    let mut router = Router::new();
    router.route(WORK, &[Role::Control], |_link, stream| async move {
        answer_work(stream, &AtomicU32::new(0)).await;
    });
    nurse.clone().spawn("link", async move { router.serve(link, &nurse).await });
}

/// Answers a request with its payload, and a request for the epoch with that.
async fn answer_work(mut stream: Stream, asked: &AtomicU32) {
    let Ok(bytes) = stream.read_to_end(1 << 20).await else { return };
    let call: work::Call = remuda_wire::decode(&bytes).expect("a call");
    let reply: work::Reply = match call.op {
        work::Op::Request { payload, .. } if payload == b"\"hang\"" => {
            stream.stopped().await;
            return;
        }
        work::Op::Request { payload, .. } if payload == b"\"refuse\"" => {
            asked.fetch_add(1, Ordering::SeqCst);
            // Words of the class, about something of its own.
            let failure = Failure::new(ErrorKind::NotConnected, "the robot is not connected");
            Ok(work::Done::Refused(failure.code("stale_epoch")))
        }
        work::Op::Request { payload, .. } => Ok(work::Done::Payload(payload)),
        work::Op::Task { task } if task.as_str() == "lost-at-first" => {
            if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                stream.reset(code::CANCELLED, "lost");
                return;
            }
            Err(Failure::not_found("no such task"))
        }
        work::Op::Tasks => Ok(work::Done::Tasks(Vec::new())),
        work::Op::Task { .. } => Err(Failure::not_found("no such task")),
        _ => Err(Failure::invalid("not here")),
    };
    drop(stream.finish_with(remuda_wire::encode(&reply)).await);
}

async fn answer_output(_link: Link, mut stream: Stream) {
    let Ok(Some(follow)) = stream.recv::<Follow>(1 << 16).await else { return };
    let bytes = follow.task.as_str().as_bytes().to_vec();
    let data = Chunk::Data { source: Source::Stdout, bytes, next: follow.offset + 1 };
    for chunk in [data, Chunk::End(TaskEnd::Stopped)] {
        if stream.send(&chunk).await.is_err() {
            return;
        }
    }
    drop(stream.finish());
}

pub(super) fn request(payload: &str) -> work::Op {
    let class = "echo".parse().expect("a class");
    work::Op::Request { class, payload: payload.as_bytes().to_vec() }
}

/// A link as a worker of this name has it.
pub(super) async fn link_as(cluster: &Cluster, name: &str, url: &LinkUrl) -> Link {
    let identity = Identity {
        node: id(name),
        cluster: cluster.id.clone(),
        role: Role::Worker,
        generation: Generation(1),
        certificate: None,
    };
    let config = endpoint(identity, &cluster.nodes[0].control);
    let (endpoint, _links) = Endpoint::new(config, Supervisor::new()).expect("an endpoint");
    endpoint.dial(url).await.expect("a link")
}
