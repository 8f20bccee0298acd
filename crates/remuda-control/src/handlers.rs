//! The protocols that a control node answers, and who may speak them.

use std::time::Duration;

use remuda_link::{
    CertificateFacts, Link, MAX_REPLY, Method, Peer, Router, Stream, answer_join, code,
};
use remuda_model::{Chain, ErrorKind, Failure, LinkUrl, NodeId, Role, Transport};
use remuda_runtime::wall_ms;
use remuda_state::{Certificate, Change, Scope};
use remuda_wire::message::{
    ANNOUNCE, CLIENT, CONTROL, COPY, EVENTS, JOIN, RAFT, RELAY, RELAY_UP, RUNS, SESSION, client,
    control, join,
};

use crate::{Consistency, Control, membership::Asked, removal::removed};

/// How long the rest of a call may take to arrive.
const RECEIVE: Duration = Duration::from_secs(30);
/// The longest call of first contact.
const MAX_JOIN: usize = 16 * 1024;
/// How long a certificate may take to be committed; its node waits ten seconds.
const ISSUE: Duration = Duration::from_secs(8);
/// How long a leader may take over a change for another control node.
const PROPOSAL: Duration = Duration::from_secs(10);
/// The longest deadline that is accepted from afar.
const MAX_DEADLINE: Duration = Duration::from_hours(24);

const CONTROLS: &[Role] = &[Role::Control];
const NODES: &[Role] = &[Role::Control, Role::Worker];
const READERS: &[Role] = &[Role::Control, Role::Client];
const CLIENTS: &[Role] = &[Role::Client];

impl Control {
    /// Adds the protocols of a control node to a router.
    ///
    /// # Panics
    ///
    /// When the router has one of them already.
    pub fn register(&self, router: &mut Router) {
        macro_rules! route {
            ($protocol:expr, $roles:expr, $handler:ident) => {
                let control = self.clone();
                router.route($protocol, $roles, move |link, stream| {
                    let control = control.clone();
                    async move { control.$handler(link, stream).await }
                });
            };
        }
        route!(ANNOUNCE, NODES, serve_announce);
        route!(SESSION, NODES, serve_session);
        route!(CONTROL, CONTROLS, serve_control);
        route!(RAFT, CONTROLS, serve_raft);
        route!(RELAY, CONTROLS, serve_relay);
        route!(RELAY_UP, CONTROLS, serve_relay_up);
        route!(RUNS, CONTROLS, serve_runs);
        route!(COPY, CONTROLS, serve_copy);
        route!(EVENTS, READERS, serve_events);
        route!(CLIENT, CLIENTS, serve_client);
        route!(JOIN, NODES, serve_join);
    }

    async fn serve_control(&self, link: Link, mut stream: Stream) {
        let out = self.is_out(link.peer());
        if !out {
            self.shared.peers.note(&link);
        }
        let received = tokio::time::timeout(RECEIVE, stream.read_to_end(MAX_REPLY)).await;
        let Ok(Ok(bytes)) = received else { return };
        let reply = match remuda_wire::decode::<control::Call>(&bytes) {
            Ok(_) if out => Err(removed(&link.peer().node)),
            Ok(call) if call.since() > link.peer().protocol => {
                Err(Failure::invalid("the call is of a newer version than this link"))
            }
            Ok(call) => {
                drop(bytes);
                tokio::select! {
                    reply = self.answer_control(link.peer(), call) => reply,
                    // Whoever asked has given up; dropping the work cancels it.
                    _gone = stream.stopped() => return,
                }
            }
            Err(error) => Err(Failure::invalid(format!("malformed call: {error}"))),
        };
        drop(stream.finish_with(remuda_wire::encode(&reply)).await);
    }

    async fn answer_control(&self, from: &Peer, call: control::Call) -> control::Reply {
        let replica = &self.shared.replica;
        Ok(match call {
            control::Call::Propose(bytes) => {
                let command = remuda_state::decode(&bytes)
                    .map_err(|error| Failure::invalid(format!("malformed change: {error}")))?;
                let committed = replica.propose(command, PROPOSAL).await?;
                let outcome = remuda_state::encode(&committed.applied);
                control::Done::Committed { index: committed.index, outcome }
            }
            control::Call::ReadIndex => {
                control::Done::ReadIndex(replica.read_index(PROPOSAL).await?)
            }
            control::Call::OwnedNodes => control::Done::Nodes(self.owned_views()),
            control::Call::OwnedNode { node } => {
                control::Done::Nodes(self.owned_view(&node).into_iter().collect())
            }
            control::Call::Work { node, deadline_ms, op } => {
                let deadline = Duration::from_millis(deadline_ms).min(MAX_DEADLINE);
                control::Done::Work(self.work_here(&node, &op, deadline).await?)
            }
            control::Call::Enlist(enlist) => {
                self.pass_enlist(from, *enlist).await?;
                control::Done::Accepted
            }
            control::Call::Health => control::Done::Health(Box::new(self.own_health())),
            control::Call::Renew { node } => {
                self.renew_here(&node).await?;
                control::Done::Accepted
            }
            control::Call::Leave => {
                self.ask_membership(Asked::Leave(from.node.clone())).await?;
                control::Done::Accepted
            }
        })
    }

