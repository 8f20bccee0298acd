//! `remuda-bench fanout`: one request to each of very many loopback hosts, over a new connection
//! each, beside the least that a client can do, `curl` and `aiohttp`; and one command over SSH to
//! each of many addresses of one `sshd`, beside `pssh`, `clush` and `ansible`.

mod limit;
mod peers;
mod server;

use std::{collections::BTreeMap, fmt::Write as _, net::Ipv4Addr, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use remuda::client::{
    Client, LocalFile,
    dto::{CreateRun, RecordQuery, RunTargets},
};
use remuda_model::run::{
    Capture, Command, HostKeys, Http, Limits, Login, Outcome, Priority, RunSpec, RunView, Secrets,
    Ssh, Tls,
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

pub(crate) use self::server::serve;
use crate::{agents::Cluster, child, files, options::Options, proc, report::Report};

/// How often it is asked whether a run has ended.
const LOOK: Duration = Duration::from_millis(5);
/// How long a run may take.
const PATIENCE: Duration = Duration::from_mins(10);

pub(crate) async fn run(words: &[&str]) -> Result<()> {
    let values = ["--targets", "--workers", "--ssh", "--slow", "--dir"];
    let options = Options::parse(words, &["--peers"], &values)?;
    let rounds = options.number("--rounds", 3, 1)?;
    let targets = options.number("--targets", 100_000, 1000)?;
    let slow = options.number("--slow", 40_000, 200)?;
    let ssh_hosts = options.number("--ssh", 1000, 20)?;
    let below = Path::new(options.text("--dir").unwrap_or("/dev/shm"));
    let counts = options.numbers("--workers", if options.is_quick() { &[1] } else { &[1, 5] })?;
    proc::raise_open_files()?;
    let mut report = Report::new("fanout", &options);
    let server = child::start(&["web"]).await?;
    let (fast_port, slow_port) = server.line.split_once(' ').context("two ports")?;
    let (fast_port, slow_port): (u16, u16) = (fast_port.parse()?, slow_port.parse()?);

    let mut limits = Vec::new();
    let mut curls = Vec::new();
    let mut pythons = Vec::new();
    for _ in 0..rounds {
        limits.push(per_second(targets, limit::run(fast_port, targets, 100).await?));
        if options.has("--peers") {
            // Where curl has so many URLs, it slows down by the square of their number.
            let few = targets.min(10_000);
            curls.push(per_second(few, peers::curl(fast_port, few).await?));
            pythons.push(per_second(targets, peers::aiohttp(fast_port, targets).await?));
        }
    }
    report.fact("the least that a client can do", "hosts/s", &limits);
    if options.has("--peers") {
        report.fact("curl --parallel-max 300, 10,000 hosts", "hosts/s", &curls);
        report.fact("aiohttp, 1,000 at a time", "hosts/s", &pythons);
    }
    for workers in counts {
        let more = ["--fanout-allow-loopback", "--fanout-slots", "10000"];
        let cluster = Cluster::start_with(below, 1, workers, &more).await?;
        let client = cluster.client(0, Duration::from_mins(2))?;
        let mut sides = Sides::default();
        for _ in 0..rounds {
            let run = one(&client, &cluster, http(fast_port), targets).await?;
            sides.add(&run, targets);
        }
        sides.tell(&mut report, &format!("{workers} workers"), &limits);
        if workers == 1 {
            let mut took = Vec::new();
            for _ in 0..rounds {
                let run = one(&client, &cluster, http(slow_port), slow).await?;
                took.push(run.wall.as_secs_f64());
            }
            report.fact(&format!("{slow} hosts that take 1 s each, 10,000 slots"), "s", &took);
        }
    }
    if ssh_hosts > 0 {
        over_ssh(&mut report, below, ssh_hosts, rounds, options.has("--peers")).await?;
    }
    report.finish()
}

/// What came of one run.
struct Done {
    wall: Duration,
    /// From the last answer to the complete result.
    tail: Duration,
    coordinator: u64,
    workers: u64,
}

/// What came of several.
#[derive(Default)]
struct Sides {
    rates: Vec<f64>,
    walls: Vec<f64>,
    tails: Vec<f64>,
    coordinators: Vec<f64>,
    workers: Vec<f64>,
}

impl Sides {
    fn add(&mut self, run: &Done, targets: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a figure")]
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        self.rates.push(per_second(targets, run.wall));
        self.walls.push(run.wall.as_secs_f64());
        self.tails.push(run.tail.as_secs_f64() * 1000.0);
        self.coordinators.push(mebibytes(run.coordinator));
        self.workers.push(mebibytes(run.workers));
    }

    fn tell(&self, report: &mut Report, who: &str, limits: &[f64]) {
        let ratio = median(&self.rates) / median(limits);
        report.fact(&format!("remuda, {who} ({ratio:.2} of the limit)"), "hosts/s", &self.rates);
        report.fact(&format!("  {who}: wall time"), "s", &self.walls);
        report.fact(&format!("  {who}: last answer to complete result"), "ms", &self.tails);
        report.fact(&format!("  {who}: most memory of the coordinator"), "MiB", &self.coordinators);
        report.fact(&format!("  {who}: most memory of the workers"), "MiB", &self.workers);
    }
}

/// One run over so many loopback hosts, from the call to the complete result.
async fn one(client: &Client, cluster: &Cluster, command: Command, targets: usize) -> Result<Done> {
    let brought = bring(client, targets).await?;
    let begun = Instant::now();
    let run =
        CreateRun { id: None, spec: spec(command), targets: brought, secrets: Secrets::default() };
    let view = complete(client, &run).await?;
    let wall = begun.elapsed();
    let well = view.counts.get(&Outcome::Ok).copied().unwrap_or(0);
    ensure!(well as usize == targets, "{well} of {targets} were contacted well: {:?}", view.counts);
    let tail = tail(client, &view).await?;
    let mut memory = Vec::new();
    for node in &cluster.nodes {
        memory.push(proc::most_memory(node.pid()?)?);
    }
    let (coordinator, workers) = (memory[0], memory[1..].iter().sum());
    client.remove_run(&view.id).await?;
    Ok(Done { wall, tail, coordinator, workers })
}

/// Brings the targets to the cluster, which is not measured.
async fn bring(client: &Client, targets: usize) -> Result<RunTargets> {
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

async fn complete(client: &Client, run: &CreateRun) -> Result<RunView> {
    let mut view = client.create_run(run).await?;
    let end = Instant::now() + PATIENCE;
    while !view.state.has_ended() {
        ensure!(Instant::now() < end, "the run does not end: {view:?}");
        sleep(LOOK).await;
        view = client.run(&view.id).await?;
    }
    Ok(view)
}

/// From the last answer to the end of the run.
async fn tail(client: &Client, view: &RunView) -> Result<Duration> {
    let mut records = client.run_records(&view.id, &RecordQuery::default()).await?;
    let mut last = 0;
    while let Some(record) = records.next().await? {
        last = last.max(record.started_ms + record.duration_us / 1000);
    }
    Ok(Duration::from_millis(view.ended_ms.unwrap_or(last).saturating_sub(last)))
}

/// So many hosts that are all this machine.
pub(crate) fn hosts(number: usize) -> impl Iterator<Item = Ipv4Addr> {
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

fn spec(command: Command) -> RunSpec {
    RunSpec {
        name: None,
        command,
        vars: BTreeMap::default(),
        limits: Limits::default(),
        on: Some("node!=c1".parse().expect("a selector")),
        from_each: None,
        at_most_once: false,
        priority: Priority::Normal,
    }
}

async fn over_ssh(
    report: &mut Report,
    below: &Path,
    hosts: usize,
    rounds: usize,
    with_peers: bool,
) -> Result<()> {
    let home = TempDir::with_prefix_in("remuda-bench-ssh-", below)?;
    let ssh = files::Ssh::start(home.path(), Ipv4Addr::UNSPECIFIED).await?;
    let cluster = Cluster::start_with(below, 1, 1, &["--fanout-allow-loopback"]).await?;
    let client = cluster.client(0, Duration::from_mins(2))?;
    let command = Command::Ssh(Ssh {
        command: "true".to_owned(),
        script: None,
        user: "root".to_owned(),
        port: Some(ssh.port().to_string()),
        login: Login::Key,
        host_keys: HostKeys::Off,
        known_hosts: None,
        sudo: None,
        output: None,
    });
    let key = std::fs::read_to_string(ssh.key())?;
    let mut rates = Vec::new();
    for _ in 0..rounds {
        let secrets = Secrets { key: Some(key.clone().into()), ..Secrets::default() };
        let mut spec = spec(command.clone());
        spec.limits.concurrency = Some(64);
        let run = CreateRun { id: None, spec, targets: bring(&client, hosts).await?, secrets };
        let begun = Instant::now();
        let view = complete(&client, &run).await?;
        let well = view.counts.get(&Outcome::Ok).copied().unwrap_or(0) as usize;
        ensure!(well == hosts, "{well} of {hosts}: {:?}", view.counts);
        rates.push(per_second(hosts, begun.elapsed()));
    }
    let ours = median(&rates);
    report.fact("ssh: remuda, 64 at a time", "hosts/s", &rates);
    if with_peers {
        for (name, took) in peers::over_ssh(&ssh, home.path(), hosts).await? {
            let rate = per_second(hosts, took);
            let what = format!("ssh: {name} (remuda is {:.2} times as fast)", ours / rate);
            report.fact(&what, "hosts/s", &[rate]);
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure")]
fn per_second(number: usize, took: Duration) -> f64 {
    number as f64 / took.as_secs_f64()
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
