//! A command of the user's that runs against the local cluster.

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use remuda_model::ErrorKind;
use tokio::process::Command;

use super::{failed, start::Running};
use crate::{
    environment::Environment,
    error::{Report, Stop},
    signals::{Asked, Signals},
};

/// Runs the command and ends with its status.
///
/// Ctrl-C reaches it from the terminal as well, so it decides what that means.
pub(super) async fn run(
    words: &[String],
    cluster: &Running,
    environment: &Environment,
    signals: &mut Signals,
) -> Result<(), Stop> {
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| Report::new(ErrorKind::Internal, "there is no command to run"))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("REMUDA_ADDR", &cluster.api)
        .env("REMUDA_TOKEN", &cluster.admin_token)
        .env_remove("REMUDA_CONTEXT")
        .kill_on_drop(true);
    if let Some(path) = search_path(environment) {
        command.env("PATH", path);
    }
    let mut child =
        command.spawn().map_err(|error| failed(format!("cannot run `{program}`"), &error))?;
    loop {
        tokio::select! {
            ended = child.wait() => {
                let status = ended.map_err(|error| failed("lost the command", &error))?;
                return match code(status) {
                    0 => Ok(()),
                    code => Err(Stop::Exit(code)),
                };
            }
            asked = signals.next() => {
                if asked == Asked::Terminate
                    && let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok())
                {
                    let _ended = kill(Pid::from_raw(pid), Signal::SIGTERM).is_err();
                }
            }
        }
    }
}

/// The search path with the directory of this program before all others.
fn search_path(environment: &Environment) -> Option<std::ffi::OsString> {
    let own = std::env::current_exe().ok()?.parent()?.to_owned();
    let known = environment.get("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin");
    std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(known))).ok()
}

/// The code with which a shell would report this status.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(status.signal()? + 128)).unwrap_or(1);
    u8::try_from(code).unwrap_or(u8::MAX)
}
