//! What an owner knows of one worker, and what it does about what it hears.

use std::collections::BTreeMap;

use remuda_model::{
    Epoch, ErrorKind, Event, EventBody, Failure, Generation, Labels, LinkUrl, NodeId, NodeStats,
    NodeStatus, NodeView, Roles,
};
use remuda_state::{Change, Limit, NodeRecord};
use remuda_wire::message::{announce::Announce, session::FromWorker};

use crate::announce::{Process, in_use};

/// How many events a worker may send in one message.
const MAX_EVENTS: usize = 256;
/// How many bytes one event may have.
const MAX_EVENT: usize = 256 * 1024;

/// What a worker says about itself that the cluster keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub roles: Roles,
    pub generation: Generation,
    pub version: String,
    pub addresses: Vec<LinkUrl>,
    pub labels: Labels,
    pub attributes: BTreeMap<String, String>,
}

impl Facts {
    /// What the record says.
    pub fn of(record: &NodeRecord) -> Self {
        Self {
            roles: record.roles,
            generation: record.generation,
            version: record.version.clone(),
            addresses: record.addresses.clone(),
            labels: record.labels.clone(),
            attributes: record.attributes.clone(),
        }
    }

    /// What the worker announces; its roles are what its link has proved.
    pub fn announced(announce: Announce, roles: Roles) -> Self {
        Self {
            roles,
            generation: announce.generation,
            version: announce.version,
            addresses: announce.addresses,
            labels: announce.labels,
            attributes: announce.attributes,
        }
    }

    /// The record to propose.
    pub fn into_record(self, id: NodeId) -> NodeRecord {
        NodeRecord {
            id,
            roles: self.roles,
            generation: self.generation,
            version: self.version,
            addresses: self.addresses,
            labels: self.labels,
            attributes: self.attributes,
            active: false,
            created: remuda_model::Revision(0),
            modified: remuda_model::Revision(0),
        }
    }
}

/// The first words of a session, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    pub facts: Facts,
    /// Tells apart processes that count the same boot.
    pub boot: u64,
    pub status: NodeStatus,
    pub running_tasks: u32,
    /// The number of the first event that the worker still keeps.
    pub next_event: u64,
    /// The number of the last event that the worker has made.
    pub last_event: u64,
    /// The control node through which the session comes.
    pub via: Option<NodeId>,
}

/// Where the worker belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Here, under this epoch.
    Mine(Epoch),
    /// At another control node.
    Elsewhere { epoch: Epoch, owner: NodeId, addresses: Vec<LinkUrl> },
    /// Nowhere: the node was removed.
    Removed,
}

impl Place {
    /// Under which ownership; `None` when no ownership counts any more.
    pub fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Mine(epoch) | Self::Elsewhere { epoch, .. } => Some(*epoch),
            Self::Removed => None,
        }
    }
}

/// What happens to a proxy.
#[derive(Debug, PartialEq)]
pub enum Input {
    /// The worker asks for a session. `alive` says whether the present one, if any, still is;
    /// `recorded` is what the state says.
    Attach { hello: Box<Hello>, alive: bool, recorded: Option<Facts> },
    /// The worker says something.
    Said { message: FromWorker, recorded: Option<Facts> },
    /// The session is over.
    Lost,
    /// All job classes have seen the events up to this number.
    Seen(u64),
    /// Its place was decided again.
    Placed(Place),
    /// A proposal has ended; this is what the state says now.
    Proposed { ended: Proposal, recorded: Option<Facts> },
}

/// How a proposal has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proposal {
    Committed,
    /// It came to nothing, and would the next time.
    Refused,
    /// Nobody took it, or nobody knows.
    Failed,
}

/// What the proxy does, in order.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Refuse the session that was asked for.
    Refuse(Failure),
    /// The worker counts its events from the start: numbers that were seen before mean nothing.
    Afresh,
    /// Take the session that was asked for in place of the present one, and say this number.
    Welcome(u64),
    /// These events may be forgotten by the worker.
    Acknowledge(u64),
    /// Tell the worker where it belongs now.
    Moved { epoch: Epoch, owner: NodeId, addresses: Vec<LinkUrl> },
    /// End the session.
    End,
    /// Calls may (or may no longer) be sent to the worker, under this epoch.
    Route(Option<Epoch>),
    /// The view has changed.
    Publish,
    /// Events to show to subscribers and to job classes.
    Report(Vec<Event>),
    /// Tell subscribers that another owner had the events up to this number.
    Missed(u64),
    /// Tell subscribers the status, numbered like the last event.
    Say(u64, NodeStatus),
    /// Have the record of the worker committed.
    Propose(Box<Change>),
    /// Say that the worker announces more than the cluster keeps.
    TooMuch(Limit),
    /// Nothing is left to do.
    Finish,
}

