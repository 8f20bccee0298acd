//! The share of this worker in one run, as a pure state machine.
//!
//! Messages and ends of attempts go in as they come. What comes out is asked for when there is room
//! for it: [`Core::begin`] when there is a slot, [`Core::say`] when a message can be sent. So a link
//! that takes nothing holds everything back without any queue growing.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use remuda_model::{
    Failure, NodeId,
    run::{Limits, RunSpec, TroubleKind},
};
use remuda_wire::message::run::{FromWorker, Given, Share, ToWorker};

use super::{
    batch::Batch,
    rate::Rate,
    retry::{self, Retry},
    window::{Begun, Window},
};
use crate::Attempt;

/// The most targets that wait here, and those asked for; an attempt of theirs has not begun.
const MAX_WAITING: u32 = 10_000;
/// The least that are asked for while nothing limits them.
const MIN_WAITING: u32 = 64;
/// About the most bytes of targets that wait here.
const MAX_BYTES: usize = 4 << 20;
/// What a target is believed to take before one was seen, and what it takes beside its texts.
const USUAL_BYTES: usize = 512;
const FIXED_BYTES: usize = 96;
/// For how long targets are kept ready.
const READY: Duration = Duration::from_millis(250);
/// The same where a rate says how many begin.
const READY_AT_RATE: u64 = 2;
/// How often the pace is told while it changes, and measured for how many targets are asked for.
const PACE_EVERY: Duration = Duration::from_millis(500);

/// A target that was given and has no record yet.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) given: Given,
    /// How many attempts have begun.
    attempts: u16,
    /// When the last one began, and in which interval.
    begun_at: Duration,
    begun: Begun,
}

/// The share of this worker in one run. All times are since the run was opened here.
///
/// Invariant: each target that was given is in exactly one of `waiting`, `delayed`, the hands of
/// whoever was given it by [`Core::begin`], or had its record put into `batch`.
#[derive(Debug)]
pub(super) struct Core {
    node: NodeId,
    retry: Retry,
    per_worker: u32,
    share: u32,
    /// How many slots this run may have, if it could use more.
    part: u32,
    window: Window,
    rate: Rate,
    is_held: bool,
    is_finishing: bool,
    has_said_finished: bool,
    /// Asked for and not given yet.
    asked: u32,
    waiting: VecDeque<Target>,
    waiting_bytes: usize,
    delayed: BTreeMap<(Duration, u64), Target>,
    last_delayed: u64,
    in_flight: u32,
    batch: Batch,
    /// Whether a message cannot be sent now.
    is_stuck: bool,
    pace: Pace,
    random: fastrand::Rng,
}

/// What was told of the pace, and how many attempts end.
#[derive(Debug)]
struct Pace {
    told: (u32, u32),
    next: Duration,
    ended: u32,
    measured: Duration,
    /// How many targets are needed for [`READY`].
    ready: u32,
}

