//! `cargo xtask faults`: builds for release and lets faults happen.

use anyhow::Result;

use crate::{
    programs::target_dir,
    shell::{cargo, root, step},
};

pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    step(
        "release build",
        cargo().args(["build", "--release", "--quiet", "-p", "remuda-cli", "-p", "remuda-e2e"]),
    )?;
    let mut faults = std::process::Command::new(target_dir().join("release/remuda-faults"));
    let evidence = target_dir().join("remuda-faults");
    faults.current_dir(root()).arg("--evidence").arg(evidence).args(arguments);
    step("faults", &mut faults)
}
