//! `cargo xtask fuzz`: hostile bytes for every parser, guided by coverage.
//!
//! The engine is libFuzzer. Only the crates of this repository are instrumented: this very program
//! stands in for the compiler of workspace members and adds the flags ([`as_rustc`]), so everything
//! else comes from an ordinary release build.

use std::{
    env, fs,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    programs::target_dir,
    shell::{cargo, say, step},
};

/// Set while this program stands in for the compiler.
const AS_RUSTC: &str = "XTASK_AS_RUSTC";
/// How long each target runs unless told otherwise.
const SECONDS: u64 = 30;
/// What makes coverage visible to the engine, and mistakes of arithmetic visible to us.
const INSTRUMENTED: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cdebug-assertions=on",
    "-Coverflow-checks=on",
];

/// How long each target runs.
enum Amount {
    Seconds(u64),
    Executions(u64),
}

/// What one target did.
struct Outcome {
    executions: u64,
    edges: Option<u64>,
    crash: Option<String>,
}

/// Runs targets, all unless some are named.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let (names, amount) = parse(arguments)?;
    let program = build()?;
    let known = known()?;
    if let Some(name) = names.iter().find(|name| !known.iter().any(|known| known == *name)) {
        bail!("no target `{name}`; there are {}", known.join(", "));
    }
    let chosen: Vec<&String> =
        known.iter().filter(|name| names.is_empty() || names.contains(&name.as_str())).collect();
    let (mut total, mut crashes) = (0, 0);
    say("| target | executions | edges | crashes |\n|---|---:|---:|---|");
    for name in chosen {
        let outcome = fuzz(&program, name, &amount)?;
        let edges = outcome.edges.map_or_else(|| "–".to_owned(), |edges| edges.to_string());
        let crash = outcome.crash.as_deref().unwrap_or("none");
        say(&format!("| `{name}` | {} | {edges} | {crash} |", outcome.executions));
        total += outcome.executions;
        crashes += u32::from(outcome.crash.is_some());
    }
    say(&format!("| all | {total} | | {crashes} |"));
    ensure!(crashes == 0, "{crashes} targets found something");
    Ok(())
}

fn parse<'a>(arguments: &[&'a str]) -> Result<(Vec<&'a str>, Amount)> {
    let (mut names, mut amount) = (Vec::new(), Amount::Seconds(SECONDS));
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().with_context(|| format!("{word} needs a number"))?;
            value.parse::<u64>().with_context(|| format!("{word} {value}"))
        };
        match *word {
            "--seconds" => amount = Amount::Seconds(number()?),
            "--executions" => amount = Amount::Executions(number()?),
            option if option.starts_with('-') => bail!("unknown option {option}"),
            name => names.push(name),
        }
    }
    Ok((names, amount))
}

fn build() -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--release", "--quiet", "-p", "remuda-fuzz", "--features", "engine"]);
    build.env("RUSTC_WORKSPACE_WRAPPER", env::current_exe().context("own path")?);
    build.env(AS_RUSTC, "1");
    step("build the targets with coverage", &mut build)?;
    Ok(target_dir().join("release/remuda-fuzz"))
}

/// The names of all targets, read from their table.
fn known() -> Result<Vec<String>> {
    let path = crate::shell::root().join("crates/remuda-fuzz/src/targets.rs");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let names = text.split("name: \"").skip(1).filter_map(|rest| rest.split('"').next());
    let names: Vec<_> = names.map(str::to_owned).collect();
    ensure!(!names.is_empty(), "{} lists no targets", path.display());
    Ok(names)
}

fn fuzz(program: &PathBuf, name: &str, amount: &Amount) -> Result<Outcome> {
    let dir = target_dir().join("fuzz").join(name);
    let corpus = dir.join("corpus");
    fs::create_dir_all(&corpus).with_context(|| corpus.display().to_string())?;
    let mut command = Command::new(program);
    command.env("REMUDA_FUZZ_TARGET", name).env("REMUDA_FUZZ_CORPUS", &corpus);
    command.args(["-print_final_stats=1", "-max_len=4096", "-timeout=5", "-rss_limit_mb=1024"]);
    command.arg(format!("-artifact_prefix={}/", dir.display()));
    match amount {
        Amount::Seconds(seconds) => command.arg(format!("-max_total_time={seconds}")),
        Amount::Executions(executions) => command.arg(format!("-runs={executions}")),
    };
    let output = command.arg(&corpus).stdin(Stdio::null()).output().context("run the engine")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let after = |key: &str| {
        let rest = said.rsplit(key).next().filter(|_| said.contains(key))?;
        rest.trim_start().split(|char: char| !char.is_ascii_digit()).next()?.parse().ok()
    };
    let executions = after("stat::number_of_executed_units:").unwrap_or(0);
    let crash = (!output.status.success()).then(|| {
        let log = dir.join("last.log");
        drop(fs::write(&log, said.as_bytes()));
        format!("see {}", log.display())
    });
    Ok(Outcome { executions, edges: after(" cov: "), crash })
}

/// Whether cargo calls this program in place of the compiler.
pub(crate) fn is_rustc() -> bool {
    env::var_os(AS_RUSTC).is_some()
}

/// Calls the compiler that the first argument names, with the flags of coverage.
pub(crate) fn as_rustc() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(compiler) = arguments.next() else { return ExitCode::from(2) };
    let error = Command::new(compiler).args(arguments).args(INSTRUMENTED).exec();
    say(&format!("cannot run the compiler: {error}"));
    ExitCode::FAILURE
}
