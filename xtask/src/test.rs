//! `cargo xtask test`: everything that must hold before a change lands.

use std::process::Command;

use anyhow::Result;

use crate::{
    api,
    programs::{Untested, apt, apt_unstarted, cargo_program, has, python_with, target_dir},
    shell::{cargo, root, say, step},
    sim, tidy,
};

/// Programs that single tests need: the program, its Debian package, part of the tests' names.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("ip", "iproute2", "namespace"),
    ("nft", "nftables", "namespace"),
    ("faketime", "faketime", "clock"),
    ("dnsmasq", "dnsmasq-base", "dnsmasq"),
    ("tinyproxy", "tinyproxy-bin", "tinyproxy"),
    ("git", "git", "repositories"),
    ("sshd", "openssh-server", "sshd"),
    ("sshd", "openssh-server", "openssh"),
];

/// Languages of the example job classes: part of the test's name, Debian packages.
const GUESTS: &[(&str, &str, &[&str])] = &[
    ("c", "guest_in_c", &["clang", "lld", "wasi-libc", "libclang-rt-dev-wasm32"]),
    ("javascript", "guest_in_javascript", &["nodejs", "npm"]),
    ("python", "guest_in_python", &["python3-venv"]),
    ("rust", "guest_in_rust", &[]),
];

/// Runs all checks; the last lines name what could not be tested.
pub(crate) fn run(quick: bool) -> Result<()> {
    let mut untested = Untested::default();
    step("format", cargo().args(["fmt", "--all", "--check"]))?;
    say("== tidy");
    tidy::run()?;
    deny(&mut untested)?;
    step(
        "clippy",
        cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]),
    )?;
    // Programs and tests at once: what is built for less than the workspace has other features, and
    // would be built again.
    let mut selection = vec!["test", "--workspace", "--quiet"];
    selection.extend(["--features", "remuda-cli/fixture-previous"]);
    if quick {
        selection.extend(["--exclude", "remuda-e2e"]);
    }
    step("build", cargo().args(&selection).arg("--no-run"))?;
    let mut skipped = Vec::new();
    for (program, package, tests) in PROGRAMS {
        let is_there = has(program) || (!quick && apt_unstarted(&[package]) && has(program));
        if !is_there {
            untested.note(tests, &format!("`{program}` is missing (apt-get install {package})"));
            skipped.extend(["--skip", tests]);
        }
    }
    skipped.extend(guests(quick, &mut untested));
    if quick {
        untested.note("processes", "left out by --quick");
    } else {
        api::check(&mut untested)?;
        metrics(&mut untested)?;
    }
    let mut tests = cargo();
    tests.args(&selection).arg("--no-fail-fast").env("REMUDA_IS_BUILT", "1");
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        // Those with real processes wait more than they compute.
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        tests.env("RUST_TEST_THREADS", (2 * processors).to_string());
    }
    if !skipped.is_empty() {
        tests.arg("--").args(&skipped);
    }
    let tested = step("tests", &mut tests);
    let simulated = if quick { Ok(()) } else { sim::run(&["--seeds", "200"]) };
    untested.report();
    tested.and(simulated)
}

fn deny(untested: &mut Untested) -> Result<()> {
    let Some(program) = cargo_program("cargo-deny") else {
        untested.note("licences and banned crates", "cargo-deny could not be installed");
        return Ok(());
    };
    let mut check = Command::new(program);
    check.current_dir(root()).args(["--log-level", "error", "check"]);
    step("deny", check.args(["bans", "licenses", "sources"]))
}

/// Builds the example job classes, so that their tests find them; gives the names of the tests whose
/// language is not there.
fn guests(quick: bool, untested: &mut Untested) -> Vec<&'static str> {
    let missing = GUESTS.iter().filter(|(language, _, packages)| {
        if quick {
            untested.note(&format!("job classes in {language}"), "left out by --quick");
            return true;
        }
        let build = || {
            let mut build = Command::new(root().join("examples/guests/build"));
            build.arg(language).env("CARGO_TARGET_DIR", target_dir());
            step(&format!("job class in {language}"), &mut build).is_ok()
        };
        let built = build() || (!packages.is_empty() && apt(packages) && build());
        if !built {
            untested.note(&format!("job classes in {language}"), "the example is not built");
        }
        !built
    });
    missing.flat_map(|(_, test, _)| ["--skip", test]).collect()
}

/// Lets a parser that we did not write read the metrics of a cluster.
fn metrics(untested: &mut Untested) -> Result<()> {
    let Some(python) = python_with("prometheus-client", "prometheus_client") else {
        untested.note("metrics by a parser", "prometheus-client could not be installed");
        return Ok(());
    };
    let mut cluster = Command::new(target_dir().join("debug/remuda"));
    cluster.current_dir(root()).args(["dev", "--controls", "1", "--workers", "1", "--"]);
    cluster.arg(python).args(["-c", include_str!("metrics.py")]);
    step("metrics by a parser", &mut cluster)
}
