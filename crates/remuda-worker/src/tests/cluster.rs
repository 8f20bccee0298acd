//! Control nodes as the tests play them: `c1` listens at port 1, and so on.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use remuda_artifact::{Store, StoreConfig};
use remuda_link::{Link, Method, MuxConfig, Peer, Priority, Router, Side, Stream};
use remuda_model::{
    Epoch, ErrorKind, Event, Failure, Generation, Labels, LinkUrl, NodeId, NodeStatus, Role, Roles,
    Transport,
};
use remuda_plugin::{Class, ClassTable, erase};
use remuda_runtime::Supervisor;
use remuda_wire::{
    decode, encode,
    message::{
        ANNOUNCE, SESSION, WORK,
        announce::{Announce, Answer, Placement},
        session::{FromOwner, FromWorker},
        work::{Call, Done, Op, Reply},
    },
};
use serde::Serialize;
use tokio::sync::{mpsc, watch};

use super::class::{Seen, TestClass};
use crate::{FilesConfig, StartError, Worker, WorkerConfig, owner::Dialler};

pub(super) const DEADLINE: Duration = Duration::from_secs(15);

/// Waits for something that must happen.
pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it happens in time")
}

pub(super) fn url(port: u16) -> LinkUrl {
    LinkUrl { host: "127.0.0.1".to_owned(), port, transport: Transport::Tcp, path: None }
}

fn peer(name: &str, role: Role, port: u16, dialled: bool) -> Peer {
    Peer {
        node: name.parse().unwrap(),
        role,
        generation: Generation(1),
        version: "test".to_owned(),
        protocol: remuda_model::Release::CURRENT.protocol,
        transport: Transport::Tcp,
        remote: "memory".to_owned(),
        addresses: vec![url(port)],
        dialled,
        authenticated_by: Method::Secret,
        issuers: Vec::new(),
    }
}

/// The two ends of a link between worker `w1` and a control node: first the worker's.
fn link(port: u16, worker_dials: bool, role: Role) -> (Link, Link) {
    link_with(&format!("c{port}"), port, worker_dials, role)
}

/// The same with a name for the control node.
fn link_with(name: &str, port: u16, worker_dials: bool, role: Role) -> (Link, Link) {
    let (here, there) = tokio::io::duplex(64 << 10);
    let (a, b) =
        if worker_dials { (Side::Dialer, Side::Listener) } else { (Side::Listener, Side::Dialer) };
    let control = peer(name, role, port, worker_dials);
    let worker = peer("w1", Role::Worker, 0, !worker_dials);
    let config = MuxConfig::default;
    (Link::start_mux(here, a, control, config()), Link::start_mux(there, b, worker, config()))
}

/// A worker and the network around it.
pub(super) struct Node {
    pub(super) worker: Worker,
    pub(super) classes: ClassTable,
    pub(super) seen: Seen,
    supervisor: Supervisor,
    dialled: mpsc::Receiver<(u16, Link)>,
    /// Ports that nobody can dial.
    pub(super) cut: Arc<Mutex<BTreeSet<u16>>>,
    /// Ports at which there is a worker instead of a control node.
    pub(super) workers: Arc<Mutex<BTreeSet<u16>>>,
    pub(super) candidates: watch::Sender<Vec<LinkUrl>>,
}

pub(super) async fn config(dir: &Path, name: &str, class: Arc<dyn Class>) -> WorkerConfig {
    let artifacts = Store::open(StoreConfig::new(dir.join("artifacts"))).await.expect("opens");
    let classes = ClassTable::default();
    classes.fix(class).expect("the only class");
    WorkerConfig {
        node: name.parse().unwrap(),
        generation: Generation(1),
        roles: Roles::WORKER,
        data_dir: dir.to_owned(),
        labels: Labels::default(),
        attributes: BTreeMap::new(),
        classes,
        files: FilesConfig { roots: vec![dir.to_owned()], except: Vec::new(), artifacts },
    }
}

pub(super) async fn try_start(dir: &Path, name: &str) -> Result<(Worker, Supervisor), StartError> {
    let supervisor = Supervisor::new();
    let class = erase(TestClass::new(true).0);
    let worker = Worker::start(config(dir, name, class).await, supervisor.clone()).await?;
    Ok((worker, supervisor))
}

impl Node {
    /// A worker that looks for its owner at these ports.
    pub(super) async fn start(dir: &Path, recovers: bool, ports: &[u16]) -> Self {
        let supervisor = Supervisor::new();
        let (class, seen) = TestClass::new(recovers);
        let config = config(dir, "w1", erase(class)).await;
        let classes = config.classes.clone();
        let worker = Worker::start(config, supervisor.clone()).await.expect("starts");
        let (links, dialled) = mpsc::channel(16);
        let cut: Arc<Mutex<BTreeSet<u16>>> = Arc::default();
        let is_cut = Arc::clone(&cut);
        let workers: Arc<Mutex<BTreeSet<u16>>> = Arc::default();
        let are_workers = Arc::clone(&workers);
        let dial: Dialler = Arc::new(move |url| {
            let (links, cut) = (links.clone(), is_cut.lock().unwrap().contains(&url.port));
            let is_worker = are_workers.lock().unwrap().contains(&url.port);
            let role = if is_worker { Role::Worker } else { Role::Control };
            Box::pin(async move {
                if cut {
                    return Err(Failure::new(ErrorKind::NotConnected, "nobody is there"));
                }
                let (here, there) = link(url.port, true, role);
                links.send((url.port, there)).await.expect("the test lives");
                Ok(here)
            })
        });
        let (candidates, receiver) = watch::channel(ports.iter().copied().map(url).collect());
        worker.find_owner_with(dial, Router::new(), receiver);
        Self { worker, classes, seen, supervisor, dialled, cut, workers, candidates }
    }

