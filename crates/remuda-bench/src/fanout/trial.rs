//! One run over very many loopback hosts: what it takes, and what it costs.

use std::{collections::BTreeMap, fmt::Write as _, net::Ipv4Addr, time::Duration};

use anyhow::{Result, ensure};
use remuda::client::{
    Client, LocalFile,
    dto::{CreateRun, RecordQuery, RunTargets},
};
use remuda_model::run::{
    Capture, Command, Http, Limits, Outcome, Priority, RunSpec, RunView, Secrets, Tls,
};
use tokio::time::{Instant, sleep};

use crate::{agents::Cluster, proc};

/// How often it is asked whether a run has ended.
const LOOK: Duration = Duration::from_millis(5);
/// How long a run may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// What is to be done.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub(super) port: u16,
    pub(super) targets: usize,
    /// How many of them never answer.
    pub(super) silent: usize,
    /// How long each may take.
    pub(super) patience: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) wall: Duration,
    /// From the last answer to the complete result.
    pub(super) tail: Duration,
    /// From the call to the last of the answers.
    pub(super) answers: Duration,
    /// The most memory of the coordinator, of the control node with the second copy, and of the
    /// workers, in bytes.
    pub(super) coordinator: u64,
    pub(super) standby: u64,
    pub(super) workers: u64,
}

impl Trial {
    /// Every target answers.
    pub(super) fn new(port: u16, targets: usize) -> Self {
        Self { port, targets, silent: 0, patience: Duration::from_mins(1) }
    }

    /// Carries it out, from the call to the complete result.
    pub(super) async fn run(&self, client: &Client, cluster: &Cluster) -> Result<Done> {
        let brought = bring(client, self.targets).await?;
        let controls = cluster.controls().count();
        let mut spec = spec(http(self.port), controls);
        spec.limits.total_ms = u64::try_from(self.patience.as_millis())?;
        let secrets = Secrets::default();
        let (begun, begun_ms) = (Instant::now(), wall_ms()?);
        let run = CreateRun { id: None, spec, targets: brought, secrets };
        let view = complete(client, &run).await?;
        let wall = begun.elapsed();
        let count = |outcome| view.counts.get(&outcome).copied().unwrap_or(0) as usize;
        let expected = (self.targets - self.silent, self.silent);
        let found = (count(Outcome::Ok), count(Outcome::TimedOut));
        ensure!(found == expected, "{found:?}, not {expected:?}: {:?}", view.counts);
        let last = last_answer(client, &view).await?;
        let tail =
            Duration::from_millis(view.ended_ms.unwrap_or(last.any).saturating_sub(last.any));
        let answers = Duration::from_millis(last.good.saturating_sub(begun_ms));
        let mut memory = Vec::new();
        for node in &cluster.nodes {
            memory.push(proc::most_memory(node.pid()?)?);
        }
        let standby = view.standby.as_ref().map(|standby| cluster.index(standby)).transpose()?;
        client.remove_run(&view.id).await?;
        Ok(Done {
            wall,
            tail,
            answers,
            coordinator: memory[0],
            standby: standby.map_or(0, |at| memory[at]),
            workers: memory[controls..].iter().sum(),
        })
    }
}

/// Brings the targets to the cluster, which is not measured.
pub(super) async fn bring(client: &Client, targets: usize) -> Result<RunTargets> {
    let mut text = String::new();
    for host in hosts(targets) {
        writeln!(text, "{host}")?;
    }
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), text)?;
    let local = LocalFile::read(file.path()).await?;
    client.upload(file.path(), &local, |_| {}).await?;
    Ok(RunTargets::Artifact { digest: local.digest, size: local.size })
}

/// Creates a run and waits for its end.
pub(super) async fn complete(client: &Client, run: &CreateRun) -> Result<RunView> {
    let mut view = client.create_run(run).await?;
    let end = Instant::now() + PATIENCE;
    while !view.state.has_ended() {
        ensure!(Instant::now() < end, "the run does not end: {view:?}");
        sleep(LOOK).await;
        view = client.run(&view.id).await?;
    }
    Ok(view)
}

/// When the last answers came, in milliseconds since the epoch.
struct Last {
    any: u64,
    good: u64,
}

async fn last_answer(client: &Client, view: &RunView) -> Result<Last> {
    let mut records = client.run_records(&view.id, &RecordQuery::default()).await?;
    let mut last = Last { any: 0, good: 0 };
    while let Some(record) = records.next().await? {
        let at = record.started_ms + record.duration_us / 1000;
        last.any = last.any.max(at);
        if record.outcome == Outcome::Ok {
            last.good = last.good.max(at);
        }
    }
    Ok(last)
}

fn wall_ms() -> Result<u64> {
    Ok(u64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_millis())?)
}

/// So many hosts that are all this machine.
pub(super) fn hosts(number: usize) -> impl Iterator<Item = Ipv4Addr> {
    let first = u32::from(Ipv4Addr::new(127, 1, 0, 1));
    (first..).take(number).map(Ipv4Addr::from)
}

fn http(port: u16) -> Command {
    Command::Http(Http {
        method: "GET".to_owned(),
        url: format!("http://{{{{host}}}}:{port}/"),
        headers: Vec::new(),
        body: None,
        expect: None,
        redirects: 0,
        tls: Tls::default(),
        capture: Capture::default(),
        poll: None,
    })
}

/// A run that the workers of a cluster with so many control nodes carry out.
pub(super) fn spec(command: Command, controls: usize) -> RunSpec {
    let others: Vec<String> = (1..=controls).map(|number| format!("node!=c{number}")).collect();
    RunSpec {
        name: None,
        command,
        vars: BTreeMap::default(),
        limits: Limits::default(),
        on: Some(others.join(" && ").parse().expect("a selector")),
        from_each: None,
        at_most_once: false,
        priority: Priority::Normal,
    }
}
