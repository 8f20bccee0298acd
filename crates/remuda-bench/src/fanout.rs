//! `remuda-bench fanout`: one request to each of very many loopback hosts, over a new connection
//! each, beside the least that a client can do, `curl` and `aiohttp`; and one command over SSH to
//! each of many addresses of one `sshd`, beside `pssh`, `clush` and `ansible`.

mod limit;
mod peers;
mod server;
mod trial;

use std::{net::Ipv4Addr, path::Path, time::Duration};

use anyhow::{Result, bail, ensure};
use remuda::client::dto::CreateRun;
use remuda_model::run::{Command, HostKeys, Login, Outcome, Secrets, Ssh};
use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) use self::server::serve;
use self::trial::{Done, Trial, bring, complete, hosts, spec};
use crate::{agents::Cluster, child, files, options::Options, proc, report::Report};

/// How long the hosts of which some never answer may take.
const STUCK: Duration = Duration::from_secs(10);
/// One of so many never answers.
const SILENT: usize = 100;

pub(crate) async fn run(words: &[&str]) -> Result<()> {
    let values = ["--targets", "--workers", "--controls", "--ssh", "--slow", "--stuck", "--dir"];
    let options = Options::parse(words, &["--peers"], &values)?;
    let rounds = options.number("--rounds", 3, 1)?;
    let targets = options.number("--targets", 100_000, 1000)?;
    let slow = options.number("--slow", 40_000, 200)?;
    let stuck =
        options.numbers("--stuck", if options.is_quick() { &[] } else { &[10_000, 100_000] })?;
    let ssh_hosts = options.number("--ssh", 1000, 20)?;
    let below = Path::new(options.text("--dir").unwrap_or("/dev/shm"));
    let counts = options.numbers("--workers", if options.is_quick() { &[1] } else { &[1, 5] })?;
    let controls =
        options.numbers("--controls", if options.is_quick() { &[1] } else { &[1, 3] })?;
    proc::raise_open_files()?;
    let mut report = Report::new("fanout", &options);
    let server = child::start(&["web"]).await?;
    let ports: Result<Vec<u16>, _> = server.line.split(' ').map(str::parse).collect();
    let [fast_port, slow_port, stuck_port] = ports?[..] else { bail!("{}", server.line) };

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
    for (controls, workers) in
        controls.iter().flat_map(|controls| counts.iter().map(move |workers| (*controls, *workers)))
    {
        let more = ["--fanout-allow-loopback", "--fanout-slots", "10000"];
        let cluster = Cluster::start_with(below, controls, workers, &more).await?;
        let client = cluster.client(0, Duration::from_mins(2))?;
        let mut sides = Sides::default();
        for _ in 0..rounds {
            let done = Trial::new(fast_port, targets).run(&client, &cluster).await?;
            sides.add(&done, targets);
        }
        sides.tell(&mut report, &format!("{controls} control nodes, {workers} workers"), &limits);
        if (controls, workers) == (1, 1) {
            let mut took = Vec::new();
            for _ in 0..rounds {
                let done = Trial::new(slow_port, slow).run(&client, &cluster).await?;
                took.push(done.wall.as_secs_f64());
            }
            report.fact(&format!("{slow} hosts that take 1 s each, 10,000 slots"), "s", &took);
            for targets in &stuck {
                let silent = targets / SILENT;
                let trial = Trial { silent, patience: STUCK, ..Trial::new(stuck_port, *targets) };
                let (mut walls, mut answers) = (Vec::new(), Vec::new());
                for _ in 0..rounds {
                    let done = trial.run(&client, &cluster).await?;
                    walls.push(done.wall.as_secs_f64());
                    answers.push(done.answers.as_secs_f64());
                }
                let who = format!("{targets} hosts, 1 of {SILENT} never answers, 10 s each");
                report.fact(&who, "s", &walls);
                report.fact("  the others have answered after", "s", &answers);
            }
        }
    }
    if ssh_hosts > 0 {
        over_ssh(&mut report, below, ssh_hosts, rounds, options.has("--peers")).await?;
    }
    report.finish()
}

/// What came of several runs.
#[derive(Default)]
struct Sides {
    rates: Vec<f64>,
    walls: Vec<f64>,
    tails: Vec<f64>,
    coordinators: Vec<f64>,
    standbys: Vec<f64>,
    workers: Vec<f64>,
}

impl Sides {
    fn add(&mut self, done: &Done, targets: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a figure")]
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        self.rates.push(per_second(targets, done.wall));
        self.walls.push(done.wall.as_secs_f64());
        self.tails.push(done.tail.as_secs_f64() * 1000.0);
        self.coordinators.push(mebibytes(done.coordinator));
        self.standbys.push(mebibytes(done.standby));
        self.workers.push(mebibytes(done.workers));
    }

    fn tell(&self, report: &mut Report, who: &str, limits: &[f64]) {
        let ratio = median(&self.rates) / median(limits);
        report.fact(&format!("remuda, {who} ({ratio:.2} of the limit)"), "hosts/s", &self.rates);
        report.fact(&format!("  {who}: wall time"), "s", &self.walls);
        report.fact(&format!("  {who}: last answer to complete result"), "ms", &self.tails);
        report.fact(&format!("  {who}: most memory of the coordinator"), "MiB", &self.coordinators);
        report.fact(&format!("  {who}: most memory of the second copy"), "MiB", &self.standbys);
        report.fact(&format!("  {who}: most memory of the workers"), "MiB", &self.workers);
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
        let mut spec = spec(command.clone(), 1);
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
