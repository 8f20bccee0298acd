//! What is true of every cluster state, checked after each change in debug builds.

use crate::{ClusterState, Limit, seen};

impl ClusterState {
    /// Checks that the state makes sense.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for people.
    pub fn invariants(&self) -> Result<(), String> {
        for (name, node) in &self.nodes {
            if *name != node.id {
                return Err(format!("node `{}` is filed under `{name}`", node.id));
            }
            if node.active && !node.roles.is_control() {
                return Err(format!("worker `{name}` is active"));
            }
            if node.created > node.modified || node.modified.0 > self.applied {
                return Err(format!(
                    "node `{name}` was made at {} and changed at {}, the state is at {}",
                    node.created, node.modified, self.applied
                ));
            }
        }
        if !self.active.iter().eq(self.active_by_record()) {
            return Err("the list of active control nodes is not what the nodes say".to_owned());
        }
        if self.epoch.0 > self.applied {
            return Err(format!("epoch {} is after index {}", self.epoch, self.applied));
        }
        // One owner for each worker at every time after the first.
        if (self.epoch.0 > 0) == self.active.is_empty() {
            return Err(format!(
                "{} control nodes are active in epoch {}",
                self.active.size(),
                self.epoch
            ));
        }
        self.check_level()?;
        self.check_authority()?;
        self.check_plans()?;
        if let Some((id, token)) = self.tokens.iter().find(|(id, token)| **id != token.id) {
            return Err(format!("token `{}` is filed under `{id}`", token.id));
        }
        for (limit, size) in
            [(Limit::Nodes, self.nodes.size()), (Limit::Tokens, self.tokens.size())]
        {
            limit.check(size).map_err(|limit| format!("more than {limit}"))?;
        }
        if let Some(node) = self.nodes.keys().find(|node| self.is_removed(node)) {
            return Err(format!("node `{node}` was removed and is there"));
        }
        self.check_runs()?;
        self.certificates.check(self.applied)?;
        self.seen.check(seen::window(self.level()))
    }
}
