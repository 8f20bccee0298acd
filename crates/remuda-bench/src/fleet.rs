//! `remuda-bench fleet`: what thousands of workers cost a control node, and how quickly it serves
//! them.
//!
//! The control nodes are processes of the binary. The workers are simulated in this process: each has
//! its name, its certificate, its own source address in 127.0.0.0/8 and its own link over TLS, finds
//! its owner and keeps its session as agents do, and answers requests. It runs no tasks and keeps
//! nothing on disk: ten thousand real agents need two hundred gigabytes and as many threads.

mod measure;
mod swarm;
mod worker;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use self::{measure::Fleet, swarm::Swarm};
use crate::{agents::Cluster, options::Options, proc, report::Report};

pub(crate) async fn run(words: &[&str]) -> Result<()> {
    let values = ["--workers", "--controls", "--idle", "--storms", "--dir"];
    let options = Options::parse(words, &[], &values)?;
    let workers = options.number("--workers", 10_000, 200)?;
    let files = proc::raise_open_files()?;
    let needed = u64::try_from(workers)? + 200;
    ensure!(needed <= files, "{workers} workers need {needed} open files, {files} are allowed");
    let plan = Plan {
        workers,
        rounds: options.number("--rounds", 5, 1)?,
        storms: options.number("--storms", 3, 1)?,
        idle: Duration::from_secs(u64::try_from(options.number("--idle", 60, 3)?)?),
        settle: Duration::from_secs(if options.is_quick() { 2 } else { 15 }),
    };
    let dir = options.text("--dir").map_or_else(std::env::temp_dir, PathBuf::from);
    let mut report = Report::new("fleet", &options);
    for controls in options.numbers("--controls", &[1, 3])? {
        report.say(&format!("\n## {workers} workers, {controls} control nodes"));
        plan.measure(&mut report, &dir, controls).await?;
    }
    report.finish()
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
struct Plan {
    workers: usize,
    rounds: usize,
    storms: usize,
    idle: Duration,
    /// Between the last join and the first look at memory.
    settle: Duration,
}

impl Plan {
    async fn measure(&self, report: &mut Report, dir: &Path, controls: usize) -> Result<()> {
        let cluster = Cluster::start(dir, controls, 0).await?;
        let swarm = Swarm::new(&cluster, self.workers)?;
        let mut fleet = Fleet::new(cluster, swarm, controls, report);
        fleet.join(self.settle).await.context("join")?;
        fleet.idle(self.idle).await.context("idle")?;
        fleet.requests(self.rounds).await.context("requests")?;
        fleet.labels(self.rounds * 4).await.context("labels")?;
        for storm in 0..self.storms {
            fleet.storm().await.with_context(|| format!("storm {storm}"))?;
        }
        fleet.tell();
        Ok(())
    }
}
