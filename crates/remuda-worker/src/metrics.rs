//! Numbers about the worker and the process that it is part of.

use procfs::WithCurrentSystemInfo;
use remuda_runtime::metrics::Page;

use crate::Worker;

impl Worker {
    /// Writes what is known of this node as a worker, and of this process. Reads files of the
    /// kernel, so it belongs on a thread that may block.
    pub fn write_metrics(&self, page: &mut Page) {
        let spool = &self.agent().spool;
        let (last, acknowledged) = (spool.last(), spool.acknowledged());
        page.gauge("remuda_spool_last_event", "The number of this node's last event.").value(last);
        page.gauge(
            "remuda_spool_acknowledged_event",
            "The number of the last event of this node that its owner has acknowledged.",
        )
        .value(acknowledged);
        page.gauge("remuda_spool_events", "Events of this node that wait for its owner.")
            .value(last.saturating_sub(acknowledged));
        page.gauge("remuda_process_uptime_seconds", "How long this process runs as a node.")
            .value(self.agent().since.elapsed().as_secs_f64());
        write_process(page);
    }
}

/// Writes what the kernel and the runtime know of this process.
pub(crate) fn write_process(page: &mut Page) {
    let runtime = tokio::runtime::Handle::try_current().map(|handle| handle.metrics());
    let n_tasks = runtime.map_or(0, |metrics| metrics.num_alive_tasks());
    page.gauge("remuda_process_async_tasks", "Tasks of the asynchronous runtime.").value(n_tasks);
    let myself = procfs::process::Process::myself();
    let open = myself.as_ref().map_or(0, |myself| myself.fd_count().unwrap_or(0));
    page.gauge("remuda_process_open_fds", "Open file descriptors of this process.").value(open);
    let stat = myself.and_then(|myself| myself.stat()).ok();
    let rss = stat.as_ref().map_or(0, |stat| stat.rss_bytes().get());
    page.gauge("remuda_process_resident_memory_bytes", "Memory of this process in RAM.").value(rss);
    let threads = stat.as_ref().map_or(0, |stat| stat.num_threads);
    page.gauge("remuda_process_threads", "Threads of this process.").value(threads);
    page.counter("remuda_process_cpu_seconds_total", "Processor time that this process has used.")
        .value(stat.map_or(0.0, |stat| seconds(stat.utime + stat.stime)));
}

#[expect(clippy::cast_precision_loss, reason = "a metric needs no more than 53 bits")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / procfs::ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_files() {
        let mut page = Page::new();
        write_process(&mut page);
        let text = page.into_text();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.expect(name).parse::<f64>().expect("a number")
        };
        assert!(value("remuda_process_resident_memory_bytes") > 1e5, "{text}");
        assert!(value("remuda_process_threads") >= 1.0, "{text}");
        assert!(value("remuda_process_open_fds") >= 3.0, "{text}");
    }
}
