//! `cargo xtask sim`: whole clusters from seeds, in a build with optimisation.

use anyhow::Result;

use crate::shell::{cargo, step};

/// Passes the words on to the simulator.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let mut simulator = cargo();
    simulator.args(["run", "--release", "--quiet", "-p", "remuda-sim", "--"]).args(words);
    step("simulation", &mut simulator)
}
