//! Work for a worker, from any control node: requests, tasks, commands, labels, status.

use std::time::Duration;

use remuda_model::{ClassName, ErrorKind, Failure, Labels, NodeId, NodeStatus};
use remuda_wire::message::{control, work};
use serde_json::json;
use tokio::time::Instant;

use crate::{Control, proxies::not_connected};

/// How long a call waits, after control nodes have changed, for a worker that is moving.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a call waits for a session that is being replaced or lost.
const SETTLING: Duration = Duration::from_secs(1);
/// The pause between attempts to find a moving worker.
const AGAIN: Duration = Duration::from_millis(100);
/// How long the class `node` may take over the small requests of this crate.
const SMALL: Duration = Duration::from_secs(10);
/// How much longer than its deadline the answer of an owner is awaited, so that the owner can say
/// what happened.
const MARGIN: Duration = Duration::from_millis(250);

impl Control {
    /// Does something on a node. It is sent at most once.
    ///
    /// # Errors
    ///
    /// - [`NotFound`](ErrorKind::NotFound): no such node;
    /// - [`NotConnected`](ErrorKind::NotConnected), [`Unavailable`](ErrorKind::Unavailable): nothing
    ///   was sent;
    /// - [`OutcomeUnknown`](ErrorKind::OutcomeUnknown), [`TimedOut`](ErrorKind::TimedOut): it was
    ///   sent, and may have been done;
    /// - what the worker or the job class answers.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call on the worker, if it has come that far.
    pub async fn work(
        &self,
        node: &NodeId,
        op: work::Op,
        deadline: Duration,
    ) -> Result<work::Done, Failure> {
        match self.work_apart(node, op, deadline).await? {
            work::Done::Refused(failure) => Err(failure),
            done => Ok(done),
        }
    }

    /// As [`work`](Self::work), with what the job class says apart from failures of the call: a
    /// class may say "not connected" about something of its own, and must not be asked again.
    pub(crate) async fn work_apart(
        &self,
        node: &NodeId,
        op: work::Op,
        deadline: Duration,
    ) -> work::Reply {
        let call = self.shared.stats.requests.begin(&op);
        let reply = self.work_anywhere(node, op, deadline).await;
        call.ended(&reply);
        reply
    }

    async fn work_anywhere(&self, node: &NodeId, op: work::Op, deadline: Duration) -> work::Reply {
        if let Some(route) = self.shared.proxies.get(node).and_then(|proxy| proxy.route()) {
            let reply = route.call(&self.shared.peers, node, &op, deadline).await;
            // The worker has another owner by now, or another way: nothing was done.
            match reply {
                Err(failure) if was_not_sent(&failure) => (),
                reply => return reply,
            }
        }
        self.work_elsewhere(node, op, deadline).await
    }

    /// Does something on a worker that has its session here, for another control node.
    pub(crate) async fn work_here(
        &self,
        node: &NodeId,
        op: &work::Op,
        deadline: Duration,
    ) -> work::Reply {
        let start = Instant::now();
        loop {
            let proxy = self.shared.proxies.get(node).ok_or_else(|| not_connected(node))?;
            let route = proxy.route().ok_or_else(|| not_connected(node))?;
            let left = (start + deadline).saturating_duration_since(Instant::now());
            match route.call(&self.shared.peers, node, op, left).await {
                // The session is about to be replaced, or to be lost.
                Err(failure) if failure.kind == ErrorKind::NotConnected => {
                    if !proxy.has_replaced(&route, start + deadline.min(SETTLING)).await {
                        return Err(failure);
                    }
                }
                reply => return reply,
            }
        }
    }

    async fn work_elsewhere(&self, node: &NodeId, op: work::Op, deadline: Duration) -> work::Reply {
        let end = Instant::now() + deadline;
        self.check_known(node, deadline).await?;
        let op = &op;
        let attempt = |owner: NodeId| async move {
            let left = end.saturating_duration_since(Instant::now());
            self.work_at(&owner, node, op, left).await
        };
        self.at_owner(node, end, attempt).await
    }

    /// Tries something at the owner of a worker, and while the worker moves at its former owners,
    /// again until it is found or [`PATIENCE`] is over.
    pub(crate) async fn at_owner<T, F>(
        &self,
        node: &NodeId,
        end: Instant,
        attempt: impl Fn(NodeId) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let patience = end.min(Instant::now() + PATIENCE);
        loop {
            let state = self.shared.replica.state();
            let Some(owner) = state.owner_of(node) else {
                return Err(Failure::new(ErrorKind::Unavailable, "no control node is active")
                    .code("no_owner"));
            };
            let former = self.shared.history.moved_from(node, &state);
            let mut result = attempt(owner).await;
            for before in former.iter().flatten() {
                if !result.as_ref().is_err_and(was_not_sent) {
                    break;
                }
                // The worker may not have moved yet; its former owner still commands it.
                match attempt(before.clone()).await {
                    Err(failure) if was_not_sent(&failure) => (),
                    answered => result = answered,
                }
            }
            match result {
                Err(failure)
                    if (moves(&failure) || was_not_sent(&failure) && former.is_some())
                        && Instant::now() + AGAIN < patience =>
                {
                    tokio::time::sleep(AGAIN).await;
                }
                result => return result,
            }
        }
    }

