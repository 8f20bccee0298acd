//! What a store holds, and what goes when there is no room.

use std::{collections::HashMap, sync::Arc, time::Instant};

use remuda_model::Digest;
use tokio::sync::watch;

use super::{IN_USE, Progress};

#[derive(Debug)]
pub(super) enum Item {
    Whole {
        size: u64,
        checked: bool,
    },
    Part {
        held: u64,
    },
    Arriving {
        progress: watch::Receiver<Progress>,
    },
    /// Its files are being removed.
    Leaving,
}

/// Held by whoever reads an item.
pub(super) type Pin = Arc<()>;

#[derive(Debug)]
struct Entry {
    item: Item,
    used: Option<Instant>,
    pin: Pin,
}

#[derive(Debug, Default)]
pub(super) struct Shelf {
    items: HashMap<Digest, Entry>,
}

impl Item {
    fn size(&self) -> u64 {
        match self {
            Self::Whole { size, .. } => *size,
            Self::Part { held } => *held,
            Self::Arriving { progress } => progress.borrow().len,
            Self::Leaving => 0,
        }
    }
}

impl Shelf {
    /// The item, used now.
    pub(super) fn used(&mut self, digest: &Digest) -> Option<&Item> {
        let entry = self.items.get_mut(digest)?;
        entry.used = Some(Instant::now());
        Some(&entry.item)
    }

    /// Keeps an item for as long as the pin is held.
    pub(super) fn pin(&self, digest: &Digest) -> Pin {
        self.items.get(digest).map(|entry| Arc::clone(&entry.pin)).unwrap_or_default()
    }

    /// Puts in an item that was not used yet.
    pub(super) fn put(&mut self, digest: Digest, item: Item) {
        let pin = self.items.remove(&digest).map(|entry| entry.pin).unwrap_or_default();
        self.items.insert(digest, Entry { item, used: None, pin });
    }

    #[cfg(test)]
    pub(super) fn forget_use(&mut self, digest: &Digest) {
        if let Some(entry) = self.items.get_mut(digest) {
            entry.used = None;
        }
    }

    pub(super) fn holds(&self, digest: &Digest) -> bool {
        self.items.contains_key(digest)
    }

    pub(super) fn take(&mut self, digest: &Digest) {
        self.items.remove(digest);
    }

    pub(super) fn is_unchecked(&self, digest: &Digest) -> bool {
        let entry = self.items.get(digest);
        entry.is_some_and(|entry| matches!(entry.item, Item::Whole { checked: false, .. }))
    }

    pub(super) fn checked(&mut self, digest: &Digest) {
        if let Some(Entry { item: Item::Whole { checked, .. }, .. }) = self.items.get_mut(digest) {
            *checked = true;
        }
    }

    /// An item whose files are to be removed now; [`take`](Self::take) it afterwards.
    pub(super) fn leave(&mut self, digest: &Digest) {
        if let Some(entry) = self.items.get_mut(digest) {
            entry.item = Item::Leaving;
        }
    }

    /// Lets those leave that have to go so that `needed` bytes more are at most `max`, and that at
    /// least `missing` bytes of the disk are freed: the longest unused first. What is in use stays.
    /// `None` when the disk would still be too full; then all stay.
    pub(super) fn outdated(
        &mut self,
        (needed, missing): (u64, u64),
        max: u64,
        now: Instant,
    ) -> Option<Vec<Digest>> {
        let total: u64 = self.items.values().map(|entry| entry.item.size()).sum();
        let mut idle: Vec<_> = self
            .items
            .iter()
            .filter(|(_, entry)| {
                matches!(entry.item, Item::Whole { .. } | Item::Part { .. })
                    && Arc::strong_count(&entry.pin) == 1
                    && entry.used.is_none_or(|at| now.saturating_duration_since(at) >= IN_USE)
            })
            .map(|(digest, entry)| (entry.used, digest.clone(), entry.item.size()))
            .collect();
        if idle.iter().map(|(_, _, size)| size).sum::<u64>() < missing {
            return None;
        }
        let mut to_free = total.saturating_add(needed).saturating_sub(max).max(missing);
        idle.sort_unstable();
        let mut gone = Vec::new();
        for (_, digest, size) in idle {
            if to_free == 0 {
                break;
            }
            self.leave(&digest);
            to_free = to_free.saturating_sub(size);
            gone.push(digest);
        }
        Some(gone)
    }
}
