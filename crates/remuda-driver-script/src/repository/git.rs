//! `git`, held short: it asks nobody, reads no configuration but that of the repository it has just
//! made, speaks only the protocols that it is told to, and runs nothing that comes with a repository.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Stdio,
};

use remuda_model::ExitStatus;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use tokio::process::Command;

use super::{Checkout, address::is_commit};
use crate::runner::exit_status;

/// What `git` may see of the environment: how to find programs, proxies, certificates and keys.
const ENVIRONMENT: &[&str] = &[
    "PATH",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSH_AUTH_SOCK",
];

const SETTINGS: &[(&str, &str)] = &[
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", "/bin/false"),
    ("SSH_ASKPASS", "/bin/false"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_LFS_SKIP_SMUDGE", "1"),
    ("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=30 -oServerAliveInterval=15"),
    ("LC_ALL", "C"),
];

const OPTIONS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.symlinks=true",
    "credential.helper=",
    "protocol.allow=never",
    "protocol.https.allow=always",
    "protocol.ssh.allow=always",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
    "init.defaultBranch=main",
    // A server that falls silent for a minute.
    "http.lowSpeedLimit=100",
    "http.lowSpeedTime=60",
];

/// Why there is no clone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CloneError {
    #[error("cannot run git; is it installed on this node?")]
    NoGit(#[source] io::Error),
    #[error("git cannot make a repository")]
    Init(ExitStatus),
    #[error("git cannot fetch `{url}`{at}")]
    Fetch { url: String, at: String, status: ExitStatus },
    #[error("git cannot check out {what}")]
    Checkout { what: String, status: ExitStatus },
    #[error("the repository has no folder `{dir}`")]
    NoFolder {
        dir: String,
        #[source]
        cause: io::Error,
    },
}

impl CloneError {
    /// How the task ends.
    pub(crate) fn status(&self) -> ExitStatus {
        match self {
            Self::Init(status) | Self::Fetch { status, .. } | Self::Checkout { status, .. } => {
                *status
            }
            Self::NoGit(_) => ExitStatus::Code(127),
            Self::NoFolder { .. } => ExitStatus::Code(128),
        }
    }
}

/// Clones a repository into `work`, which is empty. Gives back the folder in which its commands run.
pub(crate) async fn clone(checkout: &Checkout, work: &Path) -> Result<PathBuf, CloneError> {
    // Never where `.git` of a folder above could be found.
    let git = Git { top: work.join("repository"), allow_file: checkout.allow_file };
    let url = checkout.url.as_str();
    let init = git.run(&["init", "--quiet", "--template="]).await?;
    if !init.success() {
        return Err(CloneError::Init(init));
    }
    let revision = checkout.revision.as_deref();
    let wanted = revision.unwrap_or("HEAD");
    let status = git.run(&fetch(&["--depth=1"], url, &[wanted])).await?;
    let mut what = "FETCH_HEAD";
    if !status.success() {
        let failed = || {
            let at = revision.map(|name| format!(" at `{name}`")).unwrap_or_default();
            CloneError::Fetch { url: url.to_owned(), at, status }
        };
        // Some servers give single commits only with all else.
        if !is_commit(wanted) {
            return Err(failed());
        }
        let all = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
        if !git.run(&fetch(&[], url, &all)).await?.success() {
            return Err(failed());
        }
        what = wanted;
    }
    let status =
        git.run(&["checkout", "--quiet", "--detach", "--no-recurse-submodules", what]).await?;
    if !status.success() {
        let what = format!("`{wanted}`");
        return Err(CloneError::Checkout { what, status });
    }
    match &checkout.dir {
        None => Ok(git.top),
        Some(dir) => folder(&git.top, dir),
    }
}

/// The arguments that fetch something from `url`.
fn fetch<'a>(options: &[&'a str], url: &'a str, what: &[&'a str]) -> Vec<&'a str> {
    let plain =
        ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-commit-graph"];
    [&plain[..], options, &["--", url], what].concat()
}

/// A folder of the repository, reached without any link.
fn folder(top: &Path, dir: &str) -> Result<PathBuf, CloneError> {
    let refused = |cause| CloneError::NoFolder { dir: dir.to_owned(), cause };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, top, flags, Mode::empty());
    let root = root.map_err(|error| refused(error.into()))?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(root, dir, flags, Mode::empty(), resolve).map_err(|error| refused(error.into()))?;
    Ok(top.join(dir))
}

/// The repository that is being made.
struct Git {
    top: PathBuf,
    allow_file: bool,
}

impl Git {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.env_clear();
        command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, env::var_os(name)?))));
        command.envs(SETTINGS.iter().copied());
        // Neither names nor passwords of the agent's user.
        command.env("HOME", self.top.parent().unwrap_or(&self.top));
        for option in OPTIONS {
            command.args(["-c", option]);
        }
        if self.allow_file {
            command.args(["-c", "protocol.file.allow=always"]);
        }
        command.args(arguments).current_dir(&self.top).stdin(Stdio::null());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Result<ExitStatus, CloneError> {
        let run = async {
            std::fs::create_dir_all(&self.top)?;
            self.command(arguments).status().await
        };
        run.await.map(exit_status).map_err(CloneError::NoGit)
    }
}