/// The proxy of one worker.
#[derive(Debug)]
pub struct Core {
    node: NodeId,
    place: Place,
    facts: Option<Facts>,
    boot: u64,
    status: NodeStatus,
    running_tasks: u32,
    stats: Option<NodeStats>,
    via: Option<NodeId>,
    connected: bool,
    /// The last event that was reported; `None` before the first session.
    reported: Option<u64>,
    /// The last event that all job classes have seen; at most `reported`.
    seen: u64,
    /// What was proposed and is not decided yet.
    proposed: Option<Facts>,
    /// What was refused; it is not proposed again.
    refused: Option<Facts>,
    /// Whether the state was seen to have a record of the worker in this session.
    was_recorded: bool,
}

impl Core {
    pub fn new(node: NodeId, place: Place) -> Self {
        Self {
            node,
            place,
            facts: None,
            boot: 0,
            status: NodeStatus::NotConnected,
            running_tasks: 0,
            stats: None,
            via: None,
            connected: false,
            reported: None,
            seen: 0,
            proposed: None,
            refused: None,
            was_recorded: false,
        }
    }

    /// The boot of the worker that was heard last.
    pub fn generation(&self) -> Option<Generation> {
        self.facts.as_ref().map(|facts| facts.generation)
    }

    /// The process that was heard last.
    pub fn process(&self) -> Option<Process> {
        self.generation().map(|generation| Process { generation, boot: self.boot })
    }

    /// The worker as users see it, once it was heard.
    pub fn view(&self, owner: &NodeId) -> Option<NodeView> {
        let facts = self.facts.clone()?;
        Some(NodeView {
            id: self.node.clone(),
            roles: facts.roles,
            status: self.status,
            version: facts.version,
            generation: facts.generation,
            addresses: facts.addresses,
            labels: facts.labels,
            attributes: facts.attributes,
            stats: self.stats.clone(),
            owner: Some(owner.clone()),
            via: self.via.clone(),
            rtt_us: None,
            running_tasks: self.running_tasks,
        })
    }

    /// What to do about an input.
    #[must_use]
    pub fn handle(&mut self, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        match input {
            Input::Attach { hello, alive, recorded } => {
                self.attach(*hello, alive, recorded.as_ref(), &mut out);
            }
            Input::Said { message, recorded } => self.said(message, recorded.as_ref(), &mut out),
            Input::Lost => self.lost(&mut out),
            Input::Seen(number) => {
                if number > self.seen {
                    self.seen = number;
                    if self.connected {
                        out.push(Effect::Acknowledge(number));
                    }
                }
            }
            Input::Placed(place) => self.placed(place, &mut out),
            Input::Proposed { ended, recorded } => {
                let proposed = self.proposed.take();
                if ended == Proposal::Refused {
                    self.refused = proposed;
                }
                // After a failure the worker's next words are the next occasion.
                if ended != Proposal::Failed {
                    self.compare(recorded.as_ref(), &mut out);
                }
            }
        }
        debug_assert!(self.connected || self.status == NodeStatus::NotConnected);
        debug_assert!(self.reported.is_none_or(|reported| self.seen <= reported));
        out
    }

    fn attach(
        &mut self,
        hello: Hello,
        alive: bool,
        recorded: Option<&Facts>,
        out: &mut Vec<Effect>,
    ) {
        let Place::Mine(epoch) = self.place else {
            let failure =
                Failure::new(ErrorKind::Unavailable, "the node has another owner").code("moved");
            out.push(Effect::Refuse(failure));
            return;
        };
        let offered = hello.facts.generation;
        let process = Process { generation: offered, boot: hello.boot };
        let holds = |live| !process.may_replace(live);
        if alive && self.connected && self.process().is_some_and(holds) {
            out.push(Effect::Refuse(in_use(&self.node)));
            return;
        }
        let highest = self.generation().max(recorded.map(|facts| facts.generation));
        if let Some(highest) = highest.filter(|highest| *highest > offered) {
            out.push(Effect::Refuse(stale(&self.node, offered, highest)));
            return;
        }
        if self.reported.is_some_and(|reported| hello.last_event < reported) {
            // It has lost the events that it had made, and their numbers come again.
            self.reported = None;
            self.seen = 0;
            out.push(Effect::Afresh);
        }
        // What the worker has forgotten was acknowledged, be it by another owner.
        let before = hello.next_event.saturating_sub(1);
        let missed = before > self.reported.unwrap_or(0);
        self.seen = self.seen.max(before);
        self.reported = Some(self.reported.map_or(before, |reported| reported.max(before)));
        self.facts = Some(hello.facts);
        self.boot = hello.boot;
        self.was_recorded = false;
        self.refused = None;
        self.status = hello.status;
        self.running_tasks = hello.running_tasks;
        self.via = hello.via;
        self.connected = true;
        out.push(Effect::Welcome(self.seen));
        out.push(Effect::Route(Some(epoch)));
        out.push(Effect::Publish);
        if missed {
            out.push(Effect::Missed(before));
        }
        self.say(out);
        self.compare(recorded, out);
    }

