//! Which workers take part in a run, and which targets they get.

use remuda_model::{
    ErrorKind, Failure, NodeId, NodeView,
    run::{Outcome, Record, RunState, Trouble, TroubleKind},
};
use remuda_runtime::{blocking, wall_ms};
use remuda_wire::message::run::{Given, Open, Share, ToWorker};
use tokio::sync::mpsc;

use super::Actor;
use crate::runs::{
    share::{self, Teller},
    sites,
};

/// Orders on their way to a worker.
const ORDERS: usize = 64;
/// The most targets of one message, and the bytes after which it is sent.
const TARGETS: usize = 1024;
const TARGET_BYTES: usize = 256 << 10;
/// One worker for so many targets, at most so many altogether.
const TARGETS_PER_WORKER: u32 = 64;
const MAX_WORKERS: u32 = 256;

/// Targets that are noted as given to a worker.
pub(super) struct Noted {
    pub(super) node: NodeId,
    pub(super) indices: Vec<u32>,
    /// They may be sent when so many bytes of notes count.
    pub(super) needs: u64,
}

impl Actor {
    /// Has more workers take part, as long as there is enough to do, and no more those that are not
    /// ready any more.
    pub(super) fn recruit(&mut self) {
        let ready = self.ready.borrow_and_update().clone();
        for (node, part) in self.parts.all() {
            part.retired = !ready.iter().any(|view| view.id == *node);
        }
        let spec = &self.saved.spec;
        let sites = u32::try_from(self.saved.sites.len()).unwrap_or(1).max(1);
        let enough = (self.hand_out.left() / sites).div_ceil(TARGETS_PER_WORKER).min(MAX_WORKERS);
        let enough = enough.min(spec.limits.concurrency.unwrap_or(u32::MAX)).max(1);
        let mut asked = Vec::new();
        for (site, name) in (0_u32..).zip(&self.saved.sites) {
            let missing = (enough as usize).saturating_sub(self.parts.count(site));
            if missing == 0 {
                continue;
            }
            let mut able: Vec<&NodeView> = ready
                .iter()
                .filter(|view| sites::meets(spec, view) && sites::is_at(spec, view, name))
                .filter(|view| self.parts.may_ask(&view.id))
                .collect();
            fastrand::shuffle(&mut able);
            asked.extend(able.into_iter().take(missing).map(|view| (view.id.clone(), site)));
        }
        self.line_up(!asked.is_empty());
        if self.turn.is_under_way() {
            for (node, site) in asked {
                self.ask(&node, site);
            }
        }
        self.divide();
    }

    /// Takes its turn when it could go on, and does not keep others waiting when it could not.
    fn line_up(&mut self, there_are_workers: bool) {
        let could_go_on = there_are_workers || !self.parts.is_empty();
        if could_go_on && self.saved.state != RunState::Paused {
            self.turn.take();
        } else {
            self.turn.leave();
        }
    }

    /// Whether workers are to begin with nothing more.
    fn is_held(&self) -> bool {
        self.saved.state == RunState::Paused || !self.turn.is_under_way()
    }

    /// The ready workers that the run may have, each with why it failed the last time, if it did.
    pub(super) fn lapses(&self) -> Vec<(NodeId, Option<Failure>)> {
        let ready = self.ready.borrow();
        let able = ready.iter().filter(|view| sites::meets(&self.saved.spec, view));
        able.map(|view| (view.id.clone(), self.parts.why(&view.id).cloned())).collect()
    }

    /// What one of the workers says, when all of them refuse the run as it is: nothing but another run
    /// would help. Not once anybody has taken part, who may be back soon.
    pub(super) fn refusal(&self) -> Option<String> {
        if self.saved.started_ms.is_some() {
            return None;
        }
        let mut said = None;
        for (node, why) in self.lapses() {
            let why = why.filter(|why| why.kind == ErrorKind::Invalid)?;
            let hint = why.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            said = Some(format!("node `{node}` refuses the run: {}{hint}", why.message));
        }
        said
    }

    pub(super) fn ask(&mut self, node: &NodeId, site: u32) {
        let number = self.parts.next_number();
        let (to, orders) = mpsc::channel(ORDERS);
        let hold = self.is_held();
        self.parts.add(node, (site, number, hold), to);
        self.hand_out.join(node.clone(), site);
        let open = Open {
            epoch: self.control.shared.replica.state().epoch(),
            run: self.saved.id.clone(),
            spec: self.spec.clone(),
            secrets: self.secrets.clone(),
            // Until the width is divided anew, which follows at once.
            share: Share { concurrency: 0, rate_milli: None },
            hold,
        };
        let teller = Teller { node: node.clone(), number, to: self.heard.clone() };
        let kept = share::keep(self.control.clone(), open, orders, teller);
        self.control.shared.supervisor.spawn("share of a run", kept);
    }

