//! Workers that announce themselves and open their sessions.

use std::time::Duration;

use remuda_link::{Link, Stream, code};
use remuda_model::{Epoch, Failure, NodeId, Role, Roles};
use remuda_state::Refusal;
use remuda_wire::message::{
    announce::{Announce, Answer},
    session::FromWorker,
};

use crate::{
    Control,
    announce::{Situation, place},
    ownership,
    proxies::{Facts, Hello, Path, Place, Session},
    removal::removed,
};

/// How long the first message of a worker may take.
const RECEIVE: Duration = Duration::from_secs(10);
/// The longest announcement: labels and attributes have 64 KiB each.
const MAX_ANNOUNCE: usize = 512 * 1024;
/// How long to wait for a state in which the worker was placed already.
const BEHIND: Duration = Duration::from_secs(2);

impl Control {
    /// Answers one announcement.
    pub(crate) async fn serve_announce(&self, link: Link, mut stream: Stream) {
        let received = tokio::time::timeout(RECEIVE, stream.read_to_end(MAX_ANNOUNCE)).await;
        let Ok(Ok(bytes)) = received else { return };
        let answer: Answer = match remuda_wire::decode::<Announce>(&bytes) {
            Ok(announce) => self.placement(&link, &announce).await,
            Err(error) => Err(Failure::invalid(format!("malformed announcement: {error}"))),
        };
        if let Err(failure) = &answer {
            tracing::info!(peer = %link.peer().node, reason = %failure, "announcement refused");
        }
        drop(stream.finish_with(remuda_wire::encode(&answer)).await);
    }

    async fn placement(&self, link: &Link, announce: &Announce) -> Answer {
        self.reach_epoch(announce.epoch).await;
        let peer = &link.peer().node;
        self.check_boot(announce, link.peer().role)?;
        let state = self.shared.replica.state();
        let owner = state.owner_of(peer);
        let addresses = owner.as_ref().and_then(|owner| state.node(owner));
        let linked = owner.as_ref().is_some_and(|owner| self.shared.peers.link_to(owner).is_some());
        let situation = Situation {
            me: &self.shared.me,
            peer,
            epoch: state.epoch(),
            addresses: addresses.map(|node| node.addresses.clone()).unwrap_or_default(),
            owner,
            linked,
            live: self.shared.proxies.get(peer).and_then(|proxy| proxy.live()),
        };
        place(announce, situation)
    }

    /// Refuses boots that the cluster knows to be over, and whoever has proved other roles than
    /// the node of that name has.
    fn check_boot(&self, announce: &Announce, proved: Role) -> Result<(), Failure> {
        let (node, offered) = (&announce.node, announce.generation);
        let state = self.shared.replica.state();
        if state.is_removed(node) {
            return Err(removed(node));
        }
        match state.node(node) {
            Some(record) if record.roles.link_role() != proved => {
                Err(Refusal::OtherRoles(node.clone()).into())
            }
            Some(record) if record.generation > offered => {
                let (node, known) = (node.clone(), record.generation);
                Err(Refusal::StaleGeneration { node, offered, known }.into())
            }
            _ => Ok(()),
        }
    }

    /// Waits a little when the worker has seen a newer ownership than this node.
    async fn reach_epoch(&self, epoch: Epoch) {
        let mut states = self.shared.replica.watch_state();
        let reached = states.wait_for(|state| state.epoch() >= epoch);
        drop(tokio::time::timeout(BEHIND, reached).await);
    }

    /// Takes a session that a worker has opened on its link: for the proxy here, or to pass it on
    /// to the owner.
    pub(crate) async fn serve_session(&self, link: Link, stream: Stream) {
        let node = link.peer().node.clone();
        let owner = self.shared.replica.state().owner_of(&node);
        match owner {
            Some(owner) if owner != self.shared.me => self.relay_up(&owner, link, stream).await,
            _ => {
                let roles = match link.peer().role {
                    Role::Control => Roles::CONTROL,
                    _ => Roles::WORKER,
                };
                self.open_session(node, roles, Path::Direct(link), stream).await;
            }
        }
    }

    /// Reads the greeting and gives the session to the proxy.
    pub(crate) async fn open_session(
        &self,
        node: NodeId,
        roles: Roles,
        path: Path,
        mut stream: Stream,
    ) {
        let received = tokio::time::timeout(RECEIVE, stream.recv(MAX_ANNOUNCE)).await;
        let Ok(Ok(Some(FromWorker::Hello {
            announce,
            epoch,
            status,
            running_tasks,
            next_event,
            last_event,
        }))) = received
        else {
            stream.reset(code::CANCELLED, "a session starts with a greeting");
            return;
        };
        if announce.node != node {
            stream.reset(code::FORBIDDEN, "the greeting names another node");
            return;
        }
        self.reach_epoch(epoch).await;
        if let Err(failure) = self.check_boot(&announce, roles.link_role()) {
            stream.reset(code::REFUSED, &failure.message);
            return;
        }
        let state = self.shared.replica.state();
        let Some(place @ Place::Mine(_)) = ownership::place(&state, &self.shared.me, &node) else {
            stream.reset(code::REFUSED, "the node has another owner");
            return;
        };
        let via = match &path {
            Path::Direct(_) => None,
            Path::Via(control) => Some(control.clone()),
        };
        let boot = announce.boot;
        let facts = Facts::announced(*announce, roles);
        let hello = Hello { facts, boot, status, running_tasks, next_event, last_event, via };
        self.attach(&node, Session { hello, path, stream }, place).await;
    }
}
