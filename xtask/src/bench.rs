//! `cargo xtask bench`: builds for release, installs what is measured beside, and measures.

use anyhow::Result;

use crate::{
    programs::{apt_unstarted, has},
    shell::{cargo, say, step},
};

/// The measurements, and the Debian packages of the systems that each is made beside, with the
/// program that shows that a package is there.
const MEASUREMENTS: &[(&str, &[(&str, &str)])] = &[
    ("rpc", &[("erl", "erlang-base"), ("nats-server", "nats-server")]),
    ("fleet", &[]),
    ("store", &[("etcd", "etcd-server")]),
    ("discover", &[("dnsmasq", "dnsmasq-base")]),
    ("failover", &[]),
    ("files", &[("sshd", "openssh-server"), ("rsync", "rsync")]),
    ("wasm", &[]),
    ("idle", &[]),
    ("dev", &[]),
    ("build", &[]),
];

/// Runs the measurements that are named, each with the words that follow its name.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let words = if words.is_empty() { &["rpc", "idle", "dev"] } else { words };
    step(
        "release build",
        cargo().args(["build", "--release", "-p", "remuda-cli", "-p", "remuda-bench"]),
    )?;
    for run in split(words) {
        let name = run[0];
        let peers = MEASUREMENTS.iter().find(|(known, _)| *known == name);
        for (program, package) in peers.into_iter().flat_map(|(_, peers)| *peers) {
            if !has(program) && !apt_unstarted(&[package]) {
                say(&format!("NOT MEASURED: `{program}`: cannot install {package}"));
            }
        }
        let mut bench = cargo();
        bench.args(["run", "--release", "--quiet", "-p", "remuda-bench", "--"]).args(run);
        step(&format!("bench {}", run.join(" ")), &mut bench)?;
    }
    Ok(())
}

/// One list for each measurement: its name, then what is for it.
fn split<'a>(words: &'a [&'a str]) -> Vec<&'a [&'a str]> {
    let is_name = |word: &str| MEASUREMENTS.iter().any(|(name, _)| *name == word);
    words.chunk_by(|_, next| !is_name(next)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_measurement_gets_its_words() {
        let words = ["rpc", "tcp", "--rounds", "5", "store", "idle"];
        assert_eq!(split(&words), [&words[..4], &words[4..5], &words[5..]]);
        assert_eq!(split(&["fleet", "--quick"]), [["fleet", "--quick"]]);
    }
}
