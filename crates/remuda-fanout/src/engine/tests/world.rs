//! A worker with an engine, and the control node that the test plays.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use remuda_link::{Link, Method, MuxConfig, Peer, Priority, RecvHalf, Router, SendHalf, Side};
use remuda_model::{
    Epoch, ErrorKind, Failure, Generation, NodeId, Role, RunId, Transport,
    run::{Outcome, Record, Trouble, TroubleKind},
};
use remuda_runtime::Supervisor;
use remuda_wire::message::{
    RUN,
    run::{FromWorker, Given, Open, Share, ToWorker},
};
use tokio::time::sleep;

use crate::{Again, Attempt, Contact, Engine, EngineConfig};

pub(super) const DEADLINE: Duration = Duration::from_mins(10);
const MAX: usize = 64 << 20;

/// Waits for something that must happen; mostly on a paused clock.
pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it happens in time")
}

/// What targets were asked, by the name of their host up to the first `-`.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) begun: BTreeMap<String, u32>,
    pub(super) in_flight: BTreeMap<String, u32>,
    pub(super) most: BTreeMap<String, u32>,
}

/// Targets that do what the name of their host says: `ok`, `slow` and `calm` (a second), `stuck`, `panic`,
/// `refuse` (nothing was sent), `half` (may be repeated), `big` (an answer of 300 KiB), `huge` (of
/// 3 MiB); anything after a `-` only tells them apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Targets {
    pub(super) seen: Arc<Mutex<Seen>>,
}

/// Counts down whatever becomes of the attempt.
struct Going(Arc<Mutex<Seen>>, String);

impl Drop for Going {
    fn drop(&mut self) {
        let mut seen = self.0.lock().unwrap();
        *seen.in_flight.get_mut(&self.1).expect("it was begun") -= 1;
    }
}

impl Targets {
    pub(super) fn begun(&self, sort: &str) -> u32 {
        self.seen.lock().unwrap().begun.get(sort).copied().unwrap_or(0)
    }

    pub(super) fn in_flight(&self, sort: &str) -> u32 {
        self.seen.lock().unwrap().in_flight.get(sort).copied().unwrap_or(0)
    }

    pub(super) fn most(&self, sort: &str) -> u32 {
        self.seen.lock().unwrap().most.get(sort).copied().unwrap_or(0)
    }

    fn go(&self, sort: &str) -> Going {
        let mut seen = self.seen.lock().unwrap();
        *seen.begun.entry(sort.to_owned()).or_default() += 1;
        let in_flight = seen.in_flight.entry(sort.to_owned()).or_default();
        *in_flight += 1;
        let in_flight = *in_flight;
        let most = seen.most.entry(sort.to_owned()).or_default();
        *most = in_flight.max(*most);
        Going(Arc::clone(&self.seen), sort.to_owned())
    }
}

fn record(outcome: Outcome, body: usize) -> Record {
    let trouble = Trouble::new(TroubleKind::Refused, "nothing listens there");
    let mut record = Record::without_answer(u32::MAX, outcome, trouble);
    if outcome == Outcome::Ok {
        record.trouble = None;
    }
    record.body = vec![7; body];
    record
}

impl Contact for Targets {
    fn attempt<'a>(&'a self, given: &'a Given) -> BoxFuture<'a, Attempt> {
        async move {
            let sort = given.host.split('-').next().unwrap_or_default();
            let _going = self.go(sort);
            let (outcome, again, body) = match sort {
                "slow" | "calm" => {
                    sleep(Duration::from_secs(1)).await;
                    (Outcome::Ok, Again::No, 0)
                }
                "stuck" => std::future::pending().await,
                "panic" => panic!("on purpose"),
                "refuse" => (Outcome::Failed, Again::NothingSent, 0),
                "half" => (Outcome::Failed, Again::Repeatable, 0),
                "big" => (Outcome::Ok, Again::No, 300 << 10),
                "huge" => (Outcome::Ok, Again::No, 3 << 20),
                _ => (Outcome::Ok, Again::No, 0),
            };
            Attempt { record: record(outcome, body), again }
        }
        .boxed()
    }
}

/// The worker, and the link to it as the control node has it.
pub(super) struct World {
    pub(super) targets: Targets,
    pub(super) supervisor: Supervisor,
    pub(super) link: Link,
    /// Somebody else uses the link as well.
    _held: Link,
}

fn peer(name: &str, role: Role) -> Peer {
    Peer {
        node: name.parse().unwrap(),
        role,
        generation: Generation(1),
        version: "test".to_owned(),
        protocol: remuda_model::Release::CURRENT.protocol,
        transport: Transport::Mem,
        remote: "memory".to_owned(),
        addresses: Vec::new(),
        dialled: true,
        authenticated_by: Method::Certificate,
        issuers: Vec::new(),
    }
}

impl World {
    pub(super) fn new(slots: u32) -> Self {
        Self::with(slots, Role::Control)
    }

    pub(super) fn with(slots: u32, role: Role) -> Self {
        let targets = Targets::default();
        let contact: Arc<dyn Contact> = Arc::new(targets.clone());
        Self { targets, ..Self::of(contact, slots, role) }
    }

