//! What a child does between fork and exec.

#![expect(unsafe_code, reason = "a child must speak to the kernel before it becomes the program")]

use std::{
    ffi::CString,
    io,
    os::unix::{ffi::OsStrExt, process::CommandExt},
    process::Command,
};

use rustix::process::{Pid, Resource, Rlimit, Signal};

use super::Launch;

/// How a child is tied to the process that makes it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fork {
    /// The child ends when this process, its parent, does. The parent must fork from a thread that
    /// lives as long as itself, because the kernel watches the thread.
    pub(crate) die_with: Option<Pid>,
    /// The limit of open files to restore, when the parent has raised its own.
    pub(crate) open_files: Option<Rlimit>,
}

/// Which step failed. The standard library hands only a number from the child to the parent, so the
/// step travels in the upper bits of the error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Exec = 0,
    Session = 1,
    User = 2,
    Cwd = 3,
    Limits = 4,
    Parent = 5,
}

impl Step {
    const SHIFT: u32 = 16;

    fn error(self, error: &io::Error) -> io::Error {
        let number = error.raw_os_error().unwrap_or(libc::EINVAL);
        io::Error::from_raw_os_error(number | (self as i32) << Self::SHIFT)
    }

    /// Takes apart what came back from the child.
    pub(super) fn of(error: &io::Error) -> (Self, io::Error) {
        let number = error.raw_os_error().unwrap_or(libc::EINVAL);
        let all = [Self::Exec, Self::Session, Self::User, Self::Cwd, Self::Limits, Self::Parent];
        let step = all.into_iter().find(|&step| step as i32 == number >> Self::SHIFT);
        let cause = io::Error::from_raw_os_error(number & ((1 << Self::SHIFT) - 1));
        (step.unwrap_or(Self::Exec), cause)
    }
}

/// Makes the child of this command lead a session, become its user, and keep nothing of its parent
/// that it was not given.
pub(super) fn prepare_child(command: &mut Command, launch: &Launch, fork: Fork) -> io::Result<()> {
    let cwd = CString::new(launch.cwd.as_os_str().as_bytes())?;
    let identity = launch.identity.clone();
    let child = move || -> io::Result<()> {
        let at = |step: Step| move |error: io::Error| step.error(&error);
        rustix::process::setsid().map_err(|error| Step::Session.error(&error.into()))?;
        if let Some(open_files) = fork.open_files {
            rustix::process::setrlimit(Resource::Nofile, open_files)
                .map_err(|error| Step::Limits.error(&error.into()))?;
        }
        if let Some(identity) = &identity {
            // SAFETY: plain system calls; the pointer and the length are those of a vector that
            // lives as long as this closure.
            let become_user = || unsafe {
                check(libc::setgroups(identity.groups.len(), identity.groups.as_ptr()))?;
                check(libc::setresgid(identity.gid, identity.gid, identity.gid))?;
                check(libc::setresuid(identity.uid, identity.uid, identity.uid))
            };
            become_user().map_err(at(Step::User))?;
        } else {
            // Who is nobody else gets no more rights by programs that would give them.
            // SAFETY: a plain system call with numbers.
            check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
                .map_err(at(Step::User))?;
        }
        // After the change of user, whose rights decide whether it may go there.
        // SAFETY: the pointer is that of a C string that lives as long as this closure.
        check(unsafe { libc::chdir(cwd.as_ptr()) }).map_err(at(Step::Cwd))?;
        if let Some(parent) = fork.die_with {
            // The kernel forgets this at a change of user, so it comes after that.
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
                .map_err(|error| Step::Parent.error(&error.into()))?;
            // The parent may have died before.
            if rustix::process::getppid() != Some(parent) {
                return Err(Step::Parent.error(&io::Error::from_raw_os_error(libc::ESRCH)));
            }
        }
        // All descriptors of this program are opened to be closed at exec; this is for those of
        // foreign code. Kernels before 5.11 cannot do it.
        // SAFETY: a plain system call with numbers.
        unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        Ok(())
    };
    // SAFETY: the closure runs in the child of a fork. It allocates nothing, takes no lock, and
    // calls only functions that POSIX or Linux allow there; its errors are made of numbers.
    unsafe { command.pre_exec(child) };
    Ok(())
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_survives_its_way_through_a_number() {
        for step in [Step::Exec, Step::Session, Step::User, Step::Cwd, Step::Limits, Step::Parent] {
            let error = step.error(&io::Error::from_raw_os_error(libc::EACCES));
            let (again, cause) = Step::of(&error);
            assert_eq!((again, cause.raw_os_error()), (step, Some(libc::EACCES)));
        }
    }
}
