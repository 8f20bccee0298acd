//! What a node finds out about its machine.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use procfs::{Current, WithCurrentSystemInfo};
use remuda_model::NodeStats;

pub(super) const HOSTNAME: &str = "hostname";
pub(super) const OS: &str = "os";
pub(super) const KERNEL: &str = "kernel";
pub(super) const ARCH: &str = "cpu.arch";
const CPUS: &str = "cpu.count";

/// Facts that do not change while the agent runs; configured ones win.
pub(crate) fn facts(configured: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let uname = rustix::system::uname();
    let mut facts = BTreeMap::from([
        (HOSTNAME.to_owned(), uname.nodename().to_string_lossy().into_owned()),
        (OS.to_owned(), std::env::consts::OS.to_owned()),
        (KERNEL.to_owned(), uname.release().to_string_lossy().into_owned()),
        (ARCH.to_owned(), std::env::consts::ARCH.to_owned()),
        (CPUS.to_owned(), cpus().to_string()),
    ]);
    facts.extend(configured);
    facts
}

fn cpus() -> u32 {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cpus).unwrap_or(u32::MAX)
}

/// Measures the machine, and the file system of a folder. What cannot be measured is 0.
pub(crate) async fn measure(dir: PathBuf) -> NodeStats {
    // Files of the kernel are quick to read, but a disk may hang.
    tokio::task::spawn_blocking(move || measure_now(&dir)).await.unwrap_or_default()
}

fn measure_now(dir: &Path) -> NodeStats {
    let load = procfs::LoadAverage::current()
        .map(|load| [load.one, load.five, load.fifteen].map(f64::from));
    let memory = procfs::Meminfo::current().ok();
    let disk = rustix::fs::statvfs(dir).ok();
    let blocks = |blocks: u64| disk.as_ref().map_or(0, |disk| blocks.saturating_mul(disk.f_frsize));
    let agent = procfs::process::Process::myself().and_then(|myself| myself.stat());
    NodeStats {
        cpus: cpus(),
        load: load.unwrap_or_default(),
        mem_total: memory.as_ref().map_or(0, |memory| memory.mem_total),
        mem_available: memory.and_then(|memory| memory.mem_available).unwrap_or(0),
        disk_total: disk.as_ref().map_or(0, |disk| blocks(disk.f_blocks)),
        disk_available: disk.as_ref().map_or(0, |disk| blocks(disk.f_bavail)),
        uptime_s: procfs::Uptime::current().map_or(0, |uptime| uptime.uptime_duration().as_secs()),
        agent_rss: agent.map_or(0, |stat| stat.rss_bytes().get()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_machine_has_memory_and_a_disk() {
        let stats = measure(std::env::temp_dir()).await;
        assert!(stats.cpus > 0 && stats.mem_total > 0 && stats.disk_total > 0);
        assert!(stats.mem_available <= stats.mem_total);
        assert!(stats.agent_rss > 0 && stats.agent_rss < stats.mem_total);
    }

    #[test]
    fn configured_facts_win() {
        let facts = facts(BTreeMap::from([("os".to_owned(), "plan9".to_owned())]));
        assert_eq!(facts["os"], "plan9");
        assert!(!facts[ARCH].is_empty());
    }
}
