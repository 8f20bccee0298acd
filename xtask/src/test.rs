//! `cargo xtask test`: everything that must hold before a change lands.

use std::{fs, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    programs::{Untested, apt, cargo_program, has, python_program, python_with, target_dir},
    shell::{cargo, root, say, step},
    tidy,
};

/// Programs that single tests need: the program, its Debian package, part of the tests' names.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("ip", "iproute2", "namespace"),
    ("nft", "nftables", "namespace"),
    ("faketime", "faketime", "clock"),
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
    // Tests with real processes run the binary: build it first, so that all of them find it.
    let features = ["--features", "fixture-previous"];
    step("build", cargo().args(["build", "--quiet", "-p", "remuda-cli"]).args(features))?;
    let mut skipped = Vec::new();
    for (program, package, tests) in PROGRAMS {
        let is_there = quick || has(program) || (apt(&[package]) && has(program));
        if !is_there {
            untested.note(tests, &format!("`{program}` is missing (apt-get install {package})"));
            skipped.extend(["--skip", tests]);
        }
    }
    if quick {
        untested.note("processes", "left out by --quick");
    } else {
        openapi(&mut untested)?;
        metrics(&mut untested)?;
    }
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--quiet", "--no-fail-fast"]);
    if quick {
        tests.args(["--exclude", "remuda-e2e"]);
    }
    if !skipped.is_empty() {
        tests.arg("--").args(&skipped);
    }
    let tested = step("tests", &mut tests);
    untested.report();
    tested
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

/// Lets a generator that we did not write read our document of the API.
fn openapi(untested: &mut Untested) -> Result<()> {
    let Some(generator) = python_program("openapi-python-client", "openapi-python-client") else {
        untested.note("OpenAPI by a generator", "openapi-python-client could not be installed");
        return Ok(());
    };
    let dir = target_dir().join("xtask-openapi");
    if dir.exists() {
        fs::remove_dir_all(&dir).context("cannot empty the folder of the generated client")?;
    }
    fs::create_dir_all(&dir).context("cannot make a folder for the generated client")?;
    let document = crate::shell::read(cargo().args([
        "run",
        "--quiet",
        "-p",
        "remuda-api",
        "--example",
        "openapi",
    ]))?;
    let path = dir.join("openapi.json");
    fs::write(&path, document).context("cannot write the OpenAPI document")?;
    let mut generate = Command::new(generator);
    generate.current_dir(&dir).args(["generate", "--meta", "none"]);
    generate.arg("--path").arg(&path).arg("--output-path").arg(dir.join("client"));
    step("OpenAPI by a generator", &mut generate)
}
