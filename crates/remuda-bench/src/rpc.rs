//! `remuda-bench rpc`: calls beside bare sockets and beside other systems, in one run.
//!
//! The bare sockets are the limit: nothing but ids and one write for all that waits. `--peers` adds
//! Erlang (`erpc` between two nodes, no server in between, as in one hop) and NATS (request and reply
//! by way of its server, as in two hops).

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use remuda::{link::Link, model::ClassName};
use remuda_link::connect_client;

use crate::{
    child, cluster,
    load::{Caller, Span, closed_loop},
    options::Options,
    peers::{erlang::Erlang, nats},
    raw,
    remote::{OneHop, TwoHops, bulk},
    report::{Report, Series},
};

/// Bytes that are sent at a time when as many as possible are sent, and the same in GiB.
const FLOOD: usize = 64 << 20;
const FLOOD_GIB: f64 = 1.0 / 16.0;
const TRANSPORTS: [&str; 5] = ["tcp", "tls", "quic", "ws", "wss"];

/// What of the measurement to make.
struct Plan {
    rounds: usize,
    callers: Vec<usize>,
    hops: Vec<usize>,
    span: Span,
}

pub(crate) async fn run(words: &[&str]) -> Result<()> {
    let options = Options::parse(words, &["--peers"], &["--callers", "--hops"])?;
    let default = ["tcp", "tls", "quic"].map(str::to_owned);
    let transports = if options.words.is_empty() { &default[..] } else { &options.words };
    for transport in transports {
        ensure!(TRANSPORTS.contains(&transport.as_str()), "no transport `{transport}`");
    }
    let plan = Plan {
        rounds: options.number("--rounds", 5, 1)?,
        callers: options.numbers("--callers", &[1, 64, 256])?,
        hops: options.numbers("--hops", &[1, 2])?,
        span: Span::of(&options),
    };
    let mut report = Report::new("rpc", &options);
    let server = child::start(&["raw"]).await?;
    let raw: SocketAddr = server.line.parse().context("the raw server tells its address")?;
    let mut beside = Beside::default();
    if options.has("--peers") {
        beside = Beside::start(&report).await;
    }
    for transport in transports {
        let mut run = Run { plan: &plan, raw, beside: &mut beside, transport };
        if plan.hops.contains(&1) {
            run.one_hop(&mut report).await?;
        }
        if plan.hops.contains(&2) {
            run.two_hops(&mut report).await?;
        }
    }
    report.finish()
}

/// The other systems that could be started.
#[derive(Default)]
struct Beside {
    erlang: Option<Erlang>,
    nats: Option<Nats>,
}

struct Nats {
    name: String,
    requester: nats::Requester,
    _responder: child::Running,
    _server: nats::Server,
}

impl Nats {
    async fn start() -> Result<Self> {
        let server = nats::Server::start().await?;
        let responder = child::start(&["nats", &server.address.to_string()]).await?;
        let requester = nats::Requester::connect(server.address).await?;
        Ok(Self { name: server.name.clone(), requester, _responder: responder, _server: server })
    }
}

impl Beside {
    async fn start(report: &Report) -> Self {
        let missing = |error: &anyhow::Error| report.say(&format!("NOT MEASURED: {error:#}"));
        Self {
            erlang: Erlang::start().await.inspect_err(missing).ok(),
            nats: Nats::start().await.inspect_err(missing).ok(),
        }
    }
}

/// The measurements over one transport.
struct Run<'a> {
    plan: &'a Plan,
    raw: SocketAddr,
    beside: &'a mut Beside,
    transport: &'a str,
}

