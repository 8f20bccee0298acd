//! The ids of past commands and what came of them, so that a repeated command is not done twice.

use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

use crate::{Applied, Batch};

/// How many command ids a cluster of this level remembers; the oldest is forgotten first. It must be
/// more than the commands that come while somebody repeats one of them, which is ten seconds: from
/// level 2 on many commands share an entry of the log, and 20,000 a second have been measured.
pub fn window(level: u16) -> usize {
    if level < Batch::LEVEL { 4096 } else { 262_144 }
}

/// The last command ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    by_id: RedBlackTreeMapSync<[u8; 16], Applied>,
    /// By log index, or by the number after the last where several commands have one index.
    in_order: RedBlackTreeMapSync<u64, [u8; 16]>,
}

impl Seen {
    /// What came of the command, when it is remembered.
    pub(crate) fn get(&self, id: &[u8; 16]) -> Option<&Applied> {
        self.by_id.get(id)
    }

    /// Remembers a command that was not remembered yet.
    pub(crate) fn insert(&mut self, index: u64, id: [u8; 16], applied: Applied, window: usize) {
        let after = self.in_order.last().map_or(0, |(last, _)| last.saturating_add(1));
        self.by_id.insert_mut(id, applied);
        self.in_order.insert_mut(index.max(after), id);
        while self.in_order.size() > window {
            let Some((oldest, id)) = self.in_order.first().map(|(at, id)| (*at, *id)) else {
                return;
            };
            self.in_order.remove_mut(&oldest);
            self.by_id.remove_mut(&id);
        }
    }

    /// Says what is inconsistent.
    pub(crate) fn check(&self, window: usize) -> Result<(), String> {
        if self.by_id.size() != self.in_order.size() {
            return Err("the window of command ids has lost its order".to_owned());
        }
        if self.in_order.size() > window {
            return Err(format!("{} command ids are remembered", self.in_order.size()));
        }
        Ok(())
    }
}
