//! What a store holds, and what goes when there is no room.

use std::{collections::HashMap, time::Instant};

use remuda_model::Digest;
use tokio::sync::watch;

use super::{IN_USE, Progress};

#[derive(Debug)]
pub(super) enum Item {
    Whole { size: u64, checked: bool },
    Part { held: u64 },
    Arriving { progress: watch::Receiver<Progress> },
}

#[derive(Debug, Default)]
pub(super) struct Shelf {
    items: HashMap<Digest, (Item, Option<Instant>)>,
}

impl Shelf {
    /// The item, used now.
    pub(super) fn used(&mut self, digest: &Digest) -> Option<&Item> {
        let (item, used) = self.items.get_mut(digest)?;
        *used = Some(Instant::now());
        Some(item)
    }

    /// Puts in an item that was not used yet.
    pub(super) fn put(&mut self, digest: Digest, item: Item) {
        self.items.insert(digest, (item, None));
    }

    pub(super) fn holds(&self, digest: &Digest) -> bool {
        self.items.contains_key(digest)
    }

    pub(super) fn take(&mut self, digest: &Digest) {
        self.items.remove(digest);
    }

    pub(super) fn checked(&mut self, digest: &Digest) {
        if let Some((Item::Whole { checked, .. }, _)) = self.items.get_mut(digest) {
            *checked = true;
        }
    }

    /// Takes out what has to go so that `needed` bytes more are at most `max`, the longest unused
    /// first. What is in use stays.
    pub(super) fn outdated(&mut self, needed: u64, max: u64, now: Instant) -> Vec<Digest> {
        let size = |item: &Item| match item {
            Item::Whole { size, .. } => *size,
            Item::Part { held } => *held,
            Item::Arriving { progress } => progress.borrow().len,
        };
        let mut total = self.items.values().map(|(item, _)| size(item)).sum::<u64>();
        let mut idle: Vec<_> = self
            .items
            .iter()
            .filter(|(_, (item, used))| {
                !matches!(item, Item::Arriving { .. })
                    && used.is_none_or(|used| now.saturating_duration_since(used) >= IN_USE)
            })
            .map(|(digest, (item, used))| (*used, digest.clone(), size(item)))
            .collect();
        idle.sort_unstable();
        let mut gone = Vec::new();
        for (_, digest, size) in idle {
            if total.saturating_add(needed) <= max {
                break;
            }
            self.items.remove(&digest);
            total -= size;
            gone.push(digest);
        }
        gone
    }
}
