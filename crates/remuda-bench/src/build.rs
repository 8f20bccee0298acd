//! `remuda-bench build`: seconds of release builds, in a target folder of their own.

use std::{fs, path::Path, process::Command, time::Instant};

use anyhow::{Context as _, Result, ensure};

pub(crate) fn run() -> Result<()> {
    let target = tempfile::tempdir()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let build = || -> Result<f64> {
        let start = Instant::now();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(&root).args(["build", "--release", "--quiet", "-p", "remuda-cli"]);
        let status = command.env("CARGO_TARGET_DIR", target.path()).status().context("cargo")?;
        ensure!(status.success(), "build: {status}");
        Ok(start.elapsed().as_secs_f64())
    };
    println!("cold release build: {:.0} s", build()?);
    let touched = root.join("crates/remuda-control/src/lib.rs");
    let text = fs::read(&touched)?;
    fs::write(&touched, &text)?;
    println!("after a change of remuda-control: {:.0} s", build()?);
    Ok(())
}