    async fn serve_client(&self, link: Link, mut stream: Stream) {
        let received = tokio::time::timeout(RECEIVE, stream.read_to_end(MAX_REPLY)).await;
        let Ok(Ok(bytes)) = received else { return };
        let reply = match remuda_wire::decode::<client::Call>(&bytes) {
            Ok(call) => {
                drop(bytes);
                tokio::select! {
                    reply = self.answer_client(&link, call) => reply,
                    _gone = stream.stopped() => return,
                }
            }
            Err(error) => Err(Failure::invalid(format!("malformed call: {error}"))),
        };
        drop(stream.finish_with(remuda_wire::encode(&reply)).await);
    }

    async fn answer_client(&self, link: &Link, call: client::Call) -> client::Reply {
        match call {
            client::Call::Work { node, deadline_ms, op } => {
                self.client_may(link.peer(), Scope::Operate)?;
                let deadline = Duration::from_millis(deadline_ms).min(MAX_DEADLINE);
                self.work_apart(&node, op, deadline).await.map(client::Done::Work)
            }
            client::Call::Nodes => {
                self.client_may(link.peer(), Scope::Read)?;
                self.nodes(Consistency::Linearizable).await.map(client::Done::Nodes)
            }
        }
    }

    /// Gives a node its certificate: a new node, or one that renews its own.
    async fn serve_join(&self, link: Link, mut stream: Stream) {
        let received = tokio::time::timeout(RECEIVE, stream.read_to_end(MAX_JOIN)).await;
        let Ok(Ok(bytes)) = received else { return };
        let answer = match remuda_wire::decode::<join::Request>(&bytes) {
            Ok(request) => self.credentials(&link, request).await,
            Err(error) => Err(Failure::invalid(format!("malformed request: {error}"))),
        };
        match &answer {
            Ok(_) => tracing::info!(node = %link.peer().node, role = %link.peer().role, "joined"),
            Err(failure) => tracing::warn!(node = %link.peer().node, %failure, "join refused"),
        }
        if stream.finish_with(remuda_wire::encode(&answer)).await.is_err() {
            stream.reset(code::CANCELLED, "not answered");
        }
    }

    async fn credentials(&self, link: &Link, request: join::Request) -> join::Answer {
        let authority = self.shared.authority()?;
        let peer = link.peer();
        let state = self.shared.replica.state();
        let active = state.controls();
        let controls: Vec<(NodeId, Vec<LinkUrl>)> = active
            .iter()
            .filter_map(|control| state.node(control))
            .filter(|node| !node.addresses.is_empty())
            .map(|node| (node.id.clone(), node.addresses.clone()))
            .collect();
        let credentials = answer_join(&authority, peer, request, controls)?;
        let facts = CertificateFacts::read(&credentials.certificate)
            .map_err(|error| Failure::new(ErrorKind::Internal, Chain(&error).to_string()))?;
        // Whoever has a certificate renews it; the join secret must not be enough to become a node
        // that is there. The state decides, so that no control node that is behind lets one in.
        let is_known = peer.authenticated_by == Method::Certificate
            // The worker part of this very process.
            || (peer.transport == Transport::Mem && peer.node == self.shared.me);
        let joins = !is_known;
        match self.propose(issued(&peer.node, facts, joins), ISSUE).await {
            Ok(_) => Ok(credentials),
            Err(failure) if failure.code == "unknown_node" => Err(removed(&peer.node)),
            Err(failure) => Err(failure),
        }
    }
}

/// The change by which a certificate becomes known.
pub(crate) fn issued(node: &NodeId, facts: CertificateFacts, joins: bool) -> Change {
    let certificate = Certificate { serial: facts.serial, until_ms: facts.not_after_ms };
    Change::IssueCertificate { node: node.clone(), certificate, joins, now_ms: wall_ms() }
}
