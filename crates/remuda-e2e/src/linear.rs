//! Whether a recorded history could have been the work of one object that does one thing at a time.
//!
//! The search is that of Wing and Gong with Lowe's memory of what was tried: operations are placed
//! one after the other, each within its own time, and taken back where that leads nowhere. Histories
//! of several objects are checked one object at a time. An operation whose outcome nobody knows may
//! have happened at any time after its call, or never.

mod slot;
mod timeline;

use std::{collections::HashSet, hash::Hash};

pub use slot::{Element, Op, Seen, Slot, settle};
pub use timeline::timeline;

/// What an object does, one operation at a time.
pub trait Model {
    /// What it remembers.
    type State: Clone + Eq + Hash;
    /// What it can be asked.
    type Op;
    /// What it answers.
    type Out;

    /// What it remembers at first.
    fn start() -> Self::State;

    /// What it remembers afterwards; `None` when it would not have answered so. Without an answer
    /// every one would have done.
    fn step(state: &Self::State, op: &Self::Op, out: Option<&Self::Out>) -> Option<Self::State>;
}

/// One operation as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<O, R> {
    /// Who asked. A client that does not know an outcome goes on under another number.
    pub client: u32,
    /// When it was asked, in nanoseconds since the start.
    pub call: u64,
    /// What was asked.
    pub op: O,
    /// When the answer came, and what it was; nothing when the outcome is unknown.
    pub answer: Option<(u64, R)>,
}

/// There is no order in which one object would have given these answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Positions in the history, in the longest order that was found.
    pub prefix: Vec<usize>,
    /// The operation whose answer fits nowhere after that.
    pub stuck: usize,
}

/// Operations that have not found their place: a ring through the events, with a number that stands
/// for its beginning and end.
struct Ring {
    next: Vec<usize>,
    before: Vec<usize>,
}

impl Ring {
    fn new(events: usize) -> Self {
        let ring = events + 1;
        let next = (0..ring).map(|at| (at + 1) % ring).collect();
        let before = (0..ring).map(|at| (at + ring - 1) % ring).collect();
        Self { next, before }
    }

    /// The number that stands for both ends.
    fn end(&self) -> usize {
        self.next.len() - 1
    }

    fn first(&self) -> usize {
        self.next[self.end()]
    }

    fn take(&mut self, at: usize) {
        let (before, next) = (self.before[at], self.next[at]);
        self.next[before] = next;
        self.before[next] = before;
    }

    /// Undoes the last [`take`](Self::take) that was not undone.
    fn put_back(&mut self, at: usize) {
        let (before, next) = (self.before[at], self.next[at]);
        self.next[before] = at;
        self.before[next] = at;
    }
}

#[derive(Clone, Copy)]
enum Event {
    Call(usize),
    Return(usize),
}

/// The set of operations that have found their place.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Placed(Vec<u64>);

impl Placed {
    fn flip(&mut self, operation: usize) {
        self.0[operation / 64] ^= 1 << (operation % 64);
    }
}

/// Looks for an order; returns it as positions in the history.
///
/// # Errors
///
/// When there is none: how far it went.
pub fn check<M: Model>(history: &[Operation<M::Op, M::Out>]) -> Result<Vec<usize>, Violation> {
    Search::<M>::new(history).run()
}

