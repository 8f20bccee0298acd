//! What `/proc` says about processes.
//!
//! A process is known by its pid, its start time and the boot of the machine, never by the pid
//! alone: pids are used again.

use std::{fs, io, path::Path};

use remuda_model::TaskId;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The variable that says to which task a process belongs.
pub(crate) const TASK_VARIABLE: &str = "REMUDA_TASK";

/// Identifies this boot of the machine; empty when the kernel does not say.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// The numbers of `/proc/PID/stat` that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Whether it has ended and nobody has asked how.
    pub(crate) zombie: bool,
    /// Its session.
    pub(crate) session: i32,
    /// When it started, in clock ticks since the boot.
    pub(crate) started: u64,
}

/// Reads the status of a process; `None` when there is none of this pid.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name of the program stands in parentheses and may hold anything, parentheses too.
    let mut fields = text[text.rfind(')')? + 1..].split_ascii_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    let session = fields.nth(2)?.parse().ok()?;
    let started = fields.nth(15)?.parse().ok()?;
    Some(Stat { zombie, session, started })
}

/// The children of the calling thread: for a process of one thread, all of its children, zombies
/// included.
pub(crate) fn children() -> io::Result<Vec<i32>> {
    let text = fs::read_to_string("/proc/thread-self/children")?;
    Ok(text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// Ends what a dead holder may have left of a task: the processes of its session that carry its
/// name in their environment. Returns how many were found.
///
/// Blocks while it reads `/proc`.
pub(crate) fn end_leftovers(task: &TaskId, session: i32, started: u64) -> usize {
    let mut found = 0;
    // A process may start another while the list is read.
    for _ in 0..5 {
        let before = found;
        for pid in pids() {
            let is_leftover = |pid| {
                stat(pid).is_some_and(|stat| {
                    stat.session == session && stat.started >= started && !stat.zombie
                }) && has_variable(pid, task)
            };
            if is_leftover(pid)
                && let Some(handle) = Pid::from_raw(pid)
                && let Ok(fd) = pidfd_open(handle, PidfdFlags::empty())
                // Looked at again: now the pid cannot be used again unnoticed.
                && is_leftover(pid)
                && pidfd_send_signal(&fd, Signal::KILL).is_ok()
            {
                found += 1;
            }
        }
        if found == before {
            break;
        }
    }
    found
}

fn pids() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn has_variable(pid: i32, task: &TaskId) -> bool {
    let wanted = format!("{TASK_VARIABLE}={task}");
    fs::read(Path::new("/proc").join(pid.to_string()).join("environ")).is_ok_and(|environ| {
        environ.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse_the_fields() {
        let text = "7 (a) R) (b) S 1 7 9 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 1\n";
        let stat = parse_stat(text).unwrap();
        assert_eq!(stat, Stat { zombie: false, session: 9, started: 4242 });
        assert_eq!(parse_stat("7 (a) S 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn this_process_is_found() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let stat = stat(pid).unwrap();
        assert!(stat.started > 0 && !stat.zombie);
        assert!(pids().contains(&pid));
        assert!(!boot_id().is_empty());
    }
}