    /// A worker `w1` that obeys epoch 5 and opens no run named `bad`.
    pub(super) fn of(contact: Arc<dyn Contact>, slots: u32, role: Role) -> Self {
        let supervisor = Supervisor::new();
        let node: NodeId = "w1".parse().unwrap();
        let lanes = NonZeroUsize::new(2).unwrap();
        let config = EngineConfig { node, slots, lanes };
        let open = Arc::new(move |spec: remuda_model::run::RunSpec, _secrets| {
            let contact = Arc::clone(&contact);
            let is_bad = spec.name.as_deref() == Some("bad");
            async move { if is_bad { Err(Failure::invalid("it is bad")) } else { Ok(contact) } }
                .boxed()
        });
        let admit = Arc::new(|epoch: Epoch| {
            let stale = Failure::new(ErrorKind::Conflict, "that epoch is over");
            async move { if epoch == Epoch(5) { Ok(()) } else { Err(stale) } }.boxed()
        });
        let engine = Engine::new(config, open, admit, supervisor.token());
        let mut router = Router::new();
        engine.register(&mut router);
        let (here, there) = tokio::io::duplex(64 << 10);
        let config = MuxConfig::default;
        let worker = Link::start_mux(there, Side::Dialer, peer("c1", role), config());
        let link = Link::start_mux(here, Side::Listener, peer("w1", Role::Worker), config());
        let (under, held) = (supervisor.clone(), worker.clone());
        supervisor.spawn("serve", async move { router.serve(worker, &under).await });
        Self { targets: Targets::default(), supervisor, link, _held: held }
    }

    /// A run that is open and was welcomed.
    pub(super) async fn run(&self, spec: &str, share: Share) -> Driver {
        let mut driver = self.open(&open(spec, share)).await;
        let FromWorker::Welcome { .. } = driver.hear().await else { panic!("no welcome") };
        driver
    }

    pub(super) async fn open(&self, open: &Open) -> Driver {
        let stream = self.link.open(RUN, Priority::Bulk).await.expect("the link is open");
        let (send, recv) = stream.split();
        let mut driver = Driver { send, recv, wanted: 0, pace: (0, 0) };
        driver.say(&ToWorker::Open(open.clone())).await;
        driver
    }
}

pub(super) fn share(concurrency: u32) -> Share {
    Share { concurrency, rate_milli: None }
}

/// The first message of a run that pings, with these further fields of its spec.
pub(super) fn open(spec: &str, share: Share) -> Open {
    Open {
        epoch: Epoch(5),
        run: "r1".parse::<RunId>().unwrap(),
        spec: format!(r#"{{"command":{{"ping":{{}}}}{spec}}}"#).into_bytes(),
        secrets: b"{}".to_vec(),
        share,
        hold: false,
    }
}

/// The control node's side of one run.
pub(super) struct Driver {
    pub(super) send: SendHalf,
    pub(super) recv: RecvHalf,
    /// How many targets the worker waits for.
    pub(super) wanted: u32,
    pub(super) pace: (u32, u32),
}

impl Driver {
    pub(super) async fn say(&mut self, message: &ToWorker) {
        within(self.send.send(message)).await.expect("the stream is open");
    }

    pub(super) async fn hear(&mut self) -> FromWorker {
        let message = within(self.recv.recv(MAX)).await.expect("the stream is open");
        let message = message.expect("there is more");
        match message {
            FromWorker::Want(count) => self.wanted += count,
            FromWorker::Pace { window, in_flight } => self.pace = (window, in_flight),
            _ => (),
        }
        message
    }

    /// The records of the next message that has some.
    pub(super) async fn records(&mut self) -> Vec<Record> {
        loop {
            match self.hear().await {
                FromWorker::Records(records) => return records,
                FromWorker::Want(_) | FromWorker::Pace { .. } => (),
                other => panic!("{other:?}"),
            }
        }
    }

    pub(super) async fn failure(&mut self) -> Failure {
        loop {
            if let FromWorker::Failed(failure) = self.hear().await {
                return failure;
            }
        }
    }

    /// Gives targets as they are wanted, from the given index on; what comes meanwhile is kept.
    pub(super) async fn give(&mut self, first: u32, hosts: &[String]) -> Vec<Record> {
        let mut records = Vec::new();
        let mut rest = hosts;
        let mut index = first;
        while !rest.is_empty() {
            while self.wanted == 0 {
                if let FromWorker::Records(some) = self.hear().await {
                    records.extend(some);
                }
            }
            let count = rest.len().min(usize::try_from(self.wanted).unwrap());
            let (now, later) = rest.split_at(count);
            rest = later;
            let given = now.iter().zip(index..).map(|(host, index)| Given {
                index,
                host: host.clone(),
                vars: vec![("a".to_owned(), "b".to_owned())],
            });
            let given: Vec<_> = given.collect();
            index += u32::try_from(count).unwrap();
            self.wanted -= u32::try_from(count).unwrap();
            self.say(&ToWorker::Targets(given)).await;
        }
        records
    }

    /// Says that no more come, and takes the records that are left.
    pub(super) async fn finish(mut self) -> Vec<Record> {
        self.say(&ToWorker::Finish).await;
        let mut records = Vec::new();
        loop {
            match self.hear().await {
                FromWorker::Records(some) => records.extend(some),
                FromWorker::Finished => break,
                FromWorker::Want(_) | FromWorker::Pace { .. } => (),
                other => panic!("{other:?}"),
            }
        }
        let end = within(self.recv.recv::<FromWorker>(MAX)).await;
        assert!(end.expect("the stream ends well").is_none());
        records
    }

    /// Gives all of these, and takes all of their records, in the order of the targets.
    pub(super) async fn all(mut self, hosts: &[String]) -> Vec<Record> {
        let mut records = self.give(0, hosts).await;
        records.extend(self.finish().await);
        records.sort_by_key(|record| record.index);
        let expected = 0..u32::try_from(hosts.len()).unwrap();
        let indices: Vec<_> = records.iter().map(|record| record.index).collect();
        assert_eq!(indices, expected.collect::<Vec<_>>(), "one record for each target");
        records
    }
}

/// So many targets of one sort.
pub(super) fn hosts(sort: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{sort}-{n}")).collect()
}

/// Waits until something is so.
pub(super) async fn until(mut is_so: impl FnMut() -> bool) {
    within(async {
        while !is_so() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