impl Core {
    /// A share that has just been opened.
    pub(super) fn new(node: NodeId, spec: &RunSpec, share: Share, hold: bool, seed: u64) -> Self {
        let Limits { per_worker, adaptive, .. } = spec.limits;
        let per_worker = per_worker.unwrap_or(u32::MAX);
        let now = Duration::ZERO;
        Self {
            node,
            retry: Retry::of(spec),
            per_worker,
            share: share.concurrency,
            part: u32::MAX,
            window: Window::new(adaptive, share.concurrency.min(per_worker), now),
            rate: Rate::new(share.rate_milli, now),
            is_held: hold,
            is_finishing: false,
            has_said_finished: false,
            asked: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            delayed: BTreeMap::new(),
            last_delayed: 0,
            in_flight: 0,
            batch: Batch::default(),
            is_stuck: false,
            pace: Pace { told: (0, 0), next: now, ended: 0, measured: now, ready: 0 },
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Takes a message of the control node.
    ///
    /// # Errors
    ///
    /// When it breaks the protocol: the stream cannot go on.
    pub(super) fn hear(&mut self, now: Duration, message: ToWorker) -> Result<(), Failure> {
        match message {
            ToWorker::Open(_) => return Err(broken("it was opened a second time")),
            ToWorker::Targets(_) if self.is_finishing => {
                return Err(broken("targets came after their end"));
            }
            ToWorker::Targets(given) => {
                let count = u32::try_from(given.len()).unwrap_or(u32::MAX);
                let Some(left) = self.asked.checked_sub(count) else {
                    let text = format!("{count} targets came, {} were asked for", self.asked);
                    return Err(broken(&text));
                };
                self.asked = left;
                for given in given {
                    self.waiting_bytes += bytes(&given);
                    let begun_at = Duration::ZERO;
                    self.waiting.push_back(Target { given, attempts: 0, begun_at, begun: 0 });
                }
            }
            ToWorker::Share(share) => {
                self.share = share.concurrency;
                self.window.set_cap(self.share.min(self.per_worker));
                if share.rate_milli != self.rate.milli() {
                    self.rate.set(share.rate_milli, now);
                }
            }
            ToWorker::Hold(hold) => self.is_held = hold,
            ToWorker::Finish => {
                self.is_finishing = true;
                self.asked = 0;
            }
        }
        Ok(())
    }

    /// An attempt has ended: the target is done, or waits for the next one.
    pub(super) fn ended(&mut self, now: Duration, target: Target, attempt: Attempt) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.pace.ended = self.pace.ended.saturating_add(1);
        let took = now.saturating_sub(target.begun_at);
        self.window.end(target.begun, took, is_bad(&attempt));
        if self.retry.wanted(&attempt, target.attempts) {
            let due = now + retry::delay(target.attempts, &mut self.random);
            self.last_delayed += 1;
            self.waiting_bytes += bytes(&target.given);
            self.delayed.insert((due, self.last_delayed), target);
            return;
        }
        let mut record = attempt.record;
        record.index = target.given.index;
        record.attempts = target.attempts;
        record.worker = Some(self.node.clone());
        self.batch.push(record, now);
    }

    /// Says how many slots this run may have, of those that it [`needs`](Self::needs).
    pub(super) fn set_part(&mut self, part: u32) {
        // Who has all it needs is not limited by its part.
        self.part = Some(part).filter(|&part| part < self.needs()).unwrap_or(u32::MAX);
    }

    /// Whether the control node has said that no more targets come.
    pub(super) fn is_finishing(&self) -> bool {
        self.is_finishing
    }

    /// Whether there was no room for another message.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// Says whether there is no room for another message.
    pub(super) fn set_stuck(&mut self, is_stuck: bool) {
        self.is_stuck = is_stuck;
    }

    /// Does what time has come for.
    pub(super) fn tick(&mut self, now: Duration) {
        self.window.tick(now);
        while let Some(entry) = self.delayed.first_entry().filter(|entry| entry.key().0 <= now) {
            // Who was begun first goes first.
            self.waiting.push_front(entry.remove());
        }
        let passed = now.saturating_sub(self.pace.measured);
        if passed >= PACE_EVERY {
            let ended = u128::from(std::mem::take(&mut self.pace.ended));
            let ready = ended * READY.as_nanos() / passed.as_nanos().max(1);
            self.pace.ready = u32::try_from(ready).unwrap_or(u32::MAX);
            self.pace.measured = now;
        }
    }

    /// How many slots could be used now, those in use included.
    pub(super) fn needs(&self) -> u32 {
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        let more = if self.may_go_on() { waiting } else { 0 };
        let room = self.window.limit().saturating_sub(self.in_flight);
        self.in_flight + more.min(room)
    }

    /// Whether a target may begin now, if there is a slot.
    pub(super) fn is_ready(&mut self, now: Duration) -> bool {
        self.may_go_on()
            && !self.waiting.is_empty()
            && self.in_flight < self.width()
            && self.rate.allows(now)
    }

    /// The target that begins now; comes back by [`ended`](Self::ended). `None` unless
    /// [`is_ready`](Self::is_ready).
    pub(super) fn begin(&mut self, now: Duration) -> Option<Target> {
        if !self.is_ready(now) {
            return None;
        }
        let mut target = self.waiting.pop_front()?;
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes(&target.given));
        self.rate.take(now);
        target.attempts = target.attempts.saturating_add(1);
        target.begun_at = now;
        target.begun = self.window.begin();
        self.in_flight += 1;
        Some(target)
    }

    /// All that can begin has begun.
    pub(super) fn settled(&mut self, now: Duration) {
        if self.in_flight == 0 && self.waiting.is_empty() {
            return;
        }
        let is_full = self.in_flight >= self.window.limit();
        let could = self.may_go_on() && !self.waiting.is_empty() && self.rate.allows(now);
        self.window.note(is_full && could);
    }

