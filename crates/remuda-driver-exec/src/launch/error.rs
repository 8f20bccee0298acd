//! Why a process could not be started, in words that tell what to change.

use std::io;

use remuda_model::{ErrorKind, Failure};

use super::{Launch, fork::Step};

/// Explains the error of a spawn.
pub(crate) fn spawn_failure(launch: &Launch, error: &io::Error) -> Failure {
    let (step, cause) = Step::of(error);
    let program = launch.program.display();
    let cwd = launch.cwd.display();
    match (step, cause.raw_os_error()) {
        (_, Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE)) => {
            Failure::new(ErrorKind::NoCapacity, format!("no more processes on this node: {cause}"))
                .hint("stop some tasks, or raise the limits of processes and open files")
        }
        (Step::Cwd, _) => Failure::invalid(format!("cwd: cannot work in `{cwd}`: {cause}"))
            .hint("the user of the command needs the right to enter it"),
        (Step::User, _) => Failure::new(
            ErrorKind::Forbidden,
            format!("user: this node cannot change the user of a command: {cause}"),
        )
        .hint("the agent needs the rights of root, also in its container"),
        (Step::Exec, Some(libc::EACCES)) => Failure::invalid(format!(
            "argv: permission denied: `{program}`"
        ))
        .code("permission_denied")
        .hint("the file must be executable, and its folders open, for the user of the command"),
        // The file was there a moment ago.
        (Step::Exec, Some(libc::ENOENT)) => {
            Failure::invalid(format!("argv: `{program}` or its interpreter does not exist"))
                .code("no_such_program")
                .hint("look at the first line of the script, or at the libraries of the program")
        }
        (Step::Exec, Some(libc::ENOEXEC)) => {
            Failure::invalid(format!("argv: `{program}` is no program of this machine"))
                .hint("a script needs a first line such as #!/bin/sh")
        }
        (Step::Exec, Some(libc::E2BIG)) => Failure::invalid("argv and env are too long together")
            .hint("hand large data to the command through its standard input or a file"),
        _ => Failure::failed(format!("cannot start `{program}`: {cause}")),
    }
}
