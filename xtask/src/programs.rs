//! The programs that tests need besides Rust, installed where that is allowed.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::shell::{cargo, root, say};

/// What could not be tested, and why.
#[derive(Debug, Default)]
pub(crate) struct Untested(Vec<String>);

impl Untested {
    pub(crate) fn note(&mut self, what: &str, why: &str) {
        self.0.push(format!("{what}: {why}"));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn report(&self) {
        for line in &self.0 {
            say(&format!("NOT TESTED: {line}"));
        }
    }
}

fn quiet(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether a program can be run.
pub(crate) fn has(program: &str) -> bool {
    quiet(Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program]))
}

/// What lets `unshare` give a process a network of its own: rights, or a user of its own too.
pub(crate) fn isolation() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["--net"], &["--map-root-user", "--net"]];
    let works = |way: &&&[&str]| {
        quiet(Command::new("unshare").args(**way).args(["ip", "link", "set", "lo", "up"]))
    };
    let found = || ways.iter().find(works).copied();
    found().or_else(|| if apt(&["iproute2", "util-linux"]) { found() } else { None })
}

/// Installs Debian packages, when we are root on a Debian machine.
pub(crate) fn apt(packages: &[&str]) -> bool {
    if !has("apt-get") {
        return false;
    }
    say(&format!("installing {}", packages.join(" ")));
    let install = |packages: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["install", "-y", "-q"]);
        quiet(command.args(packages))
    };
    install(packages)
        || (quiet(Command::new("apt-get").args(["update", "-q"])) && install(packages))
}

/// The same for packages of servers that tests and measurements start themselves: Debian starts none of
/// them.
pub(crate) fn apt_unstarted(packages: &[&str]) -> bool {
    let policy = Path::new("/usr/sbin/policy-rc.d");
    let ours = !policy.exists() && forbid_services(policy).is_ok();
    let installed = apt(packages);
    // What was there before stays.
    if ours && fs::remove_file(policy).is_err() {
        say(&format!("{} is left and forbids to start services", policy.display()));
    }
    installed
}

/// Debian asks this program before it starts a service; 101 says no.
fn forbid_services(policy: &Path) -> io::Result<()> {
    fs::write(policy, "#!/bin/sh\nexit 101\n")?;
    fs::set_permissions(policy, fs::Permissions::from_mode(0o755))
}

/// Where cargo builds, and chores keep what they make.
pub(crate) fn target_dir() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// A program of the Python package index, in a virtual environment beside the build output.
pub(crate) fn python_program(package: &str, program: &str) -> Option<PathBuf> {
    let venv = target_dir().join("xtask-venv").join(package);
    let path = venv.join("bin").join(program);
    if path.exists() || (make_venv(&venv) && pip_install(&venv, package) && path.exists()) {
        return Some(path);
    }
    None
}

/// A Python that has a package of the Python package index, in a virtual environment beside the build
/// output.
pub(crate) fn python_with(package: &str, module: &str) -> Option<PathBuf> {
    let venv = target_dir().join("xtask-venv").join(package);
    let python = venv.join("bin/python");
    let has = || quiet(Command::new(&python).args(["-c", &format!("import {module}")]));
    if has() || (make_venv(&venv) && pip_install(&venv, package) && has()) {
        return Some(python);
    }
    None
}

/// A program that cargo installs, beside the build output.
pub(crate) fn cargo_program(name: &str) -> Option<PathBuf> {
    if has(name) {
        return Some(PathBuf::from(name));
    }
    let tools = target_dir().join("xtask-tools");
    let path = tools.join("bin").join(name);
    if !path.exists() {
        say(&format!("installing {name} (some minutes, once)"));
        let mut install = cargo();
        // To build it takes longer than whatever it does.
        install.args(["install", "--quiet", "--locked", "--debug", name, "--root"]).arg(&tools);
        // Its own build folder, so that it does not mix with ours.
        quiet(install.env("CARGO_TARGET_DIR", tools.join("build")));
    }
    path.exists().then_some(path)
}

fn make_venv(venv: &Path) -> bool {
    let make = || quiet(Command::new("python3").args(["-m", "venv"]).arg(venv));
    make() || (apt(&["python3-venv"]) && make())
}

fn pip_install(venv: &Path, package: &str) -> bool {
    say(&format!("installing {package} from PyPI"));
    quiet(Command::new(venv.join("bin/pip")).args(["install", "-q", package]))
}
