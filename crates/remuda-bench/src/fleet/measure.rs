//! The measurements, one after the other, on one fleet.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use remuda::{
    link::Link,
    model::{Labels, NodeStatus, NodeView},
};
use remuda_link::{JoinToken, connect_client};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    swarm::Swarm,
    worker::{Worker, name},
};
use crate::{
    agents::{Cluster, Node},
    load::Caller as _,
    proc,
    remote::TwoHops,
    report::Report,
};

/// Nothing takes longer, or the measurement has failed.
const LIMIT: Duration = Duration::from_mins(10);
/// Requests under way at a time.
const CALLERS: usize = 256;
/// How often a control node is asked what it sees.
const LOOK: Duration = Duration::from_millis(5);
const KIB: f64 = 1024.0;
const MIB: f64 = KIB * KIB;

/// The fleet and what was seen of it.
pub(super) struct Fleet<'a> {
    cluster: Cluster,
    swarm: Arc<Swarm>,
    workers: Vec<Arc<Worker>>,
    controls: usize,
    report: &'a mut Report,
    storms: BTreeMap<(&'static str, &'static str), Vec<f64>>,
}

impl<'a> Fleet<'a> {
    pub(super) fn new(
        cluster: Cluster,
        swarm: Arc<Swarm>,
        controls: usize,
        report: &'a mut Report,
    ) -> Self {
        Self { cluster, swarm, workers: Vec::new(), controls, report, storms: BTreeMap::new() }
    }

    /// Certificates for all, then sessions for all at once, then what that costs in memory.
    pub(super) async fn join(&mut self, settle: Duration) -> Result<()> {
        let before = self.memory()?;
        let start = Instant::now();
        self.workers = self.swarm.join().await?;
        let (n, spent) = (count(self.swarm.size), start.elapsed().as_secs_f64());
        self.fact("first joins, with a certificate each", "s", spent);
        self.fact("first joins", "per s", n / spent);
        let start = Instant::now();
        self.swarm.release(&self.workers);
        self.swarm.complete(LIMIT).await?;
        let spent = start.elapsed().as_secs_f64();
        self.fact("authenticated sessions for all at once", "s", spent);
        self.fact("authenticated sessions", "per s", n / spent);
        self.all_ready().await?;
        self.fact("until every control node shows all ready", "s", start.elapsed().as_secs_f64());
        self.swarm.welcomes();
        sleep(settle).await;
        self.say_memory(&before).await
    }

    async fn say_memory(&mut self, before: &[proc::Memory]) -> Result<()> {
        let after = self.memory()?;
        let owned = self.owned().await?;
        for (at, (before, after)) in before.iter().zip(&after).enumerate() {
            let name = self.cluster.nodes[at].name.clone();
            let resident = bytes(after.resident.saturating_sub(before.resident));
            let own = bytes(after.own.saturating_sub(before.own));
            self.fact(&format!("{name}: resident, of all"), "MiB", bytes(after.resident) / MIB);
            let per = count(owned[at].max(1));
            self.fact(&format!("{name}: sessions"), "", count(owned[at]));
            self.fact(&format!("{name}: growth for each session"), "KiB", resident / per / KIB);
            self.fact(&format!("{name}: of that its own memory"), "KiB", own / per / KIB);
        }
        Ok(())
    }

    /// What a fleet costs in which nobody does anything.
    pub(super) async fn idle(&mut self, span: Duration) -> Result<()> {
        self.swarm.losses();
        let before = self.cpu()?;
        sleep(span).await;
        let after = self.cpu()?;
        for (at, (before, after)) in before.iter().zip(&after).enumerate() {
            let share = after.saturating_sub(*before).as_secs_f64() / span.as_secs_f64() * 100.0;
            let name = self.cluster.nodes[at].name.clone();
            self.fact(&format!("{name}: idle with heartbeats"), "% of a core", share);
        }
        let (lost, _) = self.swarm.losses();
        self.fact("sessions lost meanwhile", "", count(lost));
        let views = self.views(0).await?;
        let rtts: Vec<_> =
            views.iter().filter_map(|view| view.rtt_us).map(Duration::from_micros).collect();
        self.report.spans("round trip to the workers", &rtts);
        Ok(())
    }

