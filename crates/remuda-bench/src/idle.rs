//! `remuda-bench idle`: memory of one idle agent, as the kernel counts it.

use std::{fs, process::Stdio, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{process::Command, time::sleep};

use crate::{child, cluster};

/// How long the agent is left alone before it is looked at.
const SETTLE: Duration = Duration::from_secs(15);

pub(crate) async fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let control_dir = dir.path().join("control");
    let control = child::start(&["control", control_dir.to_str().context("UTF-8")?, "tls"]).await?;
    let told: cluster::Told = serde_json::from_str(&control.line)?;
    let program = std::env::current_exe()?.with_file_name("remuda");
    let mut command = Command::new(program);
    command.args(["agent", "--exit-with-parent", "--join", &told.join]);
    command.args(["--token", &told.worker_token, "--data-dir"]).arg(dir.path().join("worker"));
    command.stdin(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut agent = command.spawn().context("build the binary first: cargo xtask bench idle")?;
    sleep(SETTLE).await;
    anyhow::ensure!(agent.try_wait()?.is_none(), "the agent ended");
    let status = fs::read_to_string(format!("/proc/{}/status", agent.id().context("it runs")?))?;
    let kib = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok())
    };
    let rss = kib("VmRSS:").context("VmRSS")? / 1024.0;
    let anonymous = kib("RssAnon:").context("RssAnon")? / 1024.0;
    println!("idle worker agent: RSS {rss:.1} MiB, of which its own memory {anonymous:.1} MiB");
    Ok(())
}
