//! The ids of past commands and what came of them, so that a repeated command is not done twice.

use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

use crate::Applied;

/// How many command ids are remembered; the oldest is forgotten first.
pub const WINDOW: usize = 4096;

/// The last [`WINDOW`] command ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    by_id: RedBlackTreeMapSync<[u8; 16], Applied>,
    by_index: RedBlackTreeMapSync<u64, [u8; 16]>,
}

impl Seen {
    /// What came of the command, when it is remembered.
    pub(crate) fn get(&self, id: &[u8; 16]) -> Option<&Applied> {
        self.by_id.get(id)
    }

    /// Remembers a command that was not remembered yet.
    pub(crate) fn insert(&mut self, index: u64, id: [u8; 16], applied: Applied) {
        self.by_id.insert_mut(id, applied);
        self.by_index.insert_mut(index, id);
        while self.by_index.size() > WINDOW {
            let Some((oldest, id)) = self.by_index.first().map(|(index, id)| (*index, *id)) else {
                return;
            };
            self.by_index.remove_mut(&oldest);
            self.by_id.remove_mut(&id);
        }
    }

    /// Says what is inconsistent.
    pub(crate) fn check(&self, applied: u64) -> Result<(), String> {
        if self.by_id.size() != self.by_index.size() {
            return Err("the window of command ids has lost its order".to_owned());
        }
        if self.by_index.size() > WINDOW {
            return Err(format!("{} command ids are remembered", self.by_index.size()));
        }
        match self.by_index.last() {
            Some((last, _)) if *last > applied => {
                Err(format!("command at {last} is after the applied index {applied}"))
            }
            _ => Ok(()),
        }
    }
}
