//! `cargo xtask tidy`: the rules of the repository that no compiler checks.

mod files;
mod graph;
mod routes;

use anyhow::{Result, bail};

use crate::shell::say;

/// Collects broken rules, so that all are reported at once.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<String>);

impl Findings {
    pub(crate) fn add(&mut self, text: impl Into<String>) {
        self.0.push(text.into());
    }
}

pub(crate) fn run() -> Result<()> {
    let mut findings = Findings::default();
    files::check(&mut findings)?;
    graph::check(&mut findings)?;
    routes::check(&mut findings)?;
    for finding in &findings.0 {
        say(finding);
    }
    if !findings.0.is_empty() {
        bail!("{} rules broken", findings.0.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_repository_is_tidy() {
        super::run().expect("tidy");
    }
}
