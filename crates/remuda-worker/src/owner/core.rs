//! How a worker finds its owner and follows it, as a pure state machine.
//!
//! One search at a time: dial, announce, follow redirects, open a session. The present session is
//! kept until a new one is up. What cannot be reached directly is reached through the control node
//! that can be.

mod search;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use remuda_model::{Epoch, Failure, LinkUrl, NodeId, Transport};
use remuda_runtime::Backoff;
use remuda_wire::message::announce::Placement;

use self::search::{Phase, Redirect, Search, Target};
use crate::status::Connection;

/// Redirects that are followed in one search.
const MAX_HOPS: u8 = 4;
/// Addresses that are tried in one search.
const MAX_TARGETS: usize = 64;
/// Addresses that are kept over restarts.
const MAX_LEARNT: usize = 32;
/// A dial that takes this long gets company.
const STAGGER: Duration = Duration::from_secs(1);
/// How long the owner may take to be reached before another control node relays: work shall not wait
/// for a firewall. A link that comes later replaces the relay.
const RELAY_AFTER: Duration = Duration::from_secs(3);
/// Dials at the same time.
const MAX_DIALS: usize = 4;
/// Between searches after the first minute; during that, at most [`SOON`].
const LATE: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(5);
const SOON_FOR: Duration = Duration::from_mins(1);
const BASE: Duration = Duration::from_millis(200);
/// Refusals that only a person can end.
const LASTING: [&str; 4] = ["node_id_in_use", "revoked", "removed", "node_removed"];

pub(crate) type DialId = u64;
pub(crate) type LinkId = u64;
pub(crate) type SessionId = u64;

/// What happens.
#[derive(Debug)]
pub enum Input {
    /// Where control nodes may be.
    Candidates(Vec<LinkUrl>),
    /// A dial has ended: with a link to this node, or with a failure.
    Dialled { dial: DialId, outcome: Result<(LinkId, Far), Failure> },
    /// The answer to an announcement.
    Answered { link: LinkId, outcome: Result<Placement, Failure> },
    /// A session is up, or could not be opened.
    Opened { session: SessionId, outcome: Result<(), Failure> },
    /// A session is over.
    Ended { session: SessionId },
    /// The owner says that there is another one.
    Moved { session: SessionId, epoch: Epoch, owner: NodeId, addresses: Vec<LinkUrl> },
    /// A control node has dialled this one.
    Offered { link: LinkId, far: Far },
    /// A link is gone.
    LinkLost { link: LinkId },
    /// A link should be replaced by a new one; it still works.
    Outdated { link: LinkId },
    /// Time has passed.
    Tick,
}

/// Who is at the other end of a link, and where it can be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Far {
    pub node: NodeId,
    pub addresses: Vec<LinkUrl>,
}

/// What must be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Dial; say [`Input::Dialled`].
    Dial { dial: DialId, url: LinkUrl },
    /// Announce this worker; say [`Input::Answered`].
    Announce { link: LinkId, unreachable: Vec<NodeId> },
    /// Open a session; say [`Input::Opened`].
    Open { session: SessionId, link: LinkId, epoch: Epoch },
    /// Let a session end; it is replaced.
    End { session: SessionId },
    /// Close a link that this worker has dialled, once the calls on it are answered.
    Retire { link: LinkId },
    /// Close a link that this worker has dialled and not used.
    Close { link: LinkId },
    /// Keep these addresses of control nodes over restarts, the last owner's first.
    Learn(Vec<LinkUrl>),
    /// Show whether the owner is found.
    Show(Connection),
    /// Tell people why no control node takes this worker.
    Complain(Failure),
}

#[derive(Debug)]
struct Known {
    far: Far,
    /// By this worker, which therefore closes it when it is not needed.
    dialled: bool,
}

#[derive(Clone, Debug)]
struct Current {
    session: SessionId,
    link: LinkId,
    epoch: Epoch,
    /// Whether another control node passes it on to the owner.
    relayed: bool,
}

