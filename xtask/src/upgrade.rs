//! `cargo xtask upgrade`: rolling upgrades from the release before, again and again.

use anyhow::{Result, bail};

use crate::shell::{cargo, step};

/// Runs the test of rolling upgrades for several rounds, each with another order of the nodes.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let rounds = match arguments {
        [] => "10",
        ["--rounds", rounds] if rounds.parse::<u32>().is_ok_and(|rounds| rounds > 0) => rounds,
        _ => bail!("expected `cargo xtask upgrade [--rounds N]`"),
    };
    let mut rolling = cargo();
    rolling.args(["test", "-p", "remuda-e2e", "--test", "upgrade", "--", "--nocapture"]);
    step("rolling upgrades", rolling.env("REMUDA_UPGRADE_ROUNDS", rounds))
}
