//! Running other programs, and speaking to the person at the terminal.

use std::{
    env,
    ffi::OsString,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// Says something to the person at the terminal.
#[expect(clippy::print_stderr, reason = "the one place where chores speak")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    // Of this run: another clone that shares the target folder may have compiled this.
    let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    let manifest = PathBuf::from(manifest);
    manifest.parent().expect("xtask lies in the repository").to_owned()
}

/// The cargo that runs this chore.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a step to its end; its output is the user's.
pub(crate) fn step(name: &str, command: &mut Command) -> Result<()> {
    say(&format!("== {name}"));
    let status = command.status().with_context(|| format!("cannot run {name}"))?;
    ensure!(status.success(), "{name}: {status}");
    Ok(())
}

/// Runs a program and returns what it printed.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let program: OsString = command.get_program().to_owned();
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(output.status.success(), "{}: {}", program.display(), output.status);
    String::from_utf8(output.stdout).context("output is not UTF-8")
}
