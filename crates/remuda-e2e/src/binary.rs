//! The binary under test, and short runs of it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// The binary `remuda`, built from this tree, in the profile of the tests.
///
/// # Panics
///
/// When it cannot be built.
pub fn remuda() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let test = std::env::current_exe().expect("a test has a path");
        // target/debug/deps/test → target/debug/remuda
        let profile = test.parent().and_then(Path::parent).expect("tests lie in deps");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "-p", "remuda-cli"]);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
        assert!(built.success(), "cannot build the binary");
        profile.join("remuda")
    })
}

/// What a run left.
#[derive(Debug)]
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
    let mut command = Command::new(remuda());
    command.args(arguments).stdin(Stdio::null()).env_clear().env("PATH", "/usr/bin:/bin");
    command.envs(environment.iter().copied());
    let output = command.output().expect("the binary runs");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