    /// The next message for the control node, if there is one now.
    pub(super) fn say(&mut self, now: Duration) -> Option<FromWorker> {
        let is_idle = self.is_idle();
        // Nobody else comes, so nobody is waited for.
        self.batch.set_last(is_idle && self.is_finishing);
        if let Some(records) = self.batch.take(now) {
            return Some(FromWorker::Records(records));
        }
        if self.is_finishing && is_idle && self.batch.is_empty() {
            let is_new = !std::mem::replace(&mut self.has_said_finished, true);
            return is_new.then_some(FromWorker::Finished);
        }
        if let Some(want) = self.want() {
            self.asked += want;
            return Some(FromWorker::Want(want));
        }
        let (window, in_flight) = self.present_pace();
        if now >= self.pace.next && (window, in_flight) != self.pace.told {
            self.pace.told = (window, in_flight);
            self.pace.next = now + PACE_EVERY;
            return Some(FromWorker::Pace { window, in_flight });
        }
        None
    }

    /// The records that are there, whether a message of them is due or not: the stream ends.
    pub(super) fn last_records(&mut self, now: Duration) -> Option<FromWorker> {
        self.batch.set_last(true);
        self.batch.take(now).map(FromWorker::Records)
    }

    /// Whether everything was said.
    pub(super) fn is_over(&self) -> bool {
        self.has_said_finished
    }

    /// When something happens by itself: [`tick`](Self::tick), [`begin`](Self::begin) and
    /// [`say`](Self::say) then.
    pub(super) fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let works = self.in_flight > 0 || !self.waiting.is_empty();
        let begins = self.may_go_on() && !self.waiting.is_empty() && self.in_flight < self.width();
        let paces = self.present_pace() != self.pace.told;
        let deadlines = [
            self.window.next().filter(|_| works),
            self.rate.next(now).filter(|&next| begins && next > now),
            self.delayed.first_key_value().map(|(&(due, _), _)| due),
            self.batch.due(now).filter(|_| !self.is_stuck),
            Some(self.pace.next).filter(|_| paces && !self.is_stuck),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn may_go_on(&self) -> bool {
        let is_stuck = self.is_stuck && self.batch.is_full();
        !self.is_held && !is_stuck
    }

    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.waiting.is_empty() && self.delayed.is_empty()
    }

    fn width(&self) -> u32 {
        self.window.limit().min(self.part)
    }

    fn present_pace(&self) -> (u32, u32) {
        (self.width(), self.in_flight)
    }

    /// How many more targets are asked for.
    fn want(&self) -> Option<u32> {
        if self.is_finishing {
            return None;
        }
        let count = self.waiting.len() + self.delayed.len();
        let here = u32::try_from(count).unwrap_or(u32::MAX).saturating_add(self.asked);
        let mut goal = self.width().max(self.pace.ready).clamp(MIN_WAITING, MAX_WAITING);
        if let Some(milli) = self.rate.milli() {
            let at_rate = milli.saturating_mul(READY_AT_RATE) / 1000;
            goal = goal.min(u32::try_from(at_rate).unwrap_or(u32::MAX).max(1));
        }
        let each = self.waiting_bytes.checked_div(count).unwrap_or(USUAL_BYTES).max(1);
        let by_bytes = u32::try_from(MAX_BYTES / each).unwrap_or(u32::MAX).max(1);
        let want = goal.min(by_bytes).saturating_sub(here);
        // Not one by one.
        let is_worth_it = want > 0 && (here == 0 || want >= goal / 4);
        is_worth_it.then_some(want)
    }
}

/// Whether an attempt failed as it would in too great a crowd of attempts.
fn is_bad(attempt: &Attempt) -> bool {
    attempt.record.trouble.as_ref().is_some_and(|trouble| match trouble.kind {
        TroubleKind::ConnectTimeout
        | TroubleKind::Timeout
        | TroubleKind::Closed
        | TroubleKind::Unreachable
        | TroubleKind::Internal => true,
        TroubleKind::Dns
        | TroubleKind::Refused
        | TroubleKind::Tls
        | TroubleKind::HostKey
        | TroubleKind::Auth
        | TroubleKind::Protocol
        | TroubleKind::Redirect
        | TroubleKind::Status
        | TroubleKind::Exit
        | TroubleKind::Mismatch
        | TroubleKind::Job
        | TroubleKind::Stuck
        | TroubleKind::Policy
        | TroubleKind::Template
        | TroubleKind::WorkerLost
        | TroubleKind::Cancelled
        | TroubleKind::Deadline => false,
    })
}

/// How much memory a target takes, about.
fn bytes(given: &Given) -> usize {
    let vars = given.vars.iter().map(|(name, value)| FIXED_BYTES + name.len() + value.len());
    FIXED_BYTES + given.host.len() + vars.sum::<usize>()
}

fn broken(what: &str) -> Failure {
    Failure::invalid(format!("the stream of the run breaks its rules: {what}"))
        .code("protocol_violation")
}

#[cfg(test)]
mod tests;
