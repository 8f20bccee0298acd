//! The calls of the API, one method each.

use std::time::Duration;

use hyper::{Method, StatusCode};
use remuda_model::{
    ClassName, Failure, Labels, LinkUrl, NodeId, NodeStatus, NodeView, Role, Selector, TaskId,
    TaskRecord, TokenId,
};
use serde_json::Value;

use super::{
    Client, EventStream, OutputStream,
    body::Lines,
    dto::{
        AddNode, AddedNode, Authority, ClassReply, ClassRequest, Cluster, CommandRequest,
        Consistency, CreateToken, CreatedToken, EventQuery, ExecRequest, JoinToken, LabelChange,
        LabelText, Nodes, RotateAuthority, Scope, SetStatus, StartTask, StopTask, TaskList,
        TaskQuery, Token, Tokens, Version,
    },
    transport::{Call, encoded},
};

/// How long a request to a class, or a command to a task, may take unless it says so.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// What a new node may take to join and to come back.
const ADDING: Duration = Duration::from_mins(1);

fn text(value: Option<&impl ToString>) -> Option<String> {
    value.map(ToString::to_string)
}

fn flag(value: bool) -> Option<String> {
    value.then(|| "true".to_owned())
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The API itself.
impl Client {
    /// The version of the control node.
    pub async fn version(&self) -> Result<Version, Failure> {
        self.transport.json(Call::new(Method::GET, "/version")).await
    }

    /// Whether the control node can serve reads and changes.
    pub async fn is_ready(&self) -> Result<bool, Failure> {
        let (status, _body) = self.transport.raw(Call::new(Method::GET, "/readyz")).await?;
        Ok(status == StatusCode::OK)
    }

    /// The description of the API, for generators of clients.
    pub async fn openapi(&self) -> Result<Value, Failure> {
        self.transport.json(Call::new(Method::GET, "/openapi.json")).await
    }

    fn read(&self, path: impl Into<String>) -> Call {
        let stale = self.consistency == Consistency::Stale;
        Call::new(Method::GET, path).query(&[("consistency", stale.then(|| "stale".to_owned()))])
    }
}

/// Nodes.
impl Client {
    /// All nodes, sorted by name.
    pub async fn nodes(&self) -> Result<Vec<NodeView>, Failure> {
        Ok(self.transport.json::<Nodes>(self.read("/v1/nodes")).await?.nodes)
    }

    /// The nodes that meet a condition on labels and facts at the moment, sorted by name; those
    /// without a link too. None is no failure.
    pub async fn nodes_on(&self, on: &Selector) -> Result<Vec<NodeView>, Failure> {
        let stale = self.consistency == Consistency::Stale;
        let call = Call::new(Method::GET, "/v1/nodes").query(&[
            ("consistency", stale.then(|| "stale".to_owned())),
            ("on", Some(encoded(&on.to_string()))),
        ]);
        Ok(self.transport.json::<Nodes>(call).await?.nodes)
    }

    /// One node.
    pub async fn node(&self, node: &NodeId) -> Result<NodeView, Failure> {
        self.transport.json(self.read(format!("/v1/nodes/{node}"))).await
    }

    /// Lets the cluster dial a node that listens; a new one that waits to be added joins. Tells its
    /// name.
    pub async fn add_node(&self, url: &LinkUrl) -> Result<NodeId, Failure> {
        let mut call = Call::new(Method::POST, "/v1/nodes").body(&AddNode { url: url.clone() })?;
        call.patience = ADDING;
        Ok(self.transport.json::<AddedNode>(call).await?.node)
    }

    /// Removes a node from the cluster; with `force` even while it is connected.
    pub async fn remove_node(&self, node: &NodeId, force: bool) -> Result<(), Failure> {
        let call =
            Call::new(Method::DELETE, format!("/v1/nodes/{node}")).query(&[("force", flag(force))]);
        self.transport.nothing(call).await
    }

    /// Asks a node to become ready, standby or stopped.
    pub async fn set_status(&self, node: &NodeId, status: NodeStatus) -> Result<(), Failure> {
        let call = Call::new(Method::PUT, format!("/v1/nodes/{node}/status"))
            .body(&SetStatus { status })?;
        self.transport.nothing(call).await
    }

    /// Removes and then sets labels of a node; tells all of them.
    pub async fn set_labels(
        &self,
        node: &NodeId,
        update: &Labels,
        remove: &[String],
    ) -> Result<Labels, Failure> {
        let change = LabelChange { update: update.clone(), remove: remove.to_vec() };
        let call = Call::new(Method::PATCH, format!("/v1/nodes/{node}/labels")).body(&change)?;
        Ok(self.transport.json::<LabelText>(call).await?.labels)
    }

    /// Asks a job class on a node, waiting up to `timeout` (30 s unless given) for its reply.
    pub async fn request(
        &self,
        node: &NodeId,
        class: &ClassName,
        payload: Value,
        timeout: Option<Duration>,
    ) -> Result<Value, Failure> {
        let timeout_ms = timeout.map(millis);
        let request = ClassRequest { class: class.clone(), payload, timeout_ms };
        let mut call =
            Call::new(Method::POST, format!("/v1/nodes/{node}/requests")).body(&request)?;
        call.patience = timeout.unwrap_or(REQUEST_TIMEOUT);
        Ok(self.transport.json::<ClassReply>(call).await?.reply)
    }

    /// Runs a command on a node and streams its output; `detach` is ignored. The first line is
    /// [`OutputLine::Started`](super::dto::OutputLine::Started). Dropping the stream stops the
    /// command.
    pub async fn exec(
        &self,
        node: &NodeId,
        request: &ExecRequest,
    ) -> Result<OutputStream, Failure> {
        let request = ExecRequest { detach: false, ..request.clone() };
        let call = Call::new(Method::POST, format!("/v1/nodes/{node}/exec")).body(&request)?;
        Ok(OutputStream::new(Lines::new(self.transport.stream(call).await?)))
    }

    /// Runs a command on a node as a task that goes on by itself.
    pub async fn exec_detached(
        &self,
        node: &NodeId,
        request: &ExecRequest,
    ) -> Result<TaskRecord, Failure> {
        let request = ExecRequest { detach: true, ..request.clone() };
        let call = Call::new(Method::POST, format!("/v1/nodes/{node}/exec")).body(&request)?;
        self.transport.json(call).await
    }
}

/// Tasks. Where a node may be given, it saves asking all nodes for the task.
impl Client {
    /// Starts a task.
    pub async fn start_task(&self, task: &StartTask) -> Result<TaskRecord, Failure> {
        self.transport.json(Call::new(Method::POST, "/v1/tasks").body(task)?).await
    }

    /// Tasks, ended ones that are still known included unless the query says otherwise.
    pub async fn tasks(&self, query: &TaskQuery) -> Result<TaskList, Failure> {
        let call = Call::new(Method::GET, "/v1/tasks").query(&[
            ("node", text(query.node.as_ref())),
            ("class", text(query.class.as_ref())),
            ("running", flag(query.running)),
        ]);
        self.transport.json(call).await
    }

    /// One task.
    pub async fn task(&self, task: &TaskId, node: Option<&NodeId>) -> Result<TaskRecord, Failure> {
        let call = Call::new(Method::GET, format!("/v1/tasks/{task}"));
        self.transport.json(call.query(&[("node", text(node))])).await
    }

    /// Forgets an ended task and its output.
    pub async fn forget_task(&self, task: &TaskId, node: Option<&NodeId>) -> Result<(), Failure> {
        let call = Call::new(Method::DELETE, format!("/v1/tasks/{task}"));
        self.transport.nothing(call.query(&[("node", text(node))])).await
    }

    /// Says something to a running task, waiting up to `timeout` (30 s unless given) for its answer.
    pub async fn command(
        &self,
        task: &TaskId,
        node: Option<&NodeId>,
        payload: Value,
        timeout: Option<Duration>,
    ) -> Result<Value, Failure> {
        let mut call = Call::new(Method::POST, format!("/v1/tasks/{task}/commands"))
            .query(&[("node", text(node))])
            .body(&CommandRequest { payload, timeout_ms: timeout.map(millis) })?;
        call.patience = timeout.unwrap_or(REQUEST_TIMEOUT);
        Ok(self.transport.json::<ClassReply>(call).await?.reply)
    }

    /// Asks a task to end, by force after `grace` (10 s unless given).
    pub async fn stop_task(
        &self,
        task: &TaskId,
        node: Option<&NodeId>,
        grace: Option<Duration>,
    ) -> Result<(), Failure> {
        let grace_ms = grace.map(millis);
        let call = Call::new(Method::POST, format!("/v1/tasks/{task}/stop"))
            .query(&[("node", text(node))])
            .body(&StopTask { grace_ms })?;
        self.transport.nothing(call).await
    }

    /// The output of a task from `offset` on, with `follow` until it has ended.
    pub async fn output(
        &self,
        task: &TaskId,
        node: Option<&NodeId>,
        offset: u64,
        follow: bool,
    ) -> Result<OutputStream, Failure> {
        let call = Call::new(Method::GET, format!("/v1/tasks/{task}/output")).query(&[
            ("node", text(node)),
            ("offset", (offset > 0).then(|| offset.to_string())),
            ("follow", flag(follow)),
        ]);
        Ok(OutputStream::new(Lines::new(self.transport.stream(call).await?)))
    }

    /// Events as they happen. With the [`last_id`](EventStream::last_id) of an earlier stream it
    /// goes on there, as far as events are kept.
    pub async fn events(
        &self,
        query: &EventQuery,
        last_id: Option<&str>,
    ) -> Result<EventStream, Failure> {
        let mut call = Call::new(Method::GET, "/v1/events").query(&[
            ("node", text(query.node.as_ref())),
            ("class", text(query.class.as_ref())),
            ("task", text(query.task.as_ref())),
            ("after", text(query.after.as_ref())),
        ]);
        call.headers.extend(last_id.map(|id| ("last-event-id", id.to_owned())));
        Ok(EventStream::new(Lines::new(self.transport.stream(call).await?)))
    }
}

/// The cluster itself.
impl Client {
    /// The cluster, its control nodes and its health.
    pub async fn cluster(&self) -> Result<Cluster, Failure> {
        self.transport.json(self.read("/v1/cluster")).await
    }

    /// What is counted at the control node, in the text format of Prometheus.
    pub async fn metrics(&self) -> Result<String, Failure> {
        let bytes = self.transport.bytes(Call::new(Method::GET, "/metrics")).await?;
        String::from_utf8(bytes.to_vec()).map_err(|error| Failure::internal(&error))
    }

    /// State and authority of the cluster in one file: see [`Backup`](crate::agent::Backup).
    pub async fn backup(&self) -> Result<Vec<u8>, Failure> {
        let mut call = Call::new(Method::GET, "/v1/cluster/backup");
        call.patience = REQUEST_TIMEOUT;
        Ok(self.transport.bytes(call).await?.to_vec())
    }

    /// Removes a control node for good; the node is no member afterwards.
    pub async fn remove_control(&self, node: &NodeId) -> Result<(), Failure> {
        self.transport
            .nothing(Call::new(Method::DELETE, format!("/v1/cluster/controls/{node}")))
            .await
    }

    /// What a new node of this role needs to join.
    pub async fn join_token(&self, role: Role) -> Result<String, Failure> {
        let call = Call::new(Method::GET, format!("/v1/cluster/join-tokens/{role}"));
        Ok(self.transport.json::<JoinToken>(call).await?.token)
    }

    /// Makes another join token for a role, and the present one worthless.
    pub async fn rotate_join_token(&self, role: Role) -> Result<String, Failure> {
        let call = Call::new(Method::POST, format!("/v1/cluster/join-tokens/{role}"));
        Ok(self.transport.json::<JoinToken>(call).await?.token)
    }

    /// Which certificate authorities count, and how far a rotation has come.
    pub async fn authority(&self) -> Result<Authority, Failure> {
        self.transport.json(self.read("/v1/cluster/authority")).await
    }

    /// Begins to replace the certificate authority; each step waits so long at most (a day unless
    /// given) for nodes that are away.
    pub async fn rotate_authority(&self, grace: Option<Duration>) -> Result<(), Failure> {
        let grace_ms = grace.map(millis);
        let call =
            Call::new(Method::POST, "/v1/cluster/authority").body(&RotateAuthority { grace_ms })?;
        self.transport.nothing(call).await
    }

    /// Gives a node a new certificate.
    pub async fn renew_certificate(&self, node: &NodeId) -> Result<(), Failure> {
        let call = Call::new(Method::POST, format!("/v1/nodes/{node}/certificate"));
        self.transport.nothing(call).await
    }

    /// Makes an API token, which expires after `ttl` when one is given.
    pub async fn create_token(
        &self,
        name: &str,
        scope: Scope,
        ttl: Option<Duration>,
    ) -> Result<CreatedToken, Failure> {
        let ttl_ms = ttl.map(millis);
        let call = Call::new(Method::POST, "/v1/tokens").body(&CreateToken {
            name: name.to_owned(),
            scope,
            ttl_ms,
        })?;
        self.transport.json(call).await
    }

    /// All API tokens, without their secrets.
    pub async fn tokens(&self) -> Result<Vec<Token>, Failure> {
        Ok(self.transport.json::<Tokens>(self.read("/v1/tokens")).await?.tokens)
    }

    /// Makes an API token useless.
    pub async fn revoke_token(&self, token: &TokenId) -> Result<(), Failure> {
        self.transport.nothing(Call::new(Method::DELETE, format!("/v1/tokens/{token}"))).await
    }
}