    /// A worker that `c1` owns, ready, and its owner.
    pub(super) async fn owned(dir: &Path, recovers: bool) -> (Self, Owner) {
        let mut node = Self::start(dir, recovers, &[1]).await;
        let owner = node.adopt(5).await;
        (node, owner)
    }

    /// The next link that the worker dials.
    pub(super) async fn next_link(&mut self) -> (u16, Link) {
        within(self.dialled.recv()).await.expect("the worker dials")
    }

    /// A link on which a control node, or somebody who claims less, has dialled the worker.
    pub(super) fn dial_worker(&self, port: u16, role: Role) -> Link {
        let (here, there) = link(port, false, role);
        let mut router = Router::new();
        self.worker.register(&mut router);
        let (served, supervisor) = (here.clone(), self.supervisor.clone());
        self.supervisor.spawn("link", async move { router.serve(served, &supervisor).await });
        self.worker.offer(here);
        there
    }

    /// The link that a control node gets to see when its own worker part dials it.
    pub(super) fn dial_itself(&self) -> Link {
        let (here, there) = link_with("w1", 0, false, Role::Control);
        self.worker.offer(here);
        there
    }

    /// Answers the next announcement with `Owned` and welcomes the session.
    pub(super) async fn adopt(&mut self, epoch: u64) -> Owner {
        let (_, link) = self.next_link().await;
        answer(&link, Ok(Placement::Owned { epoch: Epoch(epoch) })).await;
        Owner::welcome(link, epoch, 0).await
    }

    pub(super) async fn status(&self, status: NodeStatus) {
        let mut shown = self.worker.status();
        within(shown.wait_for(|now| *now == status)).await.expect("the worker lives");
    }

    /// Ends the worker as an agent does.
    pub(super) async fn stop(self) {
        assert!(self.supervisor.shutdown(DEADLINE).await, "the worker ends");
    }
}

/// Answers the next stream on a link, which must be an announcement.
pub(super) async fn answer(link: &Link, with: Answer) -> Announce {
    let incoming = within(link.accept()).await.expect("the link lives");
    assert_eq!(incoming.protocol, ANNOUNCE);
    let mut stream = incoming.stream;
    let bytes = within(stream.read_to_end(1 << 20)).await.expect("a whole call");
    stream.finish_with(encode(&with)).await.expect("answers");
    decode(&bytes).expect("an announcement")
}

/// What a class has said instead of doing something.
pub(super) fn refused(reply: Reply) -> Failure {
    match reply {
        Ok(Done::Refused(failure)) => failure,
        other => panic!("no refusal by the class: {other:?}"),
    }
}

/// The owner's side of a session.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) link: Link,
    pub(super) epoch: u64,
    pub(super) session: Stream,
    pub(super) announce: Announce,
    pub(super) status: NodeStatus,
    pub(super) next_event: u64,
}

impl Owner {
    /// Welcomes the next stream on a link, which must be a session.
    pub(super) async fn welcome(link: Link, epoch: u64, acknowledged: u64) -> Self {
        let incoming = within(link.accept()).await.expect("the link lives");
        assert_eq!(incoming.protocol, SESSION);
        let mut session = incoming.stream;
        let first = within(session.recv(1 << 20)).await.expect("readable").expect("a message");
        let FromWorker::Hello { announce, status, next_event, .. } = first else {
            panic!("no hello: {first:?}");
        };
        session.send(&FromOwner::Welcome { acknowledged }).await.expect("sends");
        Self { link, epoch, session, announce: *announce, status, next_event }
    }

    /// The next message of the worker that is no measurement.
    pub(super) async fn next(&mut self) -> Option<FromWorker> {
        loop {
            match within(self.session.recv(1 << 20)).await.ok()? {
                Some(FromWorker::Stats { .. }) => (),
                other => return other,
            }
        }
    }

    /// Collects events until one is the wanted one.
    pub(super) async fn events_until(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut all = Vec::new();
        while !all.last().is_some_and(&wanted) {
            if let FromWorker::Events(events) = self.next().await.expect("the session lives") {
                for event in events {
                    all.push(event);
                    if all.last().is_some_and(&wanted) {
                        break;
                    }
                }
            }
        }
        all
    }

    pub(super) async fn say(&mut self, message: FromOwner) {
        self.session.send(&message).await.expect("sends");
    }

    pub(super) async fn call(&self, op: Op) -> Reply {
        self.call_as(self.epoch, op, DEADLINE).await
    }

    pub(super) async fn call_as(&self, epoch: u64, op: Op, deadline: Duration) -> Reply {
        let deadline_ms = u64::try_from(deadline.as_millis()).expect("short");
        let call = Call { epoch: Epoch(epoch), deadline_ms, op };
        let answer = self.link.call(WORK, Priority::Calls, encode(&call), DEADLINE).await;
        decode(&answer.expect("answers")).expect("a reply")
    }

    pub(super) async fn request(&self, class: &str, request: &impl Serialize) -> Reply {
        let payload = serde_json::to_vec(request).unwrap();
        self.call(Op::Request { class: class.parse().unwrap(), payload }).await
    }

    pub(super) async fn start_task(&self, task: &str, spec: &str, attached: bool) -> Reply {
        let spec = serde_json::to_vec(spec).unwrap();
        let (class, task) = ("test".parse().unwrap(), task.parse().unwrap());
        self.call(Op::Start { class, task, spec, attached }).await
    }

    pub(super) async fn command(&self, task: &str, command: &impl Serialize) -> Reply {
        let payload = serde_json::to_vec(command).unwrap();
        self.call(Op::Command { task: task.parse().unwrap(), payload }).await
    }

    pub(super) fn node(&self) -> &NodeId {
        &self.announce.node
    }
}
