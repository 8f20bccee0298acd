//! `cargo xtask bench`: builds for release and measures.

use anyhow::Result;

use crate::shell::{cargo, step};

pub(crate) fn run(names: &[&str]) -> Result<()> {
    let names = if names.is_empty() { &["rpc", "idle", "dev"] } else { names };
    step(
        "release build",
        cargo().args(["build", "--release", "-p", "remuda-cli", "-p", "remuda-bench"]),
    )?;
    for name in names {
        let mut run = cargo();
        run.args(["run", "--release", "--quiet", "-p", "remuda-bench", "--", name]);
        step(&format!("bench {name}"), &mut run)?;
    }
    Ok(())
}
