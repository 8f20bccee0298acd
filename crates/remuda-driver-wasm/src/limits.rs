//! How much memory guests may have.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use wasmtime::ResourceLimiter;

/// Entries of all tables of one instance; the largest guests seen need some 20,000.
const MAX_TABLE_ENTRIES: usize = 200_000;
/// Parts of one component: what Python's shared libraries become is some 40.
const MAX_PARTS: usize = 256;

/// Memory that all guests of a node share.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0) }
    }

    fn take(&self, bytes: usize) -> bool {
        let add = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.limit);
        self.used.fetch_update(Relaxed, Relaxed, add).is_ok()
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }
}

/// Which limit has stopped a guest from growing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Its own quota.
    Quota,
    /// What all guests of the node share.
    Node,
    /// Its tables are too long.
    Tables,
}

/// What one instance may have.
#[derive(Debug)]
pub(crate) struct Limiter {
    quota: usize,
    budget: Arc<Budget>,
    memory: usize,
    entries: usize,
    /// The last limit that was met.
    pub(crate) denied: Option<Denied>,
}

impl Limiter {
    pub(crate) fn new(quota: usize, budget: Arc<Budget>) -> Self {
        Self { quota, budget, memory: 0, entries: 0, denied: None }
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.memory, Relaxed);
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let within_quota = self.memory.checked_add(more).is_some_and(|sum| sum <= self.quota);
        if !within_quota {
            self.denied = Some(Denied::Quota);
        } else if !self.budget.take(more) {
            self.denied = Some(Denied::Node);
        } else {
            self.memory += more;
            return Ok(true);
        }
        Ok(false)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let fits = self.entries.checked_add(more).is_some_and(|sum| sum <= MAX_TABLE_ENTRIES);
        if fits {
            self.entries += more;
        } else {
            self.denied = Some(Denied::Tables);
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_counts_over_all_memories_and_comes_back() {
        let budget = Arc::new(Budget::new(100));
        let mut first = Limiter::new(80, Arc::clone(&budget));
        assert!(first.memory_growing(0, 40, None).expect("an answer"));
        assert!(first.memory_growing(0, 40, None).expect("an answer"), "a second memory");
        assert!(!first.memory_growing(40, 41, None).expect("an answer"));
        assert_eq!(first.denied, Some(Denied::Quota));
        let mut second = Limiter::new(80, Arc::clone(&budget));
        assert!(!second.memory_growing(0, 21, None).expect("an answer"));
        assert_eq!(second.denied, Some(Denied::Node));
        drop(first);
        assert!(second.memory_growing(0, 21, None).expect("an answer"));
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
