//! `remuda-bench dev`: from the command to five ready nodes.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

const ROUNDS: usize = 3;

pub(crate) async fn run() -> Result<()> {
    let program = std::env::current_exe()?.with_file_name("remuda");
    for _ in 0..ROUNDS {
        let start = Instant::now();
        // `dev` runs the command once every node is ready.
        let mut command = Command::new(&program);
        let output = command.args(["dev", "--", "date", "+%s.%N"]).output().await;
        let output = output.context("build the binary first: cargo xtask bench dev")?;
        ensure!(output.status.success(), "dev: {}", output.status);
        println!(
            "dev with five nodes, started, used and ended: {:.2} s",
            start.elapsed().as_secs_f64()
        );
    }
    Ok(())
}
