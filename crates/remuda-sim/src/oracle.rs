//! What must be true of control nodes, after every step.

use std::{collections::BTreeMap, sync::Arc};

use remuda_model::TokenId;
use remuda_state::ClusterState;
use remuda_store::Leadership;
use tokio::sync::watch;

use crate::{
    control::Control,
    net::Host,
    registers::Registers,
    world::{fail, trace},
};

/// What one replica shows.
struct Watched {
    name: String,
    state: watch::Receiver<Arc<ClusterState>>,
    leadership: watch::Receiver<Leadership>,
    applied: u64,
    /// What the trace has said of it.
    shown: (bool, u64),
}

/// Remembers what was seen and acknowledged.
#[derive(Default)]
pub(crate) struct Oracle {
    watched: BTreeMap<Host, Watched>,
    /// The state at each index, as the first replica showed it that got there.
    hashes: BTreeMap<u64, (u64, String)>,
    /// The highest term that each host has shown.
    terms: BTreeMap<Host, u64>,
    /// Tokens whose making was acknowledged, and the index by which they are there.
    pub(crate) made: BTreeMap<TokenId, u64>,
    /// Tokens whose revocation was acknowledged.
    pub(crate) revoked: BTreeMap<TokenId, u64>,
    pub(crate) registers: Registers,
    /// How many writes were acknowledged, and how many reads answered.
    pub(crate) n_writes: u64,
    pub(crate) n_reads: u64,
    pub(crate) n_unknown: u64,
}

fn short(hash: [u8; 32]) -> u64 {
    hash.iter().take(8).fold(0, |short, byte| short << 8 | u64::from(*byte))
}

impl Oracle {
    /// A replica runs from now on.
    pub(crate) fn watch(&mut self, control: &Control) {
        let watched = Watched {
            name: control.me.to_string(),
            state: control.replica.watch_state(),
            leadership: control.replica.leadership(),
            applied: 0,
            shown: (false, 0),
        };
        let mut watched = watched;
        watched.state.mark_changed();
        watched.leadership.mark_changed();
        self.watched.insert(control.host, watched);
    }

    /// A host has crashed.
    pub(crate) fn forget(&mut self, host: Host) {
        self.watched.remove(&host);
    }

    /// Looks at what has changed.
    pub(crate) fn after_step(&mut self) {
        for (host, watched) in &mut self.watched {
            if watched.leadership.has_changed().unwrap_or(false) {
                let now = watched.leadership.borrow_and_update().clone();
                let term = self.terms.entry(*host).or_insert(0);
                // 0 until the library has read its vote.
                if now.term < *term && now.term > 0 {
                    let what = format!("{} goes from term {term} to {}", watched.name, now.term);
                    fail("I-4 a vote survives a crash", what);
                }
                *term = now.term.max(*term);
                if let Some(fault) = &now.fault {
                    fail("a replica goes on", format!("{}: {fault}", watched.name));
                }
                if watched.shown != (now.is_leader, now.term) {
                    watched.shown = (now.is_leader, now.term);
                    if now.is_leader {
                        trace(|| format!("{} leads in term {}", watched.name, now.term));
                    }
                }
            }
            if watched.state.has_changed().unwrap_or(false) {
                let state = watched.state.borrow_and_update().clone();
                let applied = state.applied();
                if applied < watched.applied {
                    let what = format!("{}: {} after {}", watched.name, applied, watched.applied);
                    fail("I-5 a state never goes back", what);
                }
                if applied == watched.applied {
                    continue;
                }
                watched.applied = applied;
                if let Err(what) = state.invariants() {
                    fail("state invariants", format!("{} at {applied}: {what}", watched.name));
                }
                let hash = short(state.hash());
                trace(|| format!("{} applied {applied} {hash:016x}", watched.name));
                let first = self.hashes.entry(applied).or_insert((hash, watched.name.clone()));
                if first.0 != hash {
                    let what = format!("{} and {} differ at {applied}", watched.name, first.1);
                    fail("I-5 equal states at equal indexes", what);
                }
                self.registers.shown(&state);
            }
        }
    }

    /// Whether everything that was acknowledged is in the states that contain its index.
    pub(crate) fn check_acknowledged(&self) {
        for watched in self.watched.values() {
            let state = watched.state.borrow().clone();
            let applied = state.applied();
            for (token, index) in self.made.iter().filter(|(_, index)| **index <= applied) {
                if state.token(token).is_none() && !self.may_be_revoked(token) {
                    let name = &watched.name;
                    let what = format!("token {token} of index {index} is not on {name}");
                    fail("I-1 an acknowledged write survives", what);
                }
            }
            for (token, index) in self.revoked.iter().filter(|(_, index)| **index <= applied) {
                if state.token(token).is_some() {
                    let what = format!("token {token}, revoked at {index}, is on {}", watched.name);
                    fail("I-1 an acknowledged write survives", what);
                }
            }
        }
    }

    fn may_be_revoked(&self, token: &TokenId) -> bool {
        self.revoked.contains_key(token) || self.registers.revoking.contains(token)
    }
}
