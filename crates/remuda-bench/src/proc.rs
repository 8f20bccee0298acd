//! What the kernel knows about processes and about this machine.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    param::clock_ticks_per_second,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// All of it.
    pub(crate) resident: u64,
    /// What it shares with nobody.
    pub(crate) own: u64,
}

/// How much memory a process holds.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    Ok(Memory { resident: status_bytes(pid, "VmRSS:")?, own: status_bytes(pid, "RssAnon:")? })
}

/// The most resident memory that a process ever held, in bytes.
pub(crate) fn most_memory(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmHWM:")
}

fn status_bytes(pid: u32, key: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process runs")?;
    let line = status.lines().find(|line| line.starts_with(key));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(kib.with_context(|| format!("{key} in /proc/{pid}/status"))? * 1024)
}

/// The time that a process has spent on processors.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process runs")?;
    // The name of the program may hold anything; it ends with the last parenthesis.
    let rest = stat.rsplit_once(')').context("/proc/PID/stat")?.1;
    let mut ticks = rest.split_whitespace().skip(11).map(str::parse::<u64>);
    let mut next = || ticks.next().context("/proc/PID/stat is too short")?.context("a number");
    let ticks = next()? + next()?;
    Ok(Duration::from_millis(ticks * 1000 / clock_ticks_per_second()))
}

/// The load averages as the kernel writes them.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// Allows this process, and those that it starts, as many open files as the system lets it.
pub(crate) fn raise_open_files() -> Result<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("cannot raise the limit of open files")?;
    Ok(maximum.unwrap_or(u64::MAX))
}

/// Refuses directories whose content never reaches a disk.
pub(crate) fn must_be_on_a_disk(dir: &Path) -> Result<()> {
    const TMPFS: i128 = 0x0102_1994;
    const RAMFS: i128 = 0x8584_58f6;
    let kind = i128::from(rustix::fs::statfs(dir).context("statfs")?.f_type);
    ensure!(
        ![TMPFS, RAMFS].contains(&kind),
        "{} is memory, where no write costs anything: choose another with --dir",
        dir.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_uses_processors() {
        let me = std::process::id();
        let memory = memory(me).expect("it runs");
        assert!(memory.own > 0 && memory.resident >= memory.own);
        let before = cpu(me).expect("it runs");
        let mut sum = 0_u64;
        while cpu(me).expect("it runs") == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }

    #[test]
    fn memory_is_no_disk() {
        must_be_on_a_disk(Path::new("/dev/shm")).expect_err("a tmpfs");
    }
}
