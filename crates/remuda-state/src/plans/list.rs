//! Lists of targets that are kept under a name.

use remuda_model::{Revision, TargetListId};
use serde::{Deserialize, Serialize};

use super::{Plans, not_after};
use crate::{Limit, Outcome, Refusal};

/// A list of targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetListRecord {
    /// As in a file of targets: hosts, ranges, networks, objects.
    pub lines: String,
    /// How many targets they were when they were saved.
    pub targets: u32,
    /// When they were saved, in milliseconds since 1970.
    pub changed_ms: u64,
    /// The log index that saved them.
    pub modified: Revision,
}

impl Plans {
    pub(crate) fn put_list(
        &mut self,
        now: Revision,
        list: &TargetListId,
        lines: &str,
        targets: u32,
        now_ms: u64,
    ) -> Result<Outcome, Refusal> {
        let present = self.lists.get(list);
        if present.is_some_and(|present| present.lines == lines && present.targets == targets) {
            return Ok(Outcome::Unchanged);
        }
        let others = self.list_bytes() - present.map_or(0, |present| present.lines.len());
        let together = Limit::TargetListsTogether.check(others + lines.len());
        together.map_err(Refusal::TooMuch)?;
        let more = usize::from(present.is_none());
        Limit::TargetLists.check(self.lists.size() + more).map_err(Refusal::TooMuch)?;
        let record = TargetListRecord {
            lines: lines.to_owned(),
            targets,
            changed_ms: now_ms,
            modified: now,
        };
        self.lists.insert_mut(list.clone(), record);
        Ok(Outcome::Changed(now))
    }

    pub(crate) fn remove_list(
        &mut self,
        now: Revision,
        list: &TargetListId,
    ) -> Result<Outcome, Refusal> {
        if self.lists.remove_mut(list) {
            Ok(Outcome::Changed(now))
        } else {
            Err(Refusal::UnknownTargets(list.clone()))
        }
    }

    fn list_bytes(&self) -> usize {
        self.lists.values().map(|list| list.lines.len()).sum()
    }

    pub(super) fn check_lists(&self, applied: u64) -> Result<(), String> {
        for (limit, size) in [
            (Limit::TargetLists, self.lists.size()),
            (Limit::TargetListsTogether, self.list_bytes()),
        ] {
            limit.check(size).map_err(|limit| format!("more than {limit}"))?;
        }
        for (name, list) in &self.lists {
            not_after(&format!("target list `{name}`"), list.modified, applied)?;
        }
        Ok(())
    }
}