    /// Says to workers whether to begin with more. One whose queue is full hears it at the next
    /// look.
    pub(super) fn tell_hold(&mut self) {
        let hold = self.is_held();
        for (_, part) in self.parts.all() {
            if part.hold != hold && part.to.try_send(ToWorker::Hold(hold)).is_ok() {
                part.hold = hold;
            }
        }
    }

    pub(super) fn divide(&mut self) {
        for (part, share) in self.parts.divide(&self.saved.spec.limits) {
            if part.share != Some(share) && part.to.try_send(ToWorker::Share(share)).is_ok() {
                part.share = Some(share);
            }
        }
    }

    /// Gives a worker what it takes.
    pub(super) async fn give(&mut self, node: &NodeId) {
        if self.is_held() || self.full.is_some() || self.saved.given_up.is_some() {
            return;
        }
        let Some(part) = self.parts.get(node) else { return };
        if part.retired {
            return;
        }
        let indices = self.hand_out.give(node);
        if indices.is_empty() {
            return;
        }
        if self.saved.spec.at_most_once {
            let (dir, noted) = (self.dir.clone(), indices.clone());
            match blocking(move || dir.note_given(&noted)).await {
                Ok(Ok(length)) => {
                    self.second.has(|here| here.given = length);
                    self.noted.push_back(Noted { node: node.clone(), indices, needs: length });
                    self.send_noted();
                }
                failed => {
                    if let Ok(Err(error)) = failed {
                        self.disk_is_full(error.to_string());
                    }
                    self.give_back(node, &indices);
                }
            }
            return;
        }
        self.send(node, &indices);
    }

    /// Sends what is noted in both copies.
    pub(super) fn send_noted(&mut self) {
        while let Some(noted) = self.noted.pop_front_if(|noted| noted.needs <= self.second.given())
        {
            self.send(&noted.node, &noted.indices);
        }
    }

    pub(super) fn send(&mut self, node: &NodeId, indices: &[u32]) {
        let Some(part) = self.parts.get(node) else { return };
        let to = part.to.clone();
        if self.saved.started_ms.is_none() {
            self.saved.started_ms = Some(wall_ms());
        }
        let mut rest = indices;
        while !rest.is_empty() {
            let (given, count) = self.message(rest);
            if to.try_send(ToWorker::Targets(given)).is_err() {
                // It is slow to take orders, or lost; nothing of these was sent.
                self.give_back(node, rest);
                return;
            }
            rest = &rest[count..];
        }
    }

    /// What a worker did not get is given again, to it or to others.
    pub(super) fn give_back(&mut self, node: &NodeId, indices: &[u32]) {
        self.hand_out.take_back(node, indices);
        self.hand_out.want(node, u32::try_from(indices.len()).unwrap_or(u32::MAX));
    }

    /// As many targets as go into one message.
    pub(super) fn message(&self, indices: &[u32]) -> (Vec<Given>, usize) {
        let sites = u32::try_from(self.saved.sites.len()).unwrap_or(1).max(1);
        let (mut given, mut bytes) = (Vec::new(), 0);
        for index in indices.iter().take(TARGETS) {
            let Some(target) = self.targets.get((index / sites) as usize) else { break };
            let mut vars: Vec<(String, String)> = target
                .vars
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect();
            if let Some(site) = self
                .saved
                .spec
                .from_each
                .as_ref()
                .and(self.saved.sites.get((index % sites) as usize))
            {
                vars.push(("site".to_owned(), site.clone()));
            }
            let own: usize = vars.iter().map(|(name, value)| name.len() + value.len()).sum();
            bytes += target.host.len() + own + 8;
            given.push(Given { index: *index, host: target.host.to_string(), vars });
            if bytes >= TARGET_BYTES {
                break;
            }
        }
        let count = given.len();
        (given, count)
    }

    /// What a worker still has goes to others, or is given up; `why`, if it failed.
    pub(super) fn part_with(&mut self, node: &NodeId, why: Option<Failure>) {
        self.parts.remove(node, why);
        // What it did not get, it cannot have contacted.
        for noted in self.noted.iter().filter(|noted| noted.node == *node) {
            self.hand_out.take_back(node, &noted.indices);
        }
        self.noted.retain(|noted| noted.node != *node);
        let left = self.hand_out.lose(node);
        for index in left.unknown {
            let text = format!("node `{node}` was lost while it had this target");
            let trouble = Trouble::new(TroubleKind::WorkerLost, text);
            let mut record = Record::without_answer(index, Outcome::Unknown, trouble);
            record.worker = Some(node.clone());
            self.keep(record);
        }
        self.divide();
    }
}
