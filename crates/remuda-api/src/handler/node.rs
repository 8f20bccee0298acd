//! Nodes.

use axum::{Json, extract::State, http::StatusCode};
use remuda_model::{NodeId, NodeView};
use remuda_wire::message::work;

use super::{deadline, from_class, to_class};
use crate::{
    answer::Answer,
    api::{Api, unexpected},
    described,
    dto::{
        AddNode, AddedNode, ClassReply, ClassRequest, ForceQuery, LabelChange, LabelText, Nodes,
        NodesQuery, ReadQuery, SetStatus,
    },
    extract::{Args, Json as Body, Params},
};

/// All nodes, or those that meet a condition
#[utoipa::path(get, path = "/v1/nodes", tag = "nodes", params(NodesQuery),
    responses((status = 200, body = Nodes)))]
pub(crate) async fn list_nodes(
    State(api): State<Api>,
    Params(query): Params<NodesQuery>,
) -> Answer<Json<Nodes>> {
    let consistency = query.consistency.into();
    let nodes = match &query.on {
        None => api.control().nodes(consistency).await?,
        Some(on) => api.control().nodes_on(on, consistency).await?,
    };
    Ok(Json(Nodes { nodes }))
}

/// One node
#[utoipa::path(get, path = "/v1/nodes/{node}", tag = "nodes",
    params(("node" = String, Path, description = "Its name"), ReadQuery),
    responses((status = 200, body = described::Node)))]
pub(crate) async fn get_node(
    State(api): State<Api>,
    Args(node): Args<NodeId>,
    Params(query): Params<ReadQuery>,
) -> Answer<Json<NodeView>> {
    Ok(Json(api.control().node(&node, query.consistency.into()).await?))
}

/// Lets the cluster dial a node that listens: a member, or a new one that waits for it
#[utoipa::path(post, path = "/v1/nodes", tag = "nodes", request_body = AddNode,
    responses((status = 201, body = AddedNode)))]
pub(crate) async fn add_node(
    State(api): State<Api>,
    Body(request): Body<AddNode>,
) -> Answer<(StatusCode, Json<AddedNode>)> {
    let node = api.control().add_node(&request.url).await?;
    Ok((StatusCode::CREATED, Json(AddedNode { node })))
}

/// Removes a node from the cluster
#[utoipa::path(delete, path = "/v1/nodes/{node}", tag = "nodes",
    params(("node" = String, Path, description = "Its name"), ForceQuery),
    responses((status = 204, description = "It is no member any more.")))]
pub(crate) async fn remove_node(
    State(api): State<Api>,
    Args(node): Args<NodeId>,
    Params(query): Params<ForceQuery>,
) -> Answer<StatusCode> {
    api.control().remove_node(&node, query.force).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks a node to become ready, standby or stopped
#[utoipa::path(put, path = "/v1/nodes/{node}/status", tag = "nodes", request_body = SetStatus,
    params(("node" = String, Path, description = "Its name")),
    responses((status = 204, description = "The node obeys.")))]
pub(crate) async fn set_node_status(
    State(api): State<Api>,
    Args(node): Args<NodeId>,
    Body(request): Body<SetStatus>,
) -> Answer<StatusCode> {
    api.control().set_status(&node, request.status).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes labels of a node
#[utoipa::path(patch, path = "/v1/nodes/{node}/labels", tag = "nodes", request_body = LabelChange,
    params(("node" = String, Path, description = "Its name")),
    responses((status = 200, body = LabelText)))]
pub(crate) async fn change_node_labels(
    State(api): State<Api>,
    Args(node): Args<NodeId>,
    Body(change): Body<LabelChange>,
) -> Answer<Json<LabelText>> {
    let labels = api.control().set_labels(&node, &change.update, &change.remove).await?;
    Ok(Json(LabelText { labels }))
}

/// Asks a job class on a node
#[utoipa::path(post, path = "/v1/nodes/{node}/requests", tag = "nodes",
    request_body = ClassRequest, params(("node" = String, Path, description = "Its name")),
    responses((status = 200, body = ClassReply)))]
pub(crate) async fn request_class(
    State(api): State<Api>,
    Args(node): Args<NodeId>,
    Body(request): Body<ClassRequest>,
) -> Answer<Json<ClassReply>> {
    let deadline = deadline(request.timeout_ms)?;
    let op = work::Op::Request { class: request.class, payload: to_class(&request.payload) };
    match api.work(&node, op, deadline).await? {
        work::Done::Payload(bytes) => Ok(Json(from_class(&bytes)?)),
        other => Err(unexpected(&other).into()),
    }
}