    async fn work_at(
        &self,
        owner: &NodeId,
        node: &NodeId,
        op: &work::Op,
        left: Duration,
    ) -> work::Reply {
        if *owner == self.shared.me {
            return self.work_here(node, op, left).await;
        }
        let deadline_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let call = control::Call::Work { node: node.clone(), deadline_ms, op: op.clone() };
        match self.call_control(owner, &call, left.saturating_add(MARGIN)).await? {
            control::Done::Work(done) => Ok(done),
            _ => Err(unexpected(owner)),
        }
    }

    /// Refuses nodes that the cluster does not know. This node may be behind, so it asks the leader
    /// before it says no.
    pub(crate) async fn check_known(
        &self,
        node: &NodeId,
        deadline: Duration,
    ) -> Result<(), Failure> {
        if self.shared.replica.state().node(node).is_some() {
            return Ok(());
        }
        self.catch_up(deadline.min(crate::proposals::READ)).await?;
        match self.shared.replica.state().node(node) {
            Some(_) => Ok(()),
            None => Err(unknown_node(node)),
        }
    }

    /// Asks a node to turn ready, standby or stopped; the last by way of stopping while tasks run.
    ///
    /// # Errors
    ///
    /// As [`work`](Self::work), and what the node says to the status.
    pub async fn set_status(&self, node: &NodeId, status: NodeStatus) -> Result<(), Failure> {
        self.ask_node(node, &json!({ "set_status": status.as_str() })).await.map(drop)
    }

    /// Takes the labels of the names in `remove` away from a node, then replaces or adds those in
    /// `update`. Returns all its labels.
    ///
    /// # Errors
    ///
    /// As [`work`](Self::work). When the second half fails, the first one has been done.
    pub async fn set_labels(
        &self,
        node: &NodeId,
        update: &Labels,
        remove: &[String],
    ) -> Result<Labels, Failure> {
        let mut labels = None;
        if !remove.is_empty() {
            labels = Some(self.ask_node(node, &json!({ "remove_labels": remove })).await?);
        }
        if !update.is_empty() {
            let request = json!({ "update_labels": update.to_string() });
            labels = Some(self.ask_node(node, &request).await?);
        }
        let reply = match labels {
            Some(reply) => reply,
            None => self.ask_node(node, &json!("labels")).await?,
        };
        read_labels(&reply).ok_or_else(|| {
            let message = format!("node `{node}` did not answer with its labels");
            Failure::new(ErrorKind::Internal, message)
        })
    }

    /// A request to the class `node`.
    async fn ask_node(
        &self,
        node: &NodeId,
        request: &serde_json::Value,
    ) -> Result<Vec<u8>, Failure> {
        let class: ClassName = "node".parse().expect("a valid class name");
        let op = work::Op::Request { class, payload: request.to_string().into_bytes() };
        match self.work(node, op, SMALL).await? {
            work::Done::Payload(reply) => Ok(reply),
            _ => Err(unexpected(node)),
        }
    }
}

/// Labels as their text, or as an object that has the text under `labels`.
fn read_labels(reply: &[u8]) -> Option<Labels> {
    let value: serde_json::Value = serde_json::from_slice(reply).ok()?;
    let text = value.as_str().or_else(|| value.get("labels")?.as_str())?;
    text.parse().ok()
}

/// Whether the worker obeys another owner by now, which this node may not have heard of yet.
fn moves(failure: &Failure) -> bool {
    failure.kind == ErrorKind::Conflict && failure.code == "stale_epoch"
}

/// Whether the call itself failed before anything was sent. Never of the words of a job class.
fn was_not_sent(failure: &Failure) -> bool {
    failure.kind == ErrorKind::NotConnected
        || failure.code == "control_unreachable"
        || moves(failure)
}

pub(crate) fn unknown_node(node: &NodeId) -> Failure {
    Failure::not_found(format!("no node `{node}`"))
        .code("unknown_node")
        .hint("`remuda node list` shows the nodes of the cluster")
}

pub(crate) fn unexpected(node: &NodeId) -> Failure {
    let message = format!("`{node}` gave another answer than was asked for");
    Failure::new(ErrorKind::Internal, message)
}
