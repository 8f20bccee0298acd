//! What happened, as text whose hash tells whether two runs were the same.

use std::hash::{DefaultHasher, Hasher as _};

/// The trace of a run: always its hash, its lines only when asked for.
pub(crate) struct Trace {
    hasher: DefaultHasher,
    show: Option<fn(&str)>,
}

impl Trace {
    pub(crate) fn new(show: Option<fn(&str)>) -> Self {
        // Keys are fixed, unlike those of a map.
        Self { hasher: DefaultHasher::new(), show }
    }

    pub(crate) fn line(&mut self, now_ms: u64, text: impl FnOnce() -> String) {
        let line = format!("{now_ms:>8} {}", text());
        self.hasher.write(line.as_bytes());
        self.hasher.write_u8(b'\n');
        if let Some(show) = self.show {
            show(&line);
        }
    }

    /// A step of the scheduler: too many for lines.
    pub(crate) fn step(&mut self, now_ms: u64, task: u64) {
        self.hasher.write_u64(now_ms);
        self.hasher.write_u64(task);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hasher.finish()
    }
}