    fn said(&mut self, message: FromWorker, recorded: Option<&Facts>, out: &mut Vec<Effect>) {
        match message {
            // A second greeting makes no sense; the worker is broken.
            FromWorker::Hello { .. } | FromWorker::Goodbye => out.push(Effect::End),
            FromWorker::Status(status) => {
                // Only the owner can know that a node is not connected.
                if status != NodeStatus::NotConnected {
                    self.status = status;
                    out.push(Effect::Publish);
                }
            }
            FromWorker::Labels(labels) => {
                if let Some(facts) = &mut self.facts {
                    facts.labels = labels;
                    out.push(Effect::Publish);
                }
                self.compare(recorded, out);
            }
            FromWorker::Stats { mut stats, running_tasks } => {
                // What is no number has no form in JSON, and would break every list of nodes.
                for load in stats.load.iter_mut().filter(|load| !load.is_finite()) {
                    *load = 0.0;
                }
                self.stats = Some(stats);
                self.running_tasks = running_tasks;
                out.push(Effect::Publish);
                self.compare(recorded, out);
            }
            FromWorker::Events(events) => self.events(events, out),
        }
    }

    fn events(&mut self, events: Vec<Event>, out: &mut Vec<Effect>) {
        if events.len() > MAX_EVENTS {
            out.push(Effect::End);
            return;
        }
        let mut fresh = Vec::with_capacity(events.len());
        for event in events {
            // A worker speaks for itself only.
            let to = if let EventBody::Gap { to, .. } = event.body { to } else { event.seq };
            let number = event.seq.max(to);
            let new = self.reported.is_none_or(|reported| number > reported);
            if event.node == self.node && new {
                self.reported = Some(number);
                fresh.push(bounded(event));
            }
        }
        if fresh.is_empty() {
            out.push(Effect::Acknowledge(self.seen));
        } else {
            out.push(Effect::Report(fresh));
        }
    }

    fn lost(&mut self, out: &mut Vec<Effect>) {
        if !self.connected {
            return;
        }
        self.connected = false;
        self.status = NodeStatus::NotConnected;
        self.stats = None;
        self.via = None;
        out.push(Effect::Route(None));
        out.push(Effect::Publish);
        if matches!(self.place, Place::Mine(_)) {
            self.say(out);
        } else {
            out.push(Effect::Finish);
        }
    }

    fn placed(&mut self, place: Place, out: &mut Vec<Effect>) {
        if self.place == place {
            return;
        }
        self.place = place.clone();
        match place {
            Place::Mine(epoch) => {
                if self.connected {
                    out.push(Effect::Route(Some(epoch)));
                }
            }
            Place::Elsewhere { epoch, owner, addresses } => {
                if self.connected {
                    // The route stays until the worker has gone, so that no call fails meanwhile.
                    out.push(Effect::Moved { epoch, owner, addresses });
                } else {
                    out.push(Effect::Finish);
                }
            }
            Place::Removed => {
                if self.connected {
                    out.push(Effect::End);
                } else {
                    out.push(Effect::Finish);
                }
            }
        }
    }

    fn say(&self, out: &mut Vec<Effect>) {
        out.push(Effect::Say(self.reported.unwrap_or(0), self.status));
    }

    /// Proposes what the worker says when the state says something else; one proposal at a time.
    /// A record that was there and is gone was removed: the worker must not bring it back.
    fn compare(&mut self, recorded: Option<&Facts>, out: &mut Vec<Effect>) {
        if recorded.is_none() && self.was_recorded {
            return;
        }
        self.was_recorded = recorded.is_some();
        let mine = matches!(self.place, Place::Mine(_));
        if let Some(facts) = &self.facts
            && mine
            && self.connected
            && self.proposed.is_none()
            && recorded != Some(facts)
            && self.refused.as_ref() != Some(facts)
        {
            let change = Change::PutNode(facts.clone().into_record(self.node.clone()));
            if let Err(limit) = change.fits() {
                self.refused = Some(facts.clone());
                out.push(Effect::TooMuch(limit));
                return;
            }
            self.proposed = Some(facts.clone());
            out.push(Effect::Propose(Box::new(change)));
        }
    }
}

/// The event, or a gap in place of one that is larger than events may be.
fn bounded(event: Event) -> Event {
    if remuda_wire::encode(&event).len() <= MAX_EVENT {
        return event;
    }
    Event { body: EventBody::Gap { from: event.seq, to: event.seq }, ..event }
}

fn stale(node: &NodeId, offered: Generation, known: Generation) -> Failure {
    remuda_state::Refusal::StaleGeneration { node: node.clone(), offered, known }.into()
}

#[cfg(test)]
mod tests;
