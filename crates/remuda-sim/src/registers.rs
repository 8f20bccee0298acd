//! Linearizability of reads and writes of single records.
//!
//! The log gives all versions of a record one order, and every answer names its version. A history
//! is linearizable exactly when what was known before an operation began is not newer than what
//! the operation saw, and a write comes after everything known before it began.

use std::collections::{BTreeMap, BTreeSet};

use remuda_model::{NodeId, Revision, TokenId};
use remuda_state::ClusterState;

use crate::world::fail;

const LAW: &str = "I-3 reads and writes are linearizable";

/// What has been read and written.
#[derive(Default)]
pub(crate) struct Registers {
    records: BTreeMap<NodeId, Register>,
    /// Revocations that were begun.
    pub(crate) revoking: BTreeSet<TokenId>,
}

#[derive(Default)]
struct Register {
    /// The newest version that a completed operation has named.
    known: Revision,
    /// The value of each version.
    values: BTreeMap<Revision, String>,
    attempted: BTreeSet<String>,
    refused: BTreeSet<String>,
}

impl Registers {
    fn register(&mut self, node: &NodeId) -> &mut Register {
        self.records.entry(node.clone()).or_default()
    }

    /// An operation begins: it must not see anything older than this.
    pub(crate) fn begin(&mut self, node: &NodeId) -> Revision {
        self.register(node).known
    }

    pub(crate) fn attempt(&mut self, node: &NodeId, value: &str) {
        self.register(node).attempted.insert(value.to_owned());
    }

    /// A write was acknowledged as this version.
    pub(crate) fn wrote(&mut self, node: &NodeId, began: Revision, at: Revision, value: &str) {
        let register = self.register(node);
        if at <= began {
            fail(LAW, format!("{node}: a write became {at}, and {began} was known before"));
        }
        register.known = register.known.max(at);
        self.value(node, at, value);
    }

    /// A write was refused for good.
    pub(crate) fn refused(&mut self, node: &NodeId, value: &str) {
        self.register(node).refused.insert(value.to_owned());
        let taken = self.register(node).values.values().any(|taken| taken == value);
        if taken {
            fail("I-2 a command applies once", format!("{node}: {value} was refused and is there"));
        }
    }

    /// A read has returned this version.
    pub(crate) fn read(&mut self, node: &NodeId, began: Revision, at: Revision, value: &str) {
        let register = self.register(node);
        if at < began {
            fail(LAW, format!("{node}: a read saw {at}, and {began} was known before"));
        }
        register.known = register.known.max(at);
        self.value(node, at, value);
    }

    fn value(&mut self, node: &NodeId, at: Revision, value: &str) {
        let register = self.register(node);
        let first = register.values.entry(at).or_insert_with(|| value.to_owned());
        if first != value {
            let what = format!("{node} at {at} is {first} and {value}");
            fail("I-1 one version has one value", what);
        }
        if !value.is_empty() && !register.attempted.contains(value) {
            fail("I-1 every value was written", format!("{node} at {at} is {value}"));
        }
        if register.refused.contains(value) {
            fail("I-2 a command applies once", format!("{node}: {value} was refused and is there"));
        }
    }

    /// A replica shows its state.
    pub(crate) fn shown(&mut self, state: &ClusterState) {
        let seen: Vec<(NodeId, Revision, String)> = self
            .records
            .keys()
            .filter_map(|node| state.node(node))
            .map(|record| (record.id.clone(), record.modified, record.labels.to_string()))
            .collect();
        for (node, at, value) in seen {
            self.value(&node, at, &value);
        }
    }
}
