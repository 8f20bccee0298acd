//! `remuda-bench store`: acknowledged writes, beside etcd and beside the disk itself.
//!
//! A write of remuda is a change of the cluster's state with 256 bytes in it, asked of the leader over
//! a link as other control nodes ask it; a write of etcd is a put of 256 bytes, asked of its leader
//! over gRPC. Ours share one connection, etcd's callers have one for each 64 of them, and both
//! acknowledge what a majority has synced. Links are encrypted, etcd's connections are not. In the rows `REST`, every caller makes
//! and revokes API tokens over an HTTP connection of its own.

mod disk;
mod writer;

use std::path::PathBuf;

use anyhow::Result;

use self::writer::{Api, Direct};
use crate::{
    agents::Cluster,
    load::{Caller, Sample, Span, closed_loop},
    options::Options,
    peers::etcd::Etcd,
    proc,
    report::{Report, Series},
};

/// Bytes of one value.
const VALUE: usize = 256;

pub(crate) async fn run(words: &[&str]) -> Result<()> {
    let options = Options::parse(words, &[], &["--callers", "--voters", "--dir"])?;
    let plan = Plan {
        rounds: options.number("--rounds", 5, 1)?,
        callers: options.numbers("--callers", &[1, 16, 64, 256])?,
        span: Span::of(&options),
        dir: options.text("--dir").map_or_else(std::env::temp_dir, PathBuf::from),
    };
    proc::must_be_on_a_disk(&plan.dir)?;
    proc::raise_open_files()?;
    let mut report = Report::new("store", &options);
    for voters in options.numbers("--voters", &[1, 3])? {
        plan.measure(&mut report, voters).await?;
    }
    report.finish()
}

struct Plan {
    rounds: usize,
    callers: Vec<usize>,
    span: Span,
    dir: PathBuf,
}

impl Plan {
    async fn measure(&self, report: &mut Report, voters: usize) -> Result<()> {
        let etcd = Etcd::start(&self.dir, voters).await;
        if let Err(error) = &etcd {
            report.say(&format!("NOT MEASURED: etcd: {error:#}"));
        }
        let etcd = etcd.ok();
        let cluster = Cluster::start(&self.dir, voters, 0).await?;
        let leader = cluster.leader().await?;
        let direct = Direct::connect(&cluster, leader, VALUE).await?;
        for &callers in &self.callers {
            let mut ours = Series::new(format!("remuda, {voters} voters"));
            let mut rest = Series::new(format!("remuda REST, {voters} voters"));
            let mut disk = Series::new("fdatasync, one at a time");
            let mut theirs = Series::new(etcd.as_ref().map_or("", |etcd| &etcd.name));
            for _ in 0..self.rounds {
                disk.samples.push(disk::run(&self.dir, VALUE, self.span).await?);
                if let Some(etcd) = &etcd {
                    let writers = etcd.writer(VALUE).await?.callers(callers).await?;
                    theirs.samples.push(self.sample(writers).await?);
                }
                ours.samples.push(self.sample(direct.callers(callers)).await?);
                let api = Api::callers(&cluster, leader, callers)?;
                rest.samples.push(self.sample(api).await?);
            }
            let mut others = vec![&disk, &rest];
            if etcd.is_some() {
                others.insert(0, &theirs);
            }
            report.compare(&format!("{voters} voters, {callers} callers"), &ours, &others)?;
        }
        Ok(())
    }

    async fn sample<C: Caller>(&self, callers: Vec<C>) -> Result<Sample> {
        closed_loop(callers, self.span).await
    }
}
