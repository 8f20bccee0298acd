//! Which certificates nodes have, which are revoked, and who was removed.

use remuda_model::{NodeId, Revision};
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

use crate::{Certificate, Limit};

/// How long the name of a removed node is kept at least, when names must be forgotten: as long as
/// certificates hold.
const REMEMBERED_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// The certificates of all nodes. What has run out is forgotten when room is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Certificates {
    /// What nodes have, the oldest first.
    issued: RedBlackTreeMapSync<NodeId, Vec<Certificate>>,
    /// What is no longer accepted, until it would have run out.
    revoked: RedBlackTreeMapSync<(NodeId, Vec<u8>), u64>,
    /// Names of nodes that were removed and have not joined anew, with the time until which at
    /// least they are kept.
    removed: RedBlackTreeMapSync<NodeId, u64>,
    /// When a certificate or a node was refused last.
    changed: Revision,
}

impl Certificates {
    /// When something was revoked or removed last.
    pub(crate) fn changed(&self) -> Revision {
        self.changed
    }

    pub(crate) fn is_removed(&self, node: &NodeId) -> bool {
        self.removed.contains_key(node)
    }

    pub(crate) fn is_revoked(&self, node: &NodeId, serial: &[u8]) -> bool {
        self.is_removed(node) || self.revoked.contains_key(&(node.clone(), serial.to_vec()))
    }

    /// Until when the newest certificate of a node holds, in milliseconds since 1970.
    pub(crate) fn until_ms(&self, node: &NodeId) -> Option<u64> {
        self.issued.get(node)?.iter().map(|certificate| certificate.until_ms).max()
    }

    #[cfg(test)]
    pub(crate) fn issued_to(&self, node: &NodeId) -> Vec<Vec<u8>> {
        let held = self.issued.get(node).cloned().unwrap_or_default();
        held.into_iter().map(|certificate| certificate.serial).collect()
    }

    /// Notes a certificate of a node. Says whether it is a new one.
    pub(crate) fn issue(
        &mut self,
        node: &NodeId,
        certificate: &Certificate,
        now_ms: u64,
    ) -> Result<bool, Limit> {
        let mut of_node = self.issued.get(node).cloned().unwrap_or_default();
        if of_node.contains(certificate) {
            return Ok(false);
        }
        of_node.retain(|held| held.until_ms > now_ms);
        Limit::Certificates.check(of_node.len() + 1)?;
        if !self.issued.contains_key(node) && self.issued.size() >= Limit::Nodes.bound() {
            retain(&mut self.issued, |held| held.iter().any(|one| one.until_ms > now_ms));
            Limit::Nodes.check(self.issued.size() + 1)?;
        }
        of_node.push(certificate.clone());
        self.issued.insert_mut(node.clone(), of_node);
        Ok(true)
    }

    /// Lets a removed node come back. Its old certificates stay revoked.
    pub(crate) fn readmit(&mut self, node: &NodeId) {
        self.removed.remove_mut(node);
    }

    /// Revokes one certificate, for ever. Says whether it was accepted before.
    pub(crate) fn revoke(
        &mut self,
        now: Revision,
        node: &NodeId,
        serial: &[u8],
    ) -> Result<bool, Limit> {
        if self.is_revoked(node, serial) {
            return Ok(false);
        }
        Limit::Revoked.check(self.revoked.size() + 1)?;
        self.revoked.insert_mut((node.clone(), serial.to_vec()), u64::MAX);
        self.changed = now;
        Ok(true)
    }

    /// Revokes all that a node has, and keeps its name out.
    pub(crate) fn remove(
        &mut self,
        now: Revision,
        node: &NodeId,
        now_ms: u64,
    ) -> Result<(), Limit> {
        let held = self.issued.get(node).cloned().unwrap_or_default();
        let (n_revoked, n_removed) = (self.revoked.size() + held.len(), self.removed.size() + 1);
        if Limit::Revoked.check(n_revoked).is_err() || Limit::Nodes.check(n_removed).is_err() {
            retain(&mut self.revoked, |until_ms| *until_ms > now_ms);
            retain(&mut self.removed, |until_ms| *until_ms > now_ms);
            Limit::Revoked.check(self.revoked.size() + held.len())?;
            Limit::Nodes.check(self.removed.size() + 1)?;
        }
        let mut until_ms = now_ms.saturating_add(REMEMBERED_MS);
        for certificate in held {
            until_ms = until_ms.max(certificate.until_ms);
            self.revoked.insert_mut((node.clone(), certificate.serial), certificate.until_ms);
        }
        self.issued.remove_mut(node);
        self.removed.insert_mut(node.clone(), until_ms);
        self.changed = now;
        Ok(())
    }

    /// Says what is wrong.
    pub(crate) fn check(&self, applied: u64) -> Result<(), String> {
        for (limit, size) in [
            (Limit::Revoked, self.revoked.size()),
            (Limit::Nodes, self.removed.size()),
            (Limit::Nodes, self.issued.size()),
        ] {
            limit.check(size).map_err(|limit| format!("more than {limit}"))?;
        }
        if let Some(node) = self.removed.keys().find(|node| self.issued.contains_key(*node)) {
            return Err(format!("node `{node}` was removed and has certificates"));
        }
        if self.changed.0 > applied {
            return Err(format!("certificates were revoked at {}, after {applied}", self.changed));
        }
        Ok(())
    }
}

fn retain<K: Clone + Ord, V: Clone>(
    map: &mut RedBlackTreeMapSync<K, V>,
    keep: impl Fn(&V) -> bool,
) {
    *map = map
        .iter()
        .filter(|(_, value)| keep(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::id;

    fn certificate(number: u8, until_ms: u64) -> Certificate {
        Certificate { serial: vec![number], until_ms }
    }

    #[test]
    fn a_node_has_so_many_certificates_at_a_time_and_no_more() {
        let mut all = Certificates::default();
        for number in 0..16 {
            assert_eq!(all.issue(&id("a"), &certificate(number, 100), 0), Ok(true));
        }
        assert_eq!(all.issue(&id("a"), &certificate(3, 100), 0), Ok(false), "the same");
        let more = certificate(16, 200);
        assert_eq!(all.issue(&id("a"), &more, 99), Err(Limit::Certificates));
        assert_eq!(all.issue(&id("a"), &more, 100), Ok(true), "the others have run out");
        assert_eq!(all.issue(&id("b"), &more, 0), Ok(true));
    }

    #[test]
    fn what_is_revoked_is_forgotten_when_it_has_run_out() {
        let mut map: RedBlackTreeMapSync<u8, u64> = [(1, 10), (2, 20)].into_iter().collect();
        retain(&mut map, |until_ms| *until_ms > 10);
        assert_eq!(map.keys().collect::<Vec<_>>(), [&2]);
    }
}