impl Run<'_> {
    async fn one_hop(&mut self, report: &mut Report) -> Result<()> {
        let dir = tempfile::tempdir()?;
        let founded = cluster::control(&dir.path().join("control"), self.transport).await?;
        let told = &founded.told;
        let worker_dir = dir.path().join("worker");
        let worker_dir = worker_dir.to_str().context("a path in UTF-8")?;
        let (link, token) = (told.link.to_string(), told.worker_token.as_str());
        let _worker = child::start(&["worker", worker_dir, &told.join, &link, token]).await?;
        let control = founded.agent.control().context("a control node")?.clone();
        let (node, class) = ("bench-worker".parse()?, "echo".parse::<ClassName>()?);
        let caller = OneHop { control, node, class };
        self.compare(report, "one hop", &caller).await?;
        let links = founded.agent.links();
        let link = links.into_iter().find(|link| link.peer().node.as_str() == "bench-worker");
        self.beside_bulk(report, link.context("a link to the worker")?, &caller).await?;
        founded.agent.shutdown().await;
        Ok(())
    }

    async fn two_hops(&mut self, report: &mut Report) -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = |name: &str| dir.path().join(name).to_str().map(str::to_owned);
        let control_dir = path("control").context("a path in UTF-8")?;
        let control = child::start(&["control", &control_dir, self.transport]).await?;
        let told: cluster::Told = serde_json::from_str(&control.line)?;
        let worker_dir = path("worker").context("a path in UTF-8")?;
        let (url, token) = (told.link.to_string(), told.worker_token.as_str());
        let _worker = child::start(&["worker", &worker_dir, &told.join, &url, token]).await?;
        let pin = token.parse::<remuda_link::JoinToken>()?.pin;
        let link = connect_client(&told.link, Some(pin), &told.admin_token).await?;
        let (node, class) = ("bench-worker".parse()?, "echo".parse()?);
        self.compare(report, "two hops", &TwoHops { link, node, class }).await
    }

    /// The same numbers of callers, everybody in turns.
    async fn compare<C>(&mut self, report: &mut Report, hops: &str, caller: &C) -> Result<()>
    where
        C: Caller + Clone,
    {
        let (span, transport) = (self.plan.span, self.transport);
        for &callers in &self.plan.callers {
            let limit = if callers == 1 { "bare socket" } else { "bare mux" };
            let mut sides = Sides::new(format!("remuda {transport}"), limit, self.beside);
            for _ in 0..self.plan.rounds {
                sides.limit.samples.push(match callers {
                    1 => closed_loop(raw::own(self.raw, 1).await?, span).await?,
                    _ => closed_loop(raw::shared(self.raw, callers).await?, span).await?,
                });
                let ours = vec![caller.clone(); callers];
                sides.ours.samples.push(closed_loop(ours, span).await?);
                sides.others(self.beside, callers, span, Duration::ZERO).await?;
            }
            sides.tell(report, &format!("{transport}, {hops}, {callers} callers"))?;
        }
        Ok(())
    }

    /// Eight callers with a pause of a millisecond: alone, beside a megabyte every 10 ms, and beside
    /// as many bytes as go, all on one link.
    async fn beside_bulk(
        &mut self,
        report: &mut Report,
        link: Link,
        caller: &OneHop,
    ) -> Result<()> {
        let (span, transport) = (self.plan.span, self.transport);
        let paced = vec![Paced(caller.clone()); 8];
        let mut alone = Sides::new(format!("remuda {transport}"), "bare mux", self.beside);
        let mut trickled = Series::new(format!("remuda {transport}"));
        let mut flooded = Series::new(format!("remuda {transport}"));
        let mut flat = Vec::new();
        for _ in 0..self.plan.rounds {
            let bare = raw::shared(self.raw, 8).await?.into_iter().map(Paced).collect();
            alone.limit.samples.push(closed_loop(bare, span).await?);
            alone.ours.samples.push(closed_loop(paced.clone(), span).await?);
            alone.others(self.beside, 8, span, PAUSE).await?;
            let trickle = tokio::spawn(trickle(link.clone()));
            trickled.samples.push(closed_loop(paced.clone(), span).await?);
            trickle.abort();
            let (sent, start) = (Arc::new(AtomicU32::new(0)), Instant::now());
            let flood = tokio::spawn(flood(link.clone(), Arc::clone(&sent)));
            flooded.samples.push(closed_loop(paced.clone(), span).await?);
            flood.abort();
            let sent = f64::from(sent.load(Ordering::Relaxed));
            flat.push(sent * FLOOD_GIB / start.elapsed().as_secs_f64());
        }
        alone.tell(report, &format!("{transport}, paced"))?;
        report.compare(&format!("{transport}, 1 MB / 10 ms"), &trickled, &[&alone.ours])?;
        report.compare(&format!("{transport}, bulk flat out"), &flooded, &[&alone.ours])?;
        report.fact(&format!("{transport}, bulk beside paced calls"), "GiB/s", &flat);
        Ok(())
    }
}

/// Everybody's runs for one line.
struct Sides {
    ours: Series,
    limit: Series,
    erlang: Series,
    nats: Series,
}

impl Sides {
    fn new(ours: String, limit: &str, beside: &Beside) -> Self {
        Self {
            ours: Series::new(ours),
            limit: Series::new(limit),
            erlang: Series::new(beside.erlang.as_ref().map_or("", |erlang| &erlang.name)),
            nats: Series::new(beside.nats.as_ref().map_or("", |nats| &nats.name)),
        }
    }

    /// One run of each other system.
    async fn others(
        &mut self,
        beside: &mut Beside,
        callers: usize,
        span: Span,
        pause: Duration,
    ) -> Result<()> {
        if let Some(nats) = &beside.nats {
            let callers = vec![nats.requester.clone(); callers];
            self.nats.samples.push(if pause.is_zero() {
                closed_loop(callers, span).await?
            } else {
                closed_loop(callers.into_iter().map(Paced).collect(), span).await?
            });
        }
        if let Some(erlang) = &mut beside.erlang {
            self.erlang.samples.push(erlang.run(callers, span, pause).await?);
        }
        Ok(())
    }

    fn tell(&self, report: &mut Report, what: &str) -> Result<()> {
        let others = [&self.limit, &self.erlang, &self.nats];
        let others: Vec<&Series> =
            others.into_iter().filter(|side| !side.samples.is_empty()).collect();
        report.compare(what, &self.ours, &others)
    }
}

async fn trickle(link: Link) -> Result<()> {
    loop {
        bulk(&link, 1_000_000).await?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Sends as fast as it goes, and counts what has arrived.
async fn flood(link: Link, sent: Arc<AtomicU32>) -> Result<()> {
    loop {
        bulk(&link, FLOOD).await?;
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

const PAUSE: Duration = Duration::from_millis(1);

/// A caller that pauses for a millisecond after each call; the pause is not part of its latency.
#[derive(Clone)]
struct Paced<C>(C);

impl<C: Caller> Caller for Paced<C> {
    async fn call(&mut self) -> Result<()> {
        self.0.call().await
    }

    fn pause() -> Duration {
        PAUSE
    }
}
