//! The gate that lets only the highest epoch command this worker.
//!
//! Ownership moves between control nodes, and an old owner may not know that yet. The highest epoch
//! ever seen is on disk before anything is done in its name, so that a restart forgets nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use remuda_model::{Epoch, ErrorKind, Failure};
use tokio::sync::Mutex;

use crate::store::{Change, Store, StoreError};

const KEY: &str = "epoch";

/// What to do with a call of some epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the highest one, and on disk.
    Obey,
    /// It is higher than any before: write it down first.
    Raise,
    /// An older owner speaks.
    Refuse,
}

pub fn judge(seen: u64, durable: u64, called: u64) -> Verdict {
    if called < seen {
        Verdict::Refuse
    } else if called > durable {
        Verdict::Raise
    } else {
        Verdict::Obey
    }
}

/// Compares the epoch of each call with the highest one.
#[derive(Debug)]
pub(crate) struct EpochGate {
    /// At least `durable`.
    seen: AtomicU64,
    durable: AtomicU64,
    raising: Mutex<()>,
    store: Store,
}

impl EpochGate {
    /// A gate that starts with what the last boot has written.
    pub(crate) fn new(saved: Option<&[u8]>, store: Store) -> Self {
        let saved = saved.and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
        let saved = saved.unwrap_or(0);
        let raising = Mutex::new(());
        Self { seen: saved.into(), durable: saved.into(), raising, store }
    }

    /// Where the epoch is kept.
    pub(crate) const KEY: &'static str = KEY;

    /// The highest epoch seen.
    pub(crate) fn highest(&self) -> Epoch {
        Epoch(self.seen.load(Ordering::Acquire))
    }

    /// Lets a call of this epoch in, or says why not. Waits for the disk only when the epoch is a
    /// new one.
    pub(crate) async fn admit(&self, epoch: Epoch) -> Result<(), Failure> {
        loop {
            let durable = self.durable.load(Ordering::Acquire);
            match judge(self.highest().0, durable, epoch.0) {
                Verdict::Obey => return Ok(()),
                Verdict::Refuse => return Err(self.stale(epoch)),
                Verdict::Raise => self.raise(epoch).await?,
            }
        }
    }

    async fn raise(&self, epoch: Epoch) -> Result<(), Failure> {
        // From here on older owners are refused, whether the disk is quick or not.
        self.seen.fetch_max(epoch.0, Ordering::AcqRel);
        let _one_writer = self.raising.lock().await;
        let highest = self.highest().0;
        if self.durable.load(Ordering::Acquire) < highest {
            let change = Change::meta(KEY, highest.to_be_bytes());
            self.store.write(vec![change]).await.map_err(StoreError::into_failure)?;
            self.durable.fetch_max(highest, Ordering::AcqRel);
        }
        Ok(())
    }

    fn stale(&self, epoch: Epoch) -> Failure {
        let highest = self.highest();
        Failure::new(
            ErrorKind::Conflict,
            format!("epoch {epoch} is over: this node obeys epoch {highest}"),
        )
        .code("stale_epoch")
        .hint("another control node owns this node now; ask again")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_highest_epoch_is_obeyed() {
        assert_eq!(judge(7, 7, 7), Verdict::Obey);
        assert_eq!(judge(7, 7, 8), Verdict::Raise);
        assert_eq!(judge(7, 7, 6), Verdict::Refuse);
    }

    #[test]
    fn an_epoch_that_is_not_on_disk_yet_is_not_obeyed_yet() {
        assert_eq!(judge(8, 7, 8), Verdict::Raise);
        assert_eq!(judge(8, 7, 7), Verdict::Refuse);
    }

    #[tokio::test]
    async fn the_highest_epoch_survives_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("worker.redb");
        let (store, loaded) = Store::open(&path).await.expect("opens");
        let gate = EpochGate::new(loaded.meta(KEY), store.clone());
        gate.admit(Epoch(3)).await.expect("first");
        gate.admit(Epoch(5)).await.expect("higher");
        assert_eq!(gate.admit(Epoch(4)).await.expect_err("lower").code, "stale_epoch");
        store.close().await;
        let (store, loaded) = Store::open(&path).await.expect("opens");
        let gate = EpochGate::new(loaded.meta(KEY), store);
        assert_eq!(gate.highest(), Epoch(5));
        assert_eq!(gate.admit(Epoch(4)).await.expect_err("lower").kind, ErrorKind::Conflict);
    }
}
