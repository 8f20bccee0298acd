//! What must be true of workers: whom they obey, what is done, what is heard of them.

use std::collections::BTreeMap;

use remuda_model::{Epoch, Event, EventBody, NodeId};

use crate::world::fail;

/// Remembers what workers have done and said.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Who was obeyed in which epoch.
    owners: BTreeMap<(NodeId, Epoch), NodeId>,
    /// The highest epoch that each worker has obeyed in all its lives.
    highest: BTreeMap<NodeId, Epoch>,
    /// How often each request was done.
    done: BTreeMap<u64, u32>,
    pub(crate) n_requests: u64,
    /// What each number of each worker says.
    events: BTreeMap<(NodeId, u64), Known>,
    /// Numbers that the workers themselves have given up.
    gaps: BTreeMap<NodeId, Vec<(u64, u64)>>,
    pub(crate) n_events: u64,
    pub(crate) n_gaps: u64,
}

struct Known {
    event: Event,
    /// Whether it was on the worker's disk.
    kept: bool,
    /// Whether an owner has shown it.
    shown: bool,
}

impl Ledger {
    /// A worker has obeyed.
    pub(crate) fn obeyed(&mut self, worker: &NodeId, epoch: Epoch, owner: &NodeId) {
        let first = self.owners.entry((worker.clone(), epoch)).or_insert_with(|| owner.clone());
        if first != owner {
            let what = format!("{worker} obeys {first} and {owner} in epoch {epoch}");
            fail("one owner is obeyed in one epoch", what);
        }
        self.follows(worker, epoch);
    }

    /// A worker lets itself be commanded under this epoch.
    pub(crate) fn follows(&mut self, worker: &NodeId, epoch: Epoch) {
        let highest = self.highest.entry(worker.clone()).or_default();
        if epoch < *highest {
            let what = format!("{worker} obeys epoch {epoch} after {highest}");
            fail("only the highest epoch is obeyed", what);
        }
        *highest = epoch;
    }

    /// A request was done.
    pub(crate) fn done(&mut self, request: u64) {
        let times = self.done.entry(request).or_insert(0);
        *times += 1;
        if *times > 1 {
            fail("P9 a request is done at most once", format!("request {request}: {times} times"));
        }
    }

    /// A user was told that the request is done.
    pub(crate) fn told_done(&mut self, request: u64) {
        self.n_requests += 1;
        if !self.done.contains_key(&request) {
            fail("P9 an answer means that it was done", format!("request {request}"));
        }
    }

    /// A user was told that nothing was done; asked at the end, when nothing can follow.
    pub(crate) fn told_nothing(&self, request: u64) {
        if self.done.contains_key(&request) {
            fail("P9 \"nothing was sent\" is true", format!("request {request} was done"));
        }
    }

    fn know(&mut self, event: &Event) -> &mut Known {
        let key = (event.node.clone(), event.seq);
        let known = self.events.entry(key).or_insert_with(|| Known {
            event: event.clone(),
            kept: false,
            shown: false,
        });
        let is_gap = |event: &Event| matches!(event.body, EventBody::Gap { .. });
        if !is_gap(event) && !is_gap(&known.event) && known.event.body != event.body {
            let what = format!(
                "{} of {}: {:?} and {:?}",
                event.seq, event.node, known.event.body, event.body
            );
            fail("I-9 one number is one event", what);
        }
        known
    }

    /// Events are on their worker's disk.
    pub(crate) fn kept(&mut self, events: &[Event]) {
        for event in events {
            if let EventBody::Gap { from, to } = event.body {
                self.gaps.entry(event.node.clone()).or_default().push((from, to));
            } else {
                self.n_events += 1;
                self.know(event).kept = true;
            }
        }
    }

    /// An owner shows events.
    pub(crate) fn shown(&mut self, events: &[Event]) {
        for event in events {
            if matches!(event.body, EventBody::Class { .. }) {
                self.know(event).shown = true;
            }
        }
    }

    /// An event that was kept and neither shown nor given up.
    pub(crate) fn unheard(&self) -> Option<String> {
        let lost = self.events.iter().find(|((node, seq), known)| {
            let given_up = self
                .gaps
                .get(node)
                .is_some_and(|gaps| gaps.iter().any(|(from, to)| (from..=to).contains(&seq)));
            known.kept && !known.shown && !given_up
        });
        lost.map(|((node, seq), _)| format!("event {seq} of {node}"))
    }
}
