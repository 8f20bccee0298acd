//! The cluster itself.

use axum::{
    Json,
    extract::State,
    http::{HeaderName, StatusCode, header},
};
use remuda_control::ControlView;
use remuda_model::{ErrorKind, Failure, NodeId, Role};

use crate::{
    access::Caller,
    answer::Answer,
    api::Api,
    dto::{Cluster, ControlNode, JoinToken, Problem, ReadQuery},
    extract::{Args, Params},
};

/// The cluster, its control nodes and its health
#[utoipa::path(get, path = "/v1/cluster", tag = "cluster", params(ReadQuery),
    responses((status = 200, body = Cluster, headers(
        ("X-Remuda-Index" = u64, description = "The last change that the answer knows of")))))]
pub(crate) async fn get_cluster(
    State(api): State<Api>,
    Params(query): Params<ReadQuery>,
) -> Answer<([(&'static str, String); 1], Json<Cluster>)> {
    let view = api.control().cluster(query.consistency.into()).await?;
    let index = [("x-remuda-index", view.applied.to_string())];
    let cluster = Cluster {
        id: view.id,
        name: view.name,
        leader: view.leader,
        term: view.term,
        voters: view.voters,
        learners: view.learners,
        controls: view.controls.into_iter().map(control).collect(),
        epoch: view.epoch.0,
        level: view.level,
        last_log: view.last_log,
        applied: view.applied,
        nodes: view.nodes.try_into().unwrap_or(u64::MAX),
        healthy: view.problems.is_empty(),
        reasons: view.problems.iter().map(|problem| problem.message.clone()).collect(),
        problems: view.problems.into_iter().map(problem).collect(),
        by_status: view.by_status.into_iter().map(|(status, n)| (status, n as u64)).collect(),
    };
    Ok((index, Json(cluster)))
}

fn control(view: ControlView) -> ControlNode {
    let said = view.health.as_ref();
    ControlNode {
        id: view.id,
        active: view.active,
        linked: view.linked,
        version: said.map(|health| health.version.clone()),
        lag: view.lag,
        clock_ahead_ms: view.skew_ms,
        lost_ms: view.lost_ms,
        workers: said.map(|health| health.workers),
        fault: said.and_then(|health| health.fault.clone()),
    }
}

fn problem(found: remuda_control::Problem) -> Problem {
    Problem { code: found.code.to_owned(), message: found.message, hint: found.hint }
}

/// Removes a control node for good
#[utoipa::path(delete, path = "/v1/cluster/controls/{node}", tag = "cluster",
    params(("node" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is no member any more.")))]
pub(crate) async fn remove_control(
    State(api): State<Api>,
    Args(node): Args<NodeId>,
) -> Answer<StatusCode> {
    // A worker of this name is not what the caller means.
    let view = api.control().node(&node, remuda_control::Consistency::Linearizable).await?;
    if !view.roles.is_control() {
        return Err(Failure::invalid(format!("node `{node}` is no control node"))
            .hint("DELETE /v1/nodes/{node} removes a worker")
            .into());
    }
    api.control().remove_node(&node, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// State and authority of the cluster in one file
///
/// Whoever has it can act as the whole cluster: keep it as secret as the key of the authority that
/// is in it. It is refused where the API is served in the clear beyond one machine.
#[utoipa::path(get, path = "/v1/cluster/backup", tag = "cluster",
    responses((status = 200, description = "For `remuda cluster restore`", body = Vec<u8>,
        content_type = "application/octet-stream")))]
pub(crate) async fn get_backup(
    State(api): State<Api>,
    caller: Caller,
) -> Answer<([(HeaderName, &'static str); 1], Vec<u8>)> {
    if api.is_in_the_clear() {
        let failure = Failure::new(ErrorKind::Forbidden, "this API is served without TLS");
        return Err(failure
            .code("insecure_api")
            .hint("make the backup on the machine of a control node, over 127.0.0.1")
            .into());
    }
    let backup = api.control().backup().await?;
    tracing::warn!(token = %caller.0, applied = backup.state.applied(), "a backup was handed out");
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], backup.to_bytes()))
}

/// What a new node needs to join
#[utoipa::path(get, path = "/v1/cluster/join-tokens/{role}", tag = "cluster",
    params(("role" = String, Path, description = "`control` or `worker`")),
    responses((status = 200, body = JoinToken)))]
pub(crate) async fn get_join_token(
    State(api): State<Api>,
    Args(role): Args<String>,
) -> Answer<Json<JoinToken>> {
    let Ok(role @ (Role::Control | Role::Worker)) = role.parse() else {
        return Err(Failure::invalid("path: role: expected `control` or `worker`").into());
    };
    Ok(Json(JoinToken { token: api.control().join_token(role)? }))
}
