//! The programs under test, and short runs of them.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use crate::{Place, wait::within};

/// The binary `remuda`, built from this tree, in the profile of the tests, with the switch that
/// lets it run as the release before.
///
/// # Panics
///
/// When it cannot be built.
pub fn remuda() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let me = std::env::current_exe().expect("a program has a path");
        let beside = me.with_file_name("remuda");
        // Tests lie in a folder of their own; a program was built together with the binary.
        if beside.exists() {
            beside
        } else {
            build(&["-p", "remuda-cli", "--features", "fixture-previous"]).join("remuda")
        }
    })
}

/// An example of the library, built from this tree.
///
/// # Panics
///
/// When it cannot be built.
pub fn example(name: &str) -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir = DIR.get_or_init(|| build(&["-p", "remuda", "--examples"]).join("examples"));
    dir.join(name)
}

/// Builds unless that was done with the tests, and returns where programs are put.
fn build(what: &[&str]) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    // target/debug/deps/test → target/debug
    let profile = test.parent().and_then(Path::parent).expect("tests lie in deps");
    if std::env::var_os("REMUDA_IS_BUILT").is_some() {
        return profile.to_owned();
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet"]).args(what);
    if profile.ends_with("release") {
        build.arg("--release");
    }
    let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
    assert!(built.success(), "cannot build {what:?}");
    profile.to_owned()
}

/// What a run left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The exit code, when it was not killed by a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs the binary to its end, without terminal and without the user's settings.
///
/// # Panics
///
/// When it cannot be started.
pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    let mut command = Place::default().command(remuda());
    command.args(arguments).envs(environment.iter().copied());
    let output = command.stdin(Stdio::null()).output().expect("the binary runs");
    Finished::from(output)
}

/// Runs a command to its end, which comes soon.
///
/// # Panics
///
/// When it cannot be started, or takes too long.
pub async fn finish(command: Command) -> Finished {
    let what = format!("{command:?}");
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = within(&what, command.output()).await;
    Finished::from(output.unwrap_or_else(|error| panic!("{what}: {error}")))
}

impl From<std::process::Output> for Finished {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
