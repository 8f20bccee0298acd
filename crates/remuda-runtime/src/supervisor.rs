//! Who owns the spawned tasks of a process.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

/// Spawns tasks, reports their panics, and ends them together.
///
/// Cheap to clone; [`child`](Self::child) makes a branch that can be ended alone.
#[derive(Clone, Debug)]
pub struct Supervisor {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl Supervisor {
    /// A supervisor with nothing to do.
    pub fn new() -> Self {
        Self { tasks: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// A branch: it ends with its parent, or alone.
    pub fn child(&self) -> Self {
        Self { tasks: TaskTracker::new(), stop: self.stop.child_token() }
    }

    /// Cancelled when the supervised tasks should end.
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs a task under a name. It must end soon after [`token`](Self::token) is cancelled; a
    /// panic is logged and ends only this task.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let span = tracing::info_span!("task", kind = name);
        let work = self.tasks.track_future(contained(name, work).instrument(span));
        drop(crate::spawn(work));
    }

    /// Like [`spawn`](Self::spawn), for work that starts so often that a tracing span for each
    /// would cost more than it tells.
    pub fn spawn_small(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(contained(name, work));
    }

    /// Ends all tasks, waiting at most `limit`. Tells whether all of them ended in time.
    pub async fn shutdown(&self, limit: Duration) -> bool {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(limit, self.tasks.wait()).await.is_ok()
    }
}

/// The work, ending quietly where it panics; the panic itself was reported by its hook.
///
/// Hardly larger than the work itself, which an `async fn` would keep twice: as its argument and
/// where it is polled.
pub fn contained(name: &'static str, work: impl Future<Output = ()>) -> impl Future<Output = ()> {
    // Nothing of the work is used again after a panic but to drop it.
    AssertUnwindSafe(work).catch_unwind().map(move |ended| {
        let Err(panic) = ended else { return };
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        tracing::error!(name, panic = text.unwrap_or("no text"), "a task panicked");
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shutdown_waits_for_tasks_that_obey() {
        let supervisor = Supervisor::new();
        let stop = supervisor.token();
        supervisor.spawn("obedient", async move { stop.cancelled().await });
        assert!(supervisor.shutdown(Duration::from_secs(5)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_does_not_wait_for_ever() {
        let supervisor = Supervisor::new();
        supervisor.spawn("deaf", std::future::pending());
        assert!(!supervisor.shutdown(Duration::from_secs(5)).await);
    }

    #[test]
    fn being_contained_costs_hardly_any_memory() {
        let work = async {
            let large = [0_u8; 4096];
            std::future::pending::<()>().await;
            assert_eq!(large.len(), 4096);
        };
        let size = size_of_val(&work);
        assert!(size >= 4096 && size_of_val(&contained("large", work)) < size + 128);
    }

    #[tokio::test]
    async fn a_panic_ends_one_task_only() {
        let supervisor = Supervisor::new();
        supervisor.spawn("bad", async { panic!("on purpose") });
        let stop = supervisor.token();
        supervisor.spawn("good", async move { stop.cancelled().await });
        assert!(supervisor.shutdown(Duration::from_secs(5)).await);
    }
}
