//! One simulated worker: it finds its owner, keeps its session and answers requests.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use remuda::{
    link::{Link, Priority, Router, Stream},
    model::{
        Epoch, Failure, Generation, Labels, LinkUrl, NodeId, NodeStats, NodeStatus, Role, Roles,
        VERSION,
    },
};
use remuda_link::{
    CertificatesOnly, Endpoint, EndpointConfig, Identity, Limits, NodeCertificate, RecvHalf,
    SendHalf,
};
use remuda_runtime::{Backoff, Supervisor};
use remuda_wire::{
    decode, encode,
    message::{
        ANNOUNCE, SESSION, WORK,
        announce::{Announce, Answer, Placement},
        session::{FromOwner, FromWorker},
        work,
    },
};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::swarm::Swarm;

/// As real workers have it.
const STATS_EVERY: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(5);
const BASE: Duration = Duration::from_millis(200);
const MAX_HOPS: usize = 4;
const MAX_MESSAGE: usize = 256 << 10;

/// One worker with its certificate.
pub(super) struct Worker {
    id: NodeId,
    number: usize,
    boot: u64,
    endpoint: Endpoint,
    labels: watch::Sender<Labels>,
}

/// Where to look first, and who is known to be there.
type Target = (Option<NodeId>, LinkUrl);

impl Worker {
    pub(super) fn new(
        number: usize,
        cluster: &remuda::model::ClusterId,
        certificate: NodeCertificate,
        supervisor: &Supervisor,
    ) -> Result<Self> {
        let id = name(number)?;
        let config = EndpointConfig {
            identity: Identity {
                node: id.clone(),
                cluster: cluster.clone(),
                role: Role::Worker,
                generation: Generation(1),
                certificate: Some(certificate),
            },
            advertise: Vec::new(),
            allow_plaintext: false,
            admission: Arc::new(CertificatesOnly),
            secret: None,
            limits: Limits::default(),
        };
        let (endpoint, _accepted) = Endpoint::new(config, supervisor.clone())?;
        let labels = watch::Sender::new(format!("group=g{}", number % 10).parse()?);
        Ok(Self { id, number, boot: fastrand::u64(1..), endpoint, labels })
    }

    /// Changes a label by itself.
    pub(super) fn relabel(&self, labels: &Labels) {
        self.labels.send_modify(|own| own.update(labels));
    }

    /// Lives for ever: finds the owner, talks, begins anew.
    pub(super) async fn live(self: Arc<Self>, swarm: Arc<Swarm>) {
        let router = self.router();
        let seed = u64::try_from(self.number).unwrap_or_default();
        let mut backoff = Backoff::new(BASE, SOON, seed);
        let mut first: Option<Target> = None;
        loop {
            match self.attach(&swarm, first.take()).await {
                Ok(session) => {
                    backoff.reset();
                    let last = session.target.clone();
                    swarm.welcomed();
                    let moved = self.converse(session, &router, &swarm).await;
                    swarm.left(moved.is_none());
                    first = moved.or(Some(last));
                }
                Err(error) => {
                    swarm.failed(&error);
                    sleep(backoff.next_delay()).await;
                }
            }
        }
    }

    /// Dials, announces, follows redirects and opens the session.
    async fn attach(&self, swarm: &Swarm, first: Option<Target>) -> Result<Session> {
        let mut targets: Vec<Target> =
            swarm.controls.iter().map(|url| (None, url.clone())).collect();
        fastrand::shuffle(&mut targets);
        targets.extend(first);
        let (mut unreachable, mut hops, mut last) = (Vec::new(), 0, None);
        while let Some((node, url)) = targets.pop() {
            let link = match self.endpoint.dial_from(&url, source(self.number)).await {
                Ok(link) => link,
                Err(error) => {
                    unreachable.extend(node);
                    last = Some(anyhow::Error::new(error));
                    continue;
                }
            };
            let body = encode(&self.announce(unreachable.clone()));
            let answer = link.call(ANNOUNCE, Priority::Calls, body, ANSWER).await?;
            match decode::<Answer>(&answer)?? {
                Placement::Owned { epoch } | Placement::Relay { epoch, .. } => {
                    return self.open(link, epoch, url).await;
                }
                Placement::Redirect { owner, addresses, .. } => {
                    hops += 1;
                    ensure!(hops <= MAX_HOPS, "sent around in circles");
                    targets.extend(addresses.into_iter().map(|url| (Some(owner.clone()), url)));
                }
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("nobody to dial")))
    }