/// The search for the owner.
#[derive(Debug)]
pub struct Core {
    candidates: Vec<LinkUrl>,
    /// Where owners could be dialled, the last one first.
    learnt: Vec<LinkUrl>,
    /// Links that are up.
    links: BTreeMap<LinkId, Known>,
    session: Option<Current>,
    search: Option<Search>,
    /// The owner that the present session has named as its successor.
    successor: Option<(NodeId, Vec<LinkUrl>)>,
    /// The link of the present session, when a session on another link should take its place.
    outdated: Option<LinkId>,
    /// When the next search begins; only without one.
    wait_until: Option<Duration>,
    lost_at: Duration,
    soon: Backoff,
    late: Backoff,
    /// The highest epoch that was answered.
    epoch: Epoch,
    next_id: u64,
    random: fastrand::Rng,
}

impl Core {
    /// A search that begins with the first input.
    pub fn new(learnt: Vec<LinkUrl>, epoch: Epoch, seed: u64) -> Self {
        Self {
            candidates: Vec::new(),
            learnt,
            links: BTreeMap::new(),
            session: None,
            search: None,
            successor: None,
            outdated: None,
            wait_until: Some(Duration::ZERO),
            lost_at: Duration::ZERO,
            soon: Backoff::new(BASE, SOON, seed),
            late: Backoff::new(BASE, LATE, seed.wrapping_add(1)),
            epoch,
            next_id: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// When [`Input::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Duration> {
        match &self.search {
            Some(search) => search.next_deadline(),
            None => self.wait_until,
        }
    }

    #[must_use]
    pub fn handle(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        match input {
            Input::Candidates(candidates) => {
                let new = candidates.iter().any(|url| !self.candidates.contains(url));
                self.candidates = candidates;
                if new && self.search.is_none() && self.session.is_none() {
                    self.begin(now, &mut out);
                }
            }
            Input::Dialled { dial, outcome } => self.dialled(now, dial, outcome, &mut out),
            Input::Answered { link, outcome } => self.answered(now, link, outcome, &mut out),
            Input::Opened { session, outcome } => self.opened(now, session, outcome, &mut out),
            Input::Ended { session } => self.ended(now, session, &mut out),
            Input::Moved { session, epoch, owner, addresses } => {
                let current = self.session.as_ref().is_some_and(|now| now.session == session);
                if current && epoch >= self.epoch {
                    self.epoch = epoch;
                    self.successor = Some((owner, addresses));
                    self.abandon(&mut out);
                    self.begin(now, &mut out);
                }
            }
            Input::Offered { link, far } => self.offered(now, link, far, &mut out),
            // Whoever waits for something on the link learns of its end by that.
            Input::LinkLost { link } => drop(self.links.remove(&link)),
            Input::Outdated { link } => {
                let is_used = self.session.as_ref().is_some_and(|current| current.link == link);
                if is_used && self.outdated.replace(link) != Some(link) {
                    self.abandon(&mut out);
                    self.begin(now, &mut out);
                }
            }
            Input::Tick => self.tick(now, &mut out),
        }
        debug_assert!(self.search.is_none() || self.wait_until.is_none());
        debug_assert!(
            self.search.is_some()
                || self.wait_until.is_some()
                || (self.session.is_some() && self.successor.is_none())
        );
        out
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Begins a search: for the named successor, or for anybody.
    fn begin(&mut self, now: Duration, out: &mut Vec<Effect>) {
        self.wait_until = None;
        let mut search = Search::default();
        match (self.session.clone(), self.successor.clone()) {
            (Some(current), Some((owner, addresses))) => {
                let targets = self.ways_to(&owner, &addresses);
                let fallback = current.link;
                let relay_at = now + RELAY_AFTER;
                search.redirect = Some(Redirect { owner, targets, fallback, relay_at });
            }
            (Some(current), None) => {
                if self.outdated == Some(current.link) {
                    search.targets = self.afresh(current.link);
                }
            }
            (None, _) => {
                out.push(Effect::Show(Connection::Looking));
                search.targets = self.everybody();
            }
        }
        self.search = Some(search);
        self.advance(now, out);
    }

    fn ways_to(&self, owner: &NodeId, addresses: &[LinkUrl]) -> VecDeque<Target> {
        let links = self.links.iter().filter(|(_, known)| known.far.node == *owner);
        let links = links.filter(|(link, _)| Some(**link) != self.outdated);
        let links = links.map(|(link, _)| Target::Link(*link));
        let urls = addresses.iter().take(MAX_TARGETS).cloned().map(Target::Url);
        links.chain(urls).collect()
    }

    /// Where a new link may lead to the same owner: first to the node at the end of the present one.
    fn afresh(&mut self, link: LinkId) -> VecDeque<Target> {
        let known = self.links.get(&link).map(|known| known.far.addresses.clone());
        let urls = known.unwrap_or_default().into_iter().map(Target::Url);
        let others = self.everybody();
        let others = others.into_iter().filter(|target| matches!(target, Target::Url(_)));
        urls.chain(others).take(MAX_TARGETS).collect()
    }

    /// Links that are up, the control part of this very node, then where the last owner was, then
    /// all others in their order.
    fn everybody(&mut self) -> VecDeque<Target> {
        let (mut urls, others): (Vec<_>, Vec<_>) =
            self.candidates.iter().cloned().partition(|url| url.transport == Transport::Mem);
        if let Some((_, addresses)) = self.successor.take() {
            urls.extend(addresses);
        }
        urls.extend(self.learnt.iter().cloned());
        urls.extend(others);
        let mut seen = BTreeSet::new();
        urls.retain(|url| seen.insert(url.clone()));
        let links = self.links.keys().copied().map(Target::Link);
        links.chain(urls.into_iter().map(Target::Url)).take(MAX_TARGETS).collect()
    }

    /// Goes to the next target, if there is one and nothing else is under way.
    fn advance(&mut self, now: Duration, out: &mut Vec<Effect>) {
        loop {
            let Some(search) = &mut self.search else { return };
            let Phase::Dialling { dials, company_at } = &mut search.phase else { return };
            let targets = match &mut search.redirect {
                Some(redirect) => &mut redirect.targets,
                None => &mut search.targets,
            };
            match targets.pop_front() {
                Some(Target::Link(link)) if !self.links.contains_key(&link) => (),
                Some(Target::Link(link)) => return self.announce(link, out),
                Some(Target::Url(url)) => {
                    self.next_id += 1;
                    dials.insert(self.next_id);
                    *company_at = now + STAGGER;
                    out.push(Effect::Dial { dial: self.next_id, url });
                    return;
                }
                None if !dials.is_empty() => return,
                None => match search.redirect.take() {
                    Some(Redirect { owner, fallback, .. }) => {
                        search.unreachable.insert(owner);
                        if self.links.contains_key(&fallback) {
                            return self.announce(fallback, out);
                        }
                    }
                    None => return self.exhausted(now, out),
                },
            }
        }
    }

    fn announce(&mut self, link: LinkId, out: &mut Vec<Effect>) {
        let Some(search) = &mut self.search else { return };
        search.phase = Phase::Announcing { link };
        let unreachable = search.unreachable.iter().cloned().collect();
        out.push(Effect::Announce { link, unreachable });
    }

    fn dialled(
        &mut self,
        now: Duration,
        dial: DialId,
        outcome: Result<(LinkId, Far), Failure>,
        out: &mut Vec<Effect>,
    ) {
        let wanted = self.search.as_mut().is_some_and(|search| search.take_dial(dial));
        match outcome {
            Ok((link, far)) => {
                self.links.insert(link, Known { far, dialled: true });
                let relayed = self.session.as_ref().is_some_and(|current| current.relayed);
                if wanted {
                    self.announce(link, out);
                } else if relayed && self.search.is_none() {
                    // It comes late; it may be a shorter way than the present one.
                    self.wait_until = None;
                    self.search = Some(Search::default());
                    self.announce(link, out);
                } else {
                    self.release(link, out);
                }
            }
            Err(failure) if wanted => {
                self.refused(failure);
                self.advance(now, out);
            }
            Err(_) => (),
        }
    }

    /// Keeps what people should know when the search fails.
    fn refused(&mut self, failure: Failure) {
        let Some(search) = &mut self.search else { return };
        if search.failure.as_ref().is_none_or(|before| !is_lasting(before)) {
            search.failure = Some(failure);
        }
    }

    fn answered(
        &mut self,
        now: Duration,
        link: LinkId,
        outcome: Result<Placement, Failure>,
        out: &mut Vec<Effect>,
    ) {
        let Some(search) = &mut self.search else { return };
        if !matches!(search.phase, Phase::Announcing { link: at } if at == link) {
            return;
        }
        search.phase = Phase::default();
        match outcome {
            Ok(Placement::Owned { epoch }) if self.takes(epoch, true) => {
                self.open(link, epoch, false, out);
            }
            Ok(Placement::Relay { epoch, .. }) if self.takes(epoch, false) => {
                self.open(link, epoch, true, out);
            }
            Ok(Placement::Redirect { epoch, owner, addresses }) if self.takes(epoch, false) => {
                self.epoch = epoch;
                self.redirect(now, link, owner, &addresses, out);
                self.advance(now, out);
            }
            Ok(_) => {
                // The control node lags behind, or only says what is known.
                self.release(link, out);
                self.advance(now, out);
            }
            Err(failure) => {
                self.refused(failure);
                self.release(link, out);
                self.advance(now, out);
            }
        }
    }

    /// Whether an answer of this epoch is news.
    fn takes(&self, epoch: Epoch, direct: bool) -> bool {
        // Who has an owner that names no successor looks only for a newer one, or a shorter way.
        let content = self
            .session
            .as_ref()
            .filter(|current| self.successor.is_none() && self.outdated != Some(current.link));
        epoch >= self.epoch
            && content.is_none_or(|current| {
                epoch > current.epoch || (epoch == current.epoch && current.relayed && direct)
            })
    }

    fn redirect(
        &mut self,
        now: Duration,
        link: LinkId,
        owner: NodeId,
        to: &[LinkUrl],
        out: &mut Vec<Effect>,
    ) {
        let targets = self.ways_to(&owner, to);
        let Some(search) = &mut self.search else { return };
        search.hops += 1;
        // The first that has redirected is the one that can relay.
        let fallback = search.redirect.as_ref().map_or(link, |redirect| redirect.fallback);
        let possible = search.hops <= MAX_HOPS && !search.unreachable.contains(&owner);
        let relay_at = now + RELAY_AFTER;
        search.redirect = possible.then_some(Redirect { owner, targets, fallback, relay_at });
        if fallback != link || !possible {
            self.release(link, out);
        }
        if !possible && fallback != link {
            self.release(fallback, out);
        }
    }

    fn open(&mut self, link: LinkId, epoch: Epoch, relayed: bool, out: &mut Vec<Effect>) {
        let session = self.id();
        self.epoch = epoch;
        if let Some(search) = &mut self.search {
            search.phase = Phase::Opening { session, link, epoch, relayed };
        }
        if self.session.is_none() {
            // The owner calls as soon as it has welcomed, and must not be refused then.
            out.push(Effect::Show(Connection::Placed));
        }
        out.push(Effect::Open { session, link, epoch });
    }

    fn opened(
        &mut self,
        now: Duration,
        session: SessionId,
        outcome: Result<(), Failure>,
        out: &mut Vec<Effect>,
    ) {
        let phase = self.search.as_ref().map(|search| &search.phase);
        let (link, epoch, relayed) = match phase {
            Some(&Phase::Opening { session: awaited, link, epoch, relayed })
                if awaited == session =>
            {
                (link, epoch, relayed)
            }
            // Nobody waits for it any more.
            _ => return out.push(Effect::End { session }),
        };
        if let Err(failure) = outcome {
            if let Some(search) = &mut self.search {
                search.phase = Phase::default();
            }
            if self.session.is_none() {
                out.push(Effect::Show(Connection::Looking));
            }
            self.refused(failure);
            self.release(link, out);
            return self.advance(now, out);
        }
        let before = self.session.replace(Current { session, link, epoch, relayed });
        self.successor = None;
        self.outdated = None;
        self.search = None;
        self.soon.reset();
        self.late.reset();
        out.push(Effect::Show(Connection::Placed));
        self.learn(link, out);
        let before_link = before.as_ref().map(|before| before.link);
        if let Some(before) = before {
            out.push(Effect::End { session: before.session });
        }
        let spare = self.links.extract_if(.., |other, known| known.dialled && *other != link);
        out.extend(spare.map(|(other, _)| {
            let retire = before_link == Some(other);
            if retire { Effect::Retire { link: other } } else { Effect::Close { link: other } }
        }));
    }

    /// Remembers where the node can be dialled through which the owner was found.
    fn learn(&mut self, link: LinkId, out: &mut Vec<Effect>) {
        let Some(known) = self.links.get(&link) else { return };
        // What is reached through memory is this very process.
        if known.far.addresses.iter().any(|url| url.transport == Transport::Mem) {
            return;
        }
        let mut learnt = known.far.addresses.clone();
        learnt.extend(self.learnt.iter().cloned());
        let mut seen = BTreeSet::new();
        learnt.retain(|url| seen.insert(url.clone()));
        learnt.truncate(MAX_LEARNT);
        if learnt != self.learnt {
            self.learnt.clone_from(&learnt);
            out.push(Effect::Learn(learnt));
        }
    }

    fn ended(&mut self, now: Duration, session: SessionId, out: &mut Vec<Effect>) {
        if self.session.as_ref().is_none_or(|current| current.session != session) {
            return;
        }
        self.session = None;
        self.outdated = None;
        self.lost_at = now;
        // An owner that has welcomed another session ends this one; which of both words comes first
        // is open when the sessions have links of their own. Calls come on the new link already.
        let opening = |search: &Search| matches!(search.phase, Phase::Opening { .. });
        if !self.search.as_ref().is_some_and(opening) {
            out.push(Effect::Show(Connection::Looking));
        }
        // A search for a successor goes on; its fallback may be gone.
        if self.search.is_none() {
            self.wait(now, false);
        }
    }

    fn offered(&mut self, now: Duration, link: LinkId, far: Far, out: &mut Vec<Effect>) {
        let node = far.node.clone();
        self.links.insert(link, Known { far, dialled: false });
        let Some(search) = &mut self.search else {
            if self.session.is_none() {
                self.begin(now, out);
            } else {
                // Perhaps the owner has changed, and the present link is dead without knowing it.
                self.wait_until = None;
                self.search = Some(Search::default());
                self.announce(link, out);
            }
            return;
        };
        match &mut search.redirect {
            Some(redirect) if redirect.owner == node => {
                redirect.targets.push_front(Target::Link(link));
            }
            _ => search.targets.push_front(Target::Link(link)),
        }
        let for_the_owner = search.redirect.as_ref().is_none_or(|redirect| redirect.owner == node);
        if for_the_owner && matches!(search.phase, Phase::Dialling { .. }) {
            // A link that is up is better than one that may come.
            search.phase = Phase::default();
            self.advance(now, out);
        }
    }

    fn tick(&mut self, now: Duration, out: &mut Vec<Effect>) {
        match &self.search {
            None if self.wait_until.is_some_and(|at| at <= now) => self.begin(now, out),
            Some(search) if search.relay_at().is_some_and(|at| at <= now) => {
                self.stop_dialling();
                self.advance(now, out);
            }
            Some(search) if search.next_deadline().is_some_and(|at| at <= now) => {
                self.advance(now, out);
            }
            _ => (),
        }
    }

    /// Waits no longer for ways to the owner that was named.
    fn stop_dialling(&mut self) {
        let Some(search) = &mut self.search else { return };
        search.phase = Phase::default();
        if let Some(redirect) = &mut search.redirect {
            redirect.targets.clear();
        }
    }

    /// Ends a search without success.
    fn exhausted(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let failure = self.search.as_mut().and_then(|search| search.failure.take());
        self.abandon(out);
        if self.session.is_none() || self.successor.is_some() || self.outdated.is_some() {
            self.wait(now, failure.as_ref().is_some_and(is_lasting));
        }
        out.extend(failure.map(Effect::Complain));
    }

    fn wait(&mut self, now: Duration, lasting: bool) {
        let delay = if lasting {
            LATE + LATE.mul_f64(self.random.f64())
        } else if now.saturating_sub(self.lost_at) < SOON_FOR {
            self.soon.next_delay()
        } else {
            self.late.next_delay()
        };
        self.wait_until = Some(now + delay);
    }

    /// Ends a search and closes what it has dialled.
    fn abandon(&mut self, out: &mut Vec<Effect>) {
        let Some(search) = self.search.take() else { return };
        for link in search.links() {
            self.release(link, out);
        }
    }

    /// Closes a link unless somebody needs it.
    fn release(&mut self, link: LinkId, out: &mut Vec<Effect>) {
        let in_use = self.session.as_ref().is_some_and(|current| current.link == link);
        let fallback = self.search.as_ref().and_then(|search| search.redirect.as_ref());
        let in_use = in_use || fallback.is_some_and(|redirect| redirect.fallback == link);
        if !in_use && self.links.get(&link).is_some_and(|known| known.dialled) {
            self.links.remove(&link);
            out.push(Effect::Close { link });
        }
    }
}

fn is_lasting(failure: &Failure) -> bool {
    LASTING.contains(&failure.code.as_str())
}

#[cfg(test)]
mod tests;
