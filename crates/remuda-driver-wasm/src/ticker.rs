//! The clock of all guests: while one runs, it moves on every ten milliseconds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, Thread},
    time::Duration,
};

use wasmtime::{Engine, EngineWeak};

/// How often guests are asked whether they may go on.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// The thread sleeps after so many ticks during which no guest was seen.
const IDLE_TICKS: u32 = 100;

/// Moves the epoch of an engine on, in a thread that sleeps while no guest runs.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    running: AtomicUsize,
    asleep: AtomicBool,
    ended: AtomicBool,
}

/// A guest runs as long as this lives.
#[derive(Debug)]
pub(crate) struct RunningGuest<'a>(&'a Shared);

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (its, engine) = (Arc::clone(&shared), engine.weak());
        let thread = thread::Builder::new().name("wasm ticker".to_owned());
        let handle = thread.spawn(move || its.tick(&engine))?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    /// A guest begins to run on this thread.
    pub(crate) fn enter(&self) -> RunningGuest<'_> {
        self.shared.running.fetch_add(1, SeqCst);
        if self.shared.asleep.load(SeqCst) {
            self.thread.unpark();
        }
        RunningGuest(&self.shared)
    }

    #[cfg(test)]
    pub(crate) fn is_asleep(&self) -> bool {
        self.shared.asleep.load(SeqCst)
    }
}

impl Drop for RunningGuest<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.ended.store(true, SeqCst);
        self.thread.unpark();
    }
}

impl Shared {
    fn tick(&self, engine: &EngineWeak) {
        let mut idle = 0;
        while !self.ended.load(SeqCst) {
            thread::park_timeout(TICK);
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
            idle = if self.running.load(SeqCst) == 0 { idle + 1 } else { 0 };
            if idle >= IDLE_TICKS {
                self.sleep();
                idle = 0;
            }
        }
    }

    /// Whoever enters after `asleep` is set wakes this thread; whoever entered before is counted.
    fn sleep(&self) {
        self.asleep.store(true, SeqCst);
        while self.running.load(SeqCst) == 0 && !self.ended.load(SeqCst) {
            thread::park();
        }
        self.asleep.store(false, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn wait(what: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !what() {
            assert!(Instant::now() < deadline, "it does not happen");
            thread::park_timeout(Duration::from_millis(1));
        }
    }

    #[test]
    fn the_clock_sleeps_while_no_guest_runs() {
        let engine = Engine::default();
        let ticker = Ticker::start(&engine).expect("a thread");
        wait(|| ticker.is_asleep());
        let running = ticker.enter();
        wait(|| !ticker.is_asleep());
        drop(running);
        wait(|| ticker.is_asleep());
    }
}