    async fn open(&self, link: Link, epoch: Epoch, url: LinkUrl) -> Result<Session> {
        let opened = timeout(ANSWER, async {
            let (mut send, mut recv) = link.open(SESSION, Priority::Events).await?.split();
            let hello = FromWorker::Hello {
                announce: Box::new(self.announce(Vec::new())),
                epoch,
                status: NodeStatus::Ready,
                running_tasks: 0,
                next_event: 1,
                last_event: 0,
            };
            send.send(&hello).await?;
            match recv.recv(MAX_MESSAGE).await? {
                Some(FromOwner::Welcome { .. }) => anyhow::Ok((send, recv)),
                _ => bail!("not welcome"),
            }
        });
        let (send, recv) = opened.await.context("no welcome in time")??;
        let target = (Some(link.peer().node.clone()), url);
        Ok(Session { link, send, recv, target })
    }

    /// Talks until the session ends. Gives the next owner when the present one has named it.
    async fn converse(&self, session: Session, router: &Router, swarm: &Swarm) -> Option<Target> {
        let Session { link, mut send, mut recv, .. } = session;
        let mut labels = self.labels.subscribe();
        // As real workers do: they may have changed since the first message was written.
        labels.mark_changed();
        let mut stats_at = Instant::now() + STATS_EVERY.mul_f64(fastrand::f64());
        let mut moved = None;
        let talk = async {
            loop {
                let message = tokio::select! {
                    biased;
                    said = recv.recv(MAX_MESSAGE) => match said {
                        Ok(Some(FromOwner::Moved { owner, addresses, .. })) => {
                            let url = addresses.into_iter().next();
                            moved = url.map(|url| (Some(owner), url));
                            break;
                        }
                        Ok(Some(_)) => continue,
                        Ok(None) | Err(_) => break,
                    },
                    Ok(()) = labels.changed() => {
                        FromWorker::Labels(labels.borrow_and_update().clone())
                    }
                    () = sleep_until(stats_at) => {
                        stats_at = Instant::now() + STATS_EVERY;
                        FromWorker::Stats { stats: stats(), running_tasks: 0 }
                    }
                };
                if send.send(&message).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = talk => (),
            () = router.serve(link.clone(), &swarm.supervisor) => (),
        }
        link.close("the session is over");
        moved
    }

    fn announce(&self, unreachable: Vec<NodeId>) -> Announce {
        let attributes = [("os", "linux"), ("cpu.arch", "x86_64"), ("hostname", self.id.as_str())];
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Announce {
            node: self.id.clone(),
            generation: Generation(1),
            boot: self.boot,
            roles: Roles::WORKER,
            version: VERSION.to_owned(),
            addresses: Vec::new(),
            labels: self.labels.borrow().clone(),
            attributes: BTreeMap::from(attributes),
            epoch: Epoch(0),
            unreachable,
        }
    }

    /// Answers requests: those of the class `node` about labels, all others with themselves.
    fn router(&self) -> Router {
        let mut router = Router::new();
        let labels = self.labels.clone();
        router.route(WORK, &[Role::Control], move |_link, stream| answer(labels.clone(), stream));
        router
    }
}

/// A conversation that the owner has welcomed.
struct Session {
    link: Link,
    send: SendHalf,
    recv: RecvHalf,
    target: Target,
}

async fn answer(labels: watch::Sender<Labels>, mut stream: Stream) {
    let Ok(bytes) = stream.read_to_end(MAX_MESSAGE).await else { return };
    let reply: work::Reply = match decode::<work::Call>(&bytes) {
        Ok(work::Call { op: work::Op::Request { class, payload }, .. }) => {
            let changed = if class.as_str() == "node" { update(&labels, &payload) } else { None };
            Ok(work::Done::Payload(changed.unwrap_or(payload)))
        }
        _ => Err(Failure::invalid("a simulated worker only answers requests")),
    };
    // The caller may have gone.
    drop(stream.finish_with(encode(&reply)).await);
}

fn update(labels: &watch::Sender<Labels>, payload: &[u8]) -> Option<Vec<u8>> {
    let request: Value = serde_json::from_slice(payload).ok()?;
    let change: Labels = request.get("update_labels")?.as_str()?.parse().ok()?;
    labels.send_modify(|own| own.update(&change));
    let text = labels.borrow().to_string();
    serde_json::to_vec(&json!(text)).ok()
}

fn stats() -> NodeStats {
    NodeStats { cpus: 2, load: [fastrand::f64(); 3], mem_total: 1 << 34, ..NodeStats::default() }
}

pub(super) fn name(number: usize) -> Result<NodeId> {
    Ok(format!("sim-{number:05}").parse()?)
}

/// Where worker number so and so dials from: 127.1.0.1, 127.1.0.2, …
fn source(number: usize) -> IpAddr {
    let byte = |number: usize| u8::try_from(number).expect("below 256");
    let (last, rest) = (number % 254 + 1, number / 254);
    IpAddr::V4(Ipv4Addr::new(127, byte((rest / 256) % 254 + 1), byte(rest % 256), byte(last)))
}
