//! Whether runs have ended, for those who only want to know that.

use remuda_model::RunId;

use super::Runs;

impl Runs {
    /// Whether a run has ended; nothing when it is not known here.
    pub(crate) fn has_ended(&self, run: &RunId) -> Option<bool> {
        let entry = self.entries().get(run).cloned()?;
        let ended = entry.told.view.borrow().state.has_ended();
        Some(ended)
    }
}