struct Search<'a, M: Model> {
    history: &'a [Operation<M::Op, M::Out>],
    events: Vec<Event>,
    /// Where the events of an operation stand.
    calls: Vec<usize>,
    returns: Vec<Option<usize>>,
    /// Operations of unknown outcome, by the time of their call.
    unknown: Vec<usize>,
    ring: Ring,
    placed: Placed,
    order: Vec<(usize, M::State)>,
    tried: HashSet<(Placed, M::State)>,
    best: Violation,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(history: &'a [Operation<M::Op, M::Out>]) -> Self {
        let known = |index: &usize| history[*index].answer.is_some();
        let mut times: Vec<(u64, bool, usize)> = Vec::new();
        for (index, operation) in history.iter().enumerate() {
            if let Some((end, _)) = &operation.answer {
                times.push((operation.call, false, index));
                times.push((*end, true, index));
            }
        }
        // What was asked in the moment of an answer may have come before it.
        times.sort_unstable();
        let (mut calls, mut returns) = (vec![0; history.len()], vec![None; history.len()]);
        let mut events = Vec::with_capacity(times.len());
        for (_, is_return, index) in times {
            if is_return {
                returns[index] = Some(events.len());
                events.push(Event::Return(index));
            } else {
                calls[index] = events.len();
                events.push(Event::Call(index));
            }
        }
        let mut unknown: Vec<usize> = (0..history.len()).filter(|index| !known(index)).collect();
        unknown.sort_by_key(|index| history[*index].call);
        Self {
            history,
            ring: Ring::new(events.len()),
            events,
            calls,
            returns,
            unknown,
            placed: Placed(vec![0; history.len().div_ceil(64)]),
            order: Vec::new(),
            tried: HashSet::new(),
            best: Violation { prefix: Vec::new(), stuck: 0 },
        }
    }

    fn run(mut self) -> Result<Vec<usize>, Violation> {
        let mut state = M::start();
        let mut at = self.ring.first();
        // Where to go on among the unknown ones, once no answered one fits.
        let mut unknown = 0;
        while self.ring.first() != self.ring.end() {
            let candidate = match self.events.get(at).copied() {
                Some(Event::Call(index)) => Some(index),
                // All that were asked before this answer have been tried.
                Some(Event::Return(stuck)) => {
                    self.note(stuck);
                    let limit = self.history[stuck].answer.as_ref().map_or(0, |(end, _)| *end);
                    let next = self.next_unknown(unknown, limit);
                    unknown = next.map_or(self.unknown.len(), |position| position + 1);
                    next.map(|position| self.unknown[position])
                }
                None => None,
            };
            if let Some(index) = candidate
                && let Some(after) = self.fits(&state, index)
            {
                self.place(index, std::mem::replace(&mut state, after));
                (at, unknown) = (self.ring.first(), 0);
                continue;
            }
            match (candidate, self.events.get(at)) {
                (Some(_), Some(Event::Call(_))) => at = self.ring.next[at],
                // Another unknown one may fit.
                (Some(_), _) => {}
                (None, _) => {
                    let Some((index, before)) = self.order.pop() else { return Err(self.best) };
                    self.displace(index);
                    state = before;
                    if self.history[index].answer.is_some() {
                        (at, unknown) = (self.ring.next[self.calls[index]], 0);
                    } else {
                        at = self.first_return();
                        let position = self.unknown.iter().position(|other| *other == index);
                        unknown = position.map_or(self.unknown.len(), |position| position + 1);
                    }
                }
            }
        }
        Ok(self.order.into_iter().map(|(index, _)| index).collect())
    }

    /// The next operation of unknown outcome that was asked early enough and is not placed yet.
    fn next_unknown(&self, from: usize, limit: u64) -> Option<usize> {
        let is_placed = |index: usize| self.placed.0[index / 64] >> (index % 64) & 1 == 1;
        (from..self.unknown.len())
            .take_while(|position| self.history[self.unknown[*position]].call <= limit)
            .find(|position| !is_placed(self.unknown[*position]))
    }

    /// The first answer whose operation is not placed.
    fn first_return(&self) -> usize {
        let mut at = self.ring.first();
        while let Some(Event::Call(_)) = self.events.get(at) {
            at = self.ring.next[at];
        }
        at
    }

    /// The state after the operation, unless that leads where the search has been.
    fn fits(&mut self, state: &M::State, index: usize) -> Option<M::State> {
        let operation = &self.history[index];
        let out = operation.answer.as_ref().map(|(_, out)| out);
        let after = M::step(state, &operation.op, out)?;
        self.placed.flip(index);
        let is_new = self.tried.insert((self.placed.clone(), after.clone()));
        self.placed.flip(index);
        is_new.then_some(after)
    }

    fn place(&mut self, index: usize, before: M::State) {
        self.placed.flip(index);
        if let Some(end) = self.returns[index] {
            self.ring.take(self.calls[index]);
            self.ring.take(end);
        }
        self.order.push((index, before));
    }

    fn displace(&mut self, index: usize) {
        self.placed.flip(index);
        if let Some(end) = self.returns[index] {
            self.ring.put_back(end);
            self.ring.put_back(self.calls[index]);
        }
    }

    fn note(&mut self, stuck: usize) {
        if self.order.len() >= self.best.prefix.len() {
            let prefix = self.order.iter().map(|(index, _)| *index).collect();
            self.best = Violation { prefix, stuck };
        }
    }
}
