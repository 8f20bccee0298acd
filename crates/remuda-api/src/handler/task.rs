//! Tasks.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use remuda_control::TaskFilter;
use remuda_model::{Failure, TaskId, TaskRecord};
use remuda_wire::message::work;

use super::{
    deadline, from_class,
    output::{self, Output},
    to_class,
};
use crate::{
    access::Caller,
    answer::Answer,
    api::{Api, WORK_DEADLINE, unexpected},
    described,
    dto::{
        ClassReply, CommandRequest, NodeQuery, OutputLine, OutputQuery, StartTask, StopTask,
        TaskList, TaskQuery,
    },
    extract::{Args, Json as Body, Params},
};

/// How long a task may take to end unless the caller says so.
const GRACE_MS: u64 = 10_000;
/// The longest that a caller may grant.
const MAX_GRACE_MS: u64 = 24 * 60 * 60 * 1000;

/// Tasks of the cluster
#[utoipa::path(get, path = "/v1/tasks", tag = "tasks", params(TaskQuery),
    responses((status = 200, body = TaskList)))]
pub(crate) async fn list_tasks(
    State(api): State<Api>,
    Params(query): Params<TaskQuery>,
) -> Answer<Json<TaskList>> {
    let filter =
        TaskFilter { node: query.node, class: query.class, running: query.running.then_some(true) };
    let found = api.control().tasks(filter).await?;
    Ok(Json(TaskList { tasks: found.tasks, unreachable: found.unreachable }))
}

/// Starts a task
#[utoipa::path(post, path = "/v1/tasks", tag = "tasks", request_body = StartTask,
    responses((status = 201, body = described::Task)))]
pub(crate) async fn start_task(
    State(api): State<Api>,
    Body(request): Body<StartTask>,
) -> Answer<(StatusCode, Json<TaskRecord>)> {
    let op = work::Op::Start {
        class: request.class,
        task: request.id.unwrap_or_else(TaskId::random),
        spec: to_class(&request.spec),
        attached: false,
    };
    Ok((StatusCode::CREATED, Json(api.start(&request.node, op).await?)))
}

/// One task
#[utoipa::path(get, path = "/v1/tasks/{task}", tag = "tasks",
    params(("task" = String, Path, description = "Its id"), NodeQuery),
    responses((status = 200, body = described::Task)))]
pub(crate) async fn get_task(
    State(api): State<Api>,
    Args(task): Args<TaskId>,
    Params(query): Params<NodeQuery>,
) -> Answer<Json<TaskRecord>> {
    Ok(Json(api.control().find_task(&task, query.node.as_ref()).await?))
}

/// Forgets an ended task and its output
#[utoipa::path(delete, path = "/v1/tasks/{task}", tag = "tasks",
    params(("task" = String, Path, description = "Its id"), NodeQuery),
    responses((status = 204, description = "It is forgotten.")))]
pub(crate) async fn forget_task(
    State(api): State<Api>,
    Args(task): Args<TaskId>,
    Params(query): Params<NodeQuery>,
) -> Answer<StatusCode> {
    let node = api.locate(&task, query.node).await?;
    match api.work(&node, work::Op::Forget { task }, WORK_DEADLINE).await? {
        work::Done::Accepted => Ok(StatusCode::NO_CONTENT),
        other => Err(unexpected(&other).into()),
    }
}

/// Says something to a running task
#[utoipa::path(post, path = "/v1/tasks/{task}/commands", tag = "tasks",
    request_body = CommandRequest,
    params(("task" = String, Path, description = "Its id"), NodeQuery),
    responses((status = 200, body = ClassReply)))]
pub(crate) async fn command_task(
    State(api): State<Api>,
    Args(task): Args<TaskId>,
    Params(query): Params<NodeQuery>,
    Body(request): Body<CommandRequest>,
) -> Answer<Json<ClassReply>> {
    let deadline = deadline(request.timeout_ms)?;
    let node = api.locate(&task, query.node).await?;
    let op = work::Op::Command { task, payload: to_class(&request.payload) };
    match api.work(&node, op, deadline).await? {
        work::Done::Payload(bytes) => Ok(Json(from_class(&bytes)?)),
        other => Err(unexpected(&other).into()),
    }
}

/// Asks a task to end
#[utoipa::path(post, path = "/v1/tasks/{task}/stop", tag = "tasks", request_body = StopTask,
    params(("task" = String, Path, description = "Its id"), NodeQuery),
    responses((status = 202, description = "It was asked; its record tells when it has ended.")))]
pub(crate) async fn stop_task(
    State(api): State<Api>,
    Args(task): Args<TaskId>,
    Params(query): Params<NodeQuery>,
    Body(request): Body<StopTask>,
) -> Answer<StatusCode> {
    let grace_ms = request.grace_ms.unwrap_or(GRACE_MS);
    if grace_ms > MAX_GRACE_MS {
        let reason = format!("body: grace_ms: expected at most {MAX_GRACE_MS}");
        return Err(Failure::invalid(reason).into());
    }
    let node = api.locate(&task, query.node).await?;
    match api.work(&node, work::Op::Stop { task, grace_ms }, WORK_DEADLINE).await? {
        work::Done::Accepted => Ok(StatusCode::ACCEPTED),
        other => Err(unexpected(&other).into()),
    }
}

/// The output of a task, as lines of JSON
#[utoipa::path(get, path = "/v1/tasks/{task}/output", tag = "tasks",
    params(("task" = String, Path, description = "Its id"), OutputQuery),
    responses((status = 200, description = "One `OutputLine` per line.",
        content_type = "application/x-ndjson", body = OutputLine)))]
pub(crate) async fn follow_output(
    State(api): State<Api>,
    caller: Caller,
    Args(task): Args<TaskId>,
    Params(query): Params<OutputQuery>,
) -> Answer<Response> {
    let node = api.locate(&task, query.node).await?;
    let output = Output::open(api, caller, node, task, query.offset, query.follow).await?;
    Ok(output::pulled(output))
}
