//! Rules for crates: the tiers of ARCHITECTURE.md, one crypto provider, no treacherous features.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Findings;
use crate::shell::{cargo, read, root};

/// Crates that anyone from their own tier upwards may use.
const SHARED: &[&str] = &["remuda-plugin", "remuda-runtime"];
/// Where crates are composed; there a tier may use itself.
const DEVELOPMENT: u8 = 9;

pub(super) fn check(findings: &mut Findings) -> Result<()> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).context("ARCHITECTURE.md")?;
    let tiers = tiers(&text);
    let metadata = read(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata")?;
    let packages = metadata["packages"].as_array().context("cargo metadata without packages")?;
    let mut present = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        present.push(name.to_owned());
        let Some(&tier) = tiers.get(name) else {
            findings.add(format!("ARCHITECTURE.md: the table of tiers lacks `{name}`"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let below = dependency["name"].as_str().unwrap_or_default();
            let is_dev = dependency["kind"].as_str() == Some("dev");
            if let Some(&its_tier) = tiers.get(below)
                && !is_dev
                && !allowed(tier, below, its_tier)
            {
                findings
                    .add(format!("{name} (tier {tier}) must not use {below} (tier {its_tier})"));
            }
        }
    }
    for name in tiers.keys().filter(|name| !present.contains(name)) {
        findings.add(format!("ARCHITECTURE.md: `{name}` does not exist"));
    }
    external(findings)
}

fn allowed(tier: u8, below: &str, its_tier: u8) -> bool {
    its_tier < tier
        || (its_tier == tier && (SHARED.contains(&below) || tier >= 5))
        || tier == DEVELOPMENT
}

/// Reads rows such as ``| 1 pure … | `remuda-wire`, `remuda-state` | … |``.
fn tiers(text: &str) -> BTreeMap<String, u8> {
    let mut tiers = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let Some(tier) = line[2..].chars().next().and_then(|char| char.to_digit(10)) else {
            continue;
        };
        let tier = u8::try_from(tier).expect("a digit");
        for name in line.split('`').skip(1).step_by(2) {
            tiers.insert(name.to_owned(), tier);
        }
    }
    tiers
}

/// One crypto provider, and numbers in JSON that stay numbers.
fn external(findings: &mut Findings) -> Result<()> {
    let lock =
        read(cargo().args(["tree", "--workspace", "-e", "normal,build", "--prefix", "none"]))?;
    for banned in ["ring", "openssl-sys", "native-tls", "bincode", "serde_yaml"] {
        if lock.lines().any(|line| line.split(' ').next() == Some(banned)) {
            findings.add(format!("Cargo.lock: `{banned}` must not be built"));
        }
    }
    let features =
        read(cargo().args(["tree", "--workspace", "-e", "features", "-i", "serde_json"]))?;
    if features.contains("arbitrary_precision") {
        findings.add("serde_json: the feature `arbitrary_precision` breaks numbers elsewhere");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_are_read_from_the_table() {
        let text = "| tier | crates |\n|---|---|\n| 0 words | `a` |\n| 1 pure | `b`, `c` | x |\n";
        let expected = BTreeMap::from([("a".into(), 0), ("b".into(), 1), ("c".into(), 1)]);
        assert_eq!(tiers(text), expected);
    }

    #[test]
    fn dependencies_point_downwards() {
        assert!(allowed(3, "remuda-link", 2));
        assert!(!allowed(3, "remuda-worker", 3));
        assert!(allowed(2, "remuda-runtime", 2));
        assert!(!allowed(1, "remuda-link", 2));
    }
}
