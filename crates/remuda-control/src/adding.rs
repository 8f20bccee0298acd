//! Nodes that the cluster dials because somebody says where they listen: members, and new nodes that
//! wait for it.

use std::time::Duration;

use remuda_link::{CloseReason, DialCause, DialError, Endpoint, JOINED, Link, Router};
use remuda_model::{Chain, ErrorKind, Failure, LinkUrl, NodeId, NodeStatus, Role};
use tokio::time::{Instant, sleep};

use crate::{Control, nodes::Consistency};

/// How long a node that was dialled may take to announce itself.
const ADDED: Duration = Duration::from_secs(10);
/// How long a new node may take for that, from its first word on: it joins and starts first, and
/// finds out that it cannot dial its owner.
const INVITED: Duration = Duration::from_mins(1);
/// How often it is looked whether it has come back or announced itself.
const LOOK: Duration = Duration::from_millis(100);

impl Control {
    /// Dials a node that listens and waits until it has announced itself. A new node that waits to
    /// be added joins first, over the link that this node has dialled. Returns its name.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) when it cannot be reached;
    /// [`Conflict`](ErrorKind::Conflict) when it waits for another cluster or with a token that does
    /// not hold, [`Exists`](ErrorKind::Exists) when its name is taken, [`Failed`](ErrorKind::Failed)
    /// when it did not join for another reason; [`TimedOut`](ErrorKind::TimedOut) when it does not
    /// announce itself within 10 s, a new one within a minute.
    ///
    /// # Cancel safety
    ///
    /// A new node whose invitation was accepted may join all the same.
    pub async fn add_node(&self, url: &LinkUrl) -> Result<NodeId, Failure> {
        let (endpoint, router) = self.shared.dialling()?;
        let mut link = endpoint.invite(url).await.map_err(|error| not_reached(url, &error))?;
        let mut end = Instant::now() + ADDED;
        if link.peer().may_only_join() {
            end = Instant::now() + INVITED;
            link = self.take_in(url, link, (&endpoint, &router), end).await?;
        }
        let peer = link.peer();
        if peer.role == Role::Client || peer.node == self.shared.me {
            link.close("not a node to add");
            return Err(Failure::invalid(format!("`{url}` is no other node")));
        }
        let node = peer.node.clone();
        self.serve(&link, &router);
        self.offer(link);
        while Instant::now() < end {
            if let Ok(view) = self.node(&node, Consistency::Stale).await
                && view.status != NodeStatus::NotConnected
            {
                return Ok(node);
            }
            sleep(LOOK).await;
        }
        let message = format!("node `{node}` was reached and did not announce itself");
        Err(Failure::new(ErrorKind::TimedOut, message)
            .hint("its own log says why; it may belong to another owner by now"))
    }

    /// Lets a new node ask for its certificate, and dials it again when it has it.
    async fn take_in(
        &self,
        url: &LinkUrl,
        link: Link,
        (endpoint, router): (&Endpoint, &Router),
        end: Instant,
    ) -> Result<Link, Failure> {
        let node = link.peer().node.clone();
        self.serve(&link, router);
        // The endpoint ends it when it takes too long.
        match link.closed().await {
            CloseReason::Peer(reason) if reason == JOINED => (),
            CloseReason::Peer(reason) => return Err(not_joined(&node, &reason)),
            reason => return Err(not_joined(&node, &reason.to_string())),
        }
        loop {
            let reason = match endpoint.dial(url).await {
                Ok(link) if link.peer().node == node => return Ok(link),
                Ok(link) => {
                    link.close("not the node that has joined");
                    format!("node `{}` answers there", link.peer().node)
                }
                Err(error) => Chain(&error).to_string(),
            };
            if Instant::now() >= end {
                let message = format!("node `{node}` has joined and did not come back: {reason}");
                return Err(Failure::new(ErrorKind::TimedOut, message).hint(
                    "its own log says why; it is dialled again once it has announced itself",
                ));
            }
            sleep(LOOK).await;
        }
    }
}

fn not_reached(url: &LinkUrl, error: &DialError) -> Failure {
    let message = format!("cannot reach `{url}`: {}", Chain(error));
    let failure = |kind| Failure::new(kind, message.as_str()).code(error.code());
    let failure = match &error.cause {
        // Whoever asks to add the node has shown credentials that hold.
        DialCause::WaitsFor { .. } | DialCause::NotBelieved(_) => failure(ErrorKind::Conflict),
        DialCause::NotAdmitted(refusal) => failure(match refusal.kind() {
            ErrorKind::Unauthenticated | ErrorKind::Forbidden => ErrorKind::Conflict,
            kind => kind,
        }),
        _ => {
            return failure(ErrorKind::Unavailable).code("unreachable").hint(
                "check that an agent of this cluster listens there; a new one must wait to be \
                 added: `remuda agent --await`",
            );
        }
    };
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn not_joined(node: &NodeId, reason: &str) -> Failure {
    Failure::failed(format!("node `{node}` did not join: {reason}"))
        .hint("it waits on; its own log says more")
}
