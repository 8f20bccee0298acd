//! The workers that take part in a run, and how its width is divided among them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use remuda_model::{
    Failure, NodeId,
    run::{Limits, WorkerShare},
};
use remuda_wire::message::run::{Share, ToWorker};
use tokio::sync::mpsc;

/// A worker that failed is asked again after so long, and longer each time.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_CAP: Duration = Duration::from_mins(1);

/// The workers of a run, those of earlier too.
#[derive(Debug, Default)]
pub(super) struct Parts {
    now: BTreeMap<NodeId, Part>,
    shown: BTreeMap<NodeId, WorkerShare>,
    failed: BTreeMap<NodeId, Lapse>,
    numbers: u64,
}

/// A worker that failed: how often in a row, when it may be asked again, and why the last time.
#[derive(Debug)]
struct Lapse {
    times: u32,
    again: Instant,
    why: Failure,
}

/// A worker that takes part.
#[derive(Debug)]
pub(super) struct Part {
    /// Tells this share from an earlier one of the same worker.
    pub(super) number: u64,
    /// Orders on their way to it.
    pub(super) to: mpsc::Sender<ToWorker>,
    /// It gets nothing more, because it is not ready any more.
    pub(super) retired: bool,
    /// What it was told last.
    pub(super) hold: bool,
    pub(super) share: Option<Share>,
    site: u32,
    since: Instant,
    /// Records of earlier shares.
    before: u32,
}

impl Parts {
    /// A number for the next share.
    pub(super) fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// A worker takes part from now on.
    pub(super) fn add(
        &mut self,
        node: &NodeId,
        (site, number, hold): (u32, u64, bool),
        to: mpsc::Sender<ToWorker>,
    ) {
        let shown = self.shown.entry(node.clone()).or_default();
        let since = Instant::now();
        let before = shown.done;
        let part = Part { number, to, retired: false, hold, share: None, site, since, before };
        self.now.insert(node.clone(), part);
    }

    /// Those that take part now.
    pub(super) fn all(&mut self) -> impl Iterator<Item = (&NodeId, &mut Part)> {
        self.now.iter_mut()
    }

    /// One that takes part now.
    pub(super) fn get(&mut self, node: &NodeId) -> Option<&mut Part> {
        self.now.get_mut(node)
    }

    /// How many of a site take part and get more.
    pub(super) fn count(&self, site: u32) -> usize {
        self.now.values().filter(|part| part.site == site && !part.retired).count()
    }

    /// Whether nobody takes part.
    pub(super) fn is_empty(&self) -> bool {
        self.now.is_empty()
    }

    /// Whether a worker may be asked to take part.
    pub(super) fn may_ask(&self, node: &NodeId) -> bool {
        !self.now.contains_key(node)
            && self.failed.get(node).is_none_or(|lapse| lapse.again <= Instant::now())
    }

    /// Why a worker failed the last time, unless it has been there since.
    pub(super) fn why(&self, node: &NodeId) -> Option<&Failure> {
        self.failed.get(node).map(|lapse| &lapse.why)
    }

    /// A worker takes no part any more; `why`, if it failed.
    pub(super) fn remove(&mut self, node: &NodeId, why: Option<Failure>) {
        self.now.remove(node);
        if let Some(shown) = self.shown.get_mut(node) {
            (shown.connected, shown.in_flight, shown.window) = (false, 0, 0);
        }
        if let Some(why) = why {
            let times = self.failed.get(node).map_or(0, |lapse| lapse.times);
            let wait = AGAIN.saturating_mul(1 << times.min(10)).min(AGAIN_CAP);
            let again = Instant::now() + wait.mul_f64(0.5 + fastrand::f64() / 2.0);
            self.failed.insert(node.clone(), Lapse { times: times + 1, again, why });
        }
    }

    /// Nobody takes part any more.
    pub(super) fn clear(&mut self) {
        for node in self.now.keys().cloned().collect::<Vec<_>>() {
            self.remove(&node, None);
        }
    }

    /// It is there, and says how it goes.
    pub(super) fn pace(&mut self, node: &NodeId, window: u32, in_flight: u32) {
        self.failed.remove(node);
        if let Some(shown) = self.shown.get_mut(node) {
            (shown.connected, shown.window, shown.in_flight) = (true, window, in_flight);
        }
    }

    /// It brought so many records.
    pub(super) fn brought(&mut self, node: &NodeId, records: u32) {
        let Some(shown) = self.shown.get_mut(node) else { return };
        shown.done += records;
        if let Some(part) = self.now.get(node) {
            let seconds = part.since.elapsed().as_secs_f64().max(0.001);
            shown.rate = f64::from(shown.done - part.before) / seconds;
        }
    }

    /// What each worker did and does.
    pub(super) fn shown(&self) -> &BTreeMap<NodeId, WorkerShare> {
        &self.shown
    }

    /// Divides the width of the run among those that take part.
    pub(super) fn divide(&mut self, limits: &Limits) -> impl Iterator<Item = (&mut Part, Share)> {
        let number = u32::try_from(self.now.len()).unwrap_or(u32::MAX).max(1);
        let places = (0_u32..).zip(self.now.values_mut());
        places.map(move |(at, part)| (part, share_of(limits, number, at)))
    }
}

/// The share of the worker at this place among so many.
fn share_of(limits: &Limits, number: u32, at: u32) -> Share {
    let all = limits.concurrency.unwrap_or(u32::MAX);
    let concurrency = match limits.concurrency {
        Some(_) => all / number + u32::from(at < all % number),
        None => u32::MAX,
    };
    let concurrency = concurrency.min(limits.per_worker.unwrap_or(u32::MAX));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is checked")]
    let rate_milli = limits.rate.map(|rate| ((rate * 1000.0 / f64::from(number)) as u64).max(1));
    Share { concurrency, rate_milli }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        for (all, number) in [(10, 3), (2, 5), (2500, 1), (7, 7)] {
            let limits = Limits { concurrency: Some(all), ..Limits::default() };
            let shares = (0..number).map(|at| share_of(&limits, number, at).concurrency);
            assert_eq!(shares.sum::<u32>(), all);
        }
        let limits = Limits { rate: Some(100.0), per_worker: Some(9), ..Limits::default() };
        let share = share_of(&limits, 4, 0);
        assert_eq!(share, Share { concurrency: 9, rate_milli: Some(25_000) });
    }

    #[test]
    fn a_worker_that_failed_is_not_asked_again_at_once() {
        let mut parts = Parts::default();
        let node: NodeId = "w1".parse().expect("a name");
        assert!(parts.may_ask(&node));
        let (to, _orders) = mpsc::channel(1);
        let number = parts.next_number();
        parts.add(&node, (0, number, false), to);
        assert!(!parts.may_ask(&node));
        parts.remove(&node, Some(Failure::invalid("no")));
        assert!(!parts.may_ask(&node));
        assert!(parts.is_empty());
        assert_eq!(parts.why(&node), Some(&Failure::invalid("no")));
        parts.pace(&node, 0, 0);
        assert_eq!(parts.why(&node), None, "it is there again");
    }
}
