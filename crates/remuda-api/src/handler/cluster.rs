//! The cluster itself.

use axum::{Json, extract::State, http::StatusCode};
use remuda_model::{Failure, NodeId, Role};

use crate::{
    answer::Answer,
    api::Api,
    dto::{Cluster, ControlNode, JoinToken, ReadQuery},
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
        controls: view
            .controls
            .into_iter()
            .map(|(id, active)| ControlNode { id, active })
            .collect(),
        epoch: view.epoch.0,
        last_log: view.last_log,
        applied: view.applied,
        nodes: view.nodes.try_into().unwrap_or(u64::MAX),
        healthy: view.healthy,
        reasons: view.reasons,
    };
    Ok((index, Json(cluster)))
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