    /// One request to every worker, through one control node, so many times.
    pub(super) async fn requests(&mut self, rounds: usize) -> Result<()> {
        let link = self.link().await?;
        let (mut rates, mut all) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let start = Instant::now();
            let spans = ask_all(&link, self.swarm.size).await?;
            rates.push(count(self.swarm.size) / start.elapsed().as_secs_f64());
            all.extend(spans);
        }
        self.report.fact("one request to every worker", "per s", &rates);
        self.report.spans("one of these requests", &all);
        Ok(())
    }

    /// A changed label, until every control node shows it.
    pub(super) async fn labels(&mut self, rounds: usize) -> Result<()> {
        let client = self.cluster.client(0, LIMIT)?;
        let mut spans = Vec::new();
        for round in 0..rounds {
            // Each time another worker: a record that changes all the time is committed late.
            let node = name((round * 37) % self.swarm.size)?;
            let labels: Labels = format!("seen;round={round}").parse()?;
            let start = Instant::now();
            client.set_labels(&node, &labels, &[]).await?;
            for (at, _) in self.cluster.controls() {
                let client = self.cluster.client(at, LIMIT)?.stale();
                while client.node(&node).await?.labels.get("seen") != labels.get("seen") {
                    ensure!(start.elapsed() < LIMIT, "the label of {node} never shows");
                    sleep(LOOK).await;
                }
            }
            spans.push(start.elapsed());
        }
        self.report.spans("a label changed, until every control node shows it", &spans);
        let start = Instant::now();
        Swarm::relabel(&self.workers, &"all".parse()?);
        for (at, _) in self.cluster.controls() {
            loop {
                let views = self.views(at).await?;
                let seen = views.iter().filter(|view| view.labels.get("all").is_some()).count();
                if seen == self.swarm.size {
                    break;
                }
                ensure!(start.elapsed() < LIMIT, "only {seen} labels show");
                sleep(LOOK * 20).await;
            }
        }
        let spent = start.elapsed().as_secs_f64();
        self.fact("a label of all changed, until every control node shows all", "s", spent);
        Ok(())
    }

    /// Kills the leader; a lone one is started again at once.
    pub(super) async fn storm(&mut self) -> Result<()> {
        let leader = self.cluster.leader().await?;
        let sessions = self.owned().await?[leader];
        self.swarm.losses();
        self.swarm.welcomes();
        let start = Instant::now();
        self.cluster.nodes[leader].kill9().await?;
        if self.controls == 1 {
            self.cluster.nodes[leader].start()?;
        }
        if sessions > 0 {
            self.swarm.broken(LIMIT).await?;
        }
        self.swarm.complete(LIMIT).await?;
        self.note("all connected again", "s", start.elapsed().as_secs_f64());
        self.all_ready().await?;
        self.note(
            "all ready again at every living control node",
            "s",
            start.elapsed().as_secs_f64(),
        );
        let (lost, failures) = self.swarm.losses();
        self.note("sessions of the killed node", "", count(sessions));
        self.note("sessions lost", "", count(lost));
        self.note("attempts that failed", "", count(failures));
        let largest = self.memory()?.iter().map(|memory| memory.resident).max();
        self.note("resident memory of the largest", "MiB", bytes(largest.unwrap_or(0)) / MIB);
        if self.controls > 1 {
            self.cluster.nodes[leader].start()?;
            self.cluster.nodes[leader].ready().await?;
        }
        self.cluster.settled(self.controls).await?;
        self.swarm.complete(LIMIT).await?;
        self.all_ready().await?;
        self.note("the node back, workers moved, all ready", "s", start.elapsed().as_secs_f64());
        Ok(())
    }

    /// Tells what the storms were like.
    pub(super) fn tell(self) {
        for ((what, unit), values) in &self.storms {
            self.report.fact(&format!("leader killed: {what}"), unit, values);
        }
    }

    fn fact(&mut self, what: &str, unit: &str, value: f64) {
        self.report.fact(what, unit, &[value]);
    }

    fn memory(&self) -> Result<Vec<proc::Memory>> {
        self.running().map(|node| proc::memory(node.pid()?)).collect()
    }

    fn cpu(&self) -> Result<Vec<Duration>> {
        self.running().map(|node| proc::cpu(node.pid()?)).collect()
    }

    /// Waits until every living control node shows all workers as ready.
    async fn all_ready(&self) -> Result<()> {
        let start = Instant::now();
        for (at, node) in self.cluster.controls().filter(|(_, node)| node.runs()) {
            loop {
                let views = self.views(at).await.unwrap_or_default();
                let others = views.iter().filter(|view| view.status != NodeStatus::Ready);
                let others: Vec<_> = others.map(|view| (&view.id, view.status)).collect();
                if others.is_empty() && views.len() == self.swarm.size {
                    break;
                }
                let (name, n_known) = (&node.name, views.len());
                ensure!(start.elapsed() < LIMIT, "{name} knows {n_known}; not ready: {others:?}");
                sleep(LOOK * 20).await;
            }
        }
        Ok(())
    }

    /// The simulated workers as one control node shows them.
    async fn views(&self, at: usize) -> Result<Vec<NodeView>> {
        let nodes = self.cluster.client(at, LIMIT)?.stale().nodes().await?;
        Ok(nodes.into_iter().filter(|view| view.id.as_str().starts_with("sim-")).collect())
    }

    /// How many workers each control node owns, as the first that runs sees it.
    async fn owned(&self) -> Result<Vec<usize>> {
        let (first, _) = self.cluster.controls().find(|(_, node)| node.runs()).context("none")?;
        let mut owned = vec![0; self.controls];
        for view in self.views(first).await? {
            if let Some(owner) = &view.owner {
                owned[self.cluster.index(owner)?] += 1;
            }
        }
        Ok(owned)
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.cluster.controls().map(|(_, node)| node).filter(|node| node.runs())
    }

    /// A client's link to the first control node.
    async fn link(&self) -> Result<Link> {
        let pin = self.cluster.read("join-token-worker")?.parse::<JoinToken>()?.pin;
        Ok(connect_client(&self.cluster.link(0)?, Some(pin), self.cluster.admin()).await?)
    }

    fn note(&mut self, what: &'static str, unit: &'static str, value: f64) {
        self.report.say(&format!("leader killed: {what}: {value:.2} {unit}"));
        self.storms.entry((what, unit)).or_default().push(value);
    }
}

/// Asks every worker once, many at a time.
async fn ask_all(link: &Link, size: usize) -> Result<Vec<Duration>> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS.min(size) {
        let (next, link) = (Arc::clone(&next), link.clone());
        callers.spawn(async move {
            let mut spans = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= size {
                    return anyhow::Ok(spans);
                }
                let node = name(number)?;
                let mut hops = TwoHops { link: link.clone(), node, class: "echo".parse()? };
                let start = Instant::now();
                hops.call().await?;
                spans.push(start.elapsed());
            }
        });
    }
    let mut all = Vec::with_capacity(size);
    while let Some(spans) = callers.join_next().await {
        all.extend(spans??);
    }
    Ok(all)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn count(number: usize) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn bytes(number: u64) -> f64 {
    number as f64
}
