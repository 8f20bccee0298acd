//! Fan-out runs.

mod lines;
mod query;
mod targets;

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::State,
    http::StatusCode,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{FutureExt, StreamExt, stream};
use remuda_control::{NewRun, RunChange, RunProgress};
use remuda_model::{
    Failure, RunId,
    run::{Record, RunView},
};
use remuda_run::{Diff, Filter, Grouper, Groups, Target, diff::Before};
use remuda_wire::message::runs::Hosted;
use tokio::time::sleep;

use self::query::{by, filter};
use super::output::ndjson;
use crate::{
    access::Caller,
    answer::Answer,
    api::Api,
    described,
    dto::{CreateRun, DiffQuery, GroupQuery, RecordLine, RecordQuery, RunList},
    extract::{Args, Json as Body_, Params},
};

/// Paths below that of the runs, which cannot be those of runs.
const TAKEN: [&str; 2] = ["schedules", "targets"];
/// How often progress is told.
const PROGRESS: Duration = Duration::from_millis(500);
/// A comment is sent after so much silence.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How many hosts are named of a group and of a kind of change, unless the caller says so.
const HOSTS_OF_GROUP: u32 = 5;
const HOSTS_OF_CHANGE: u32 = 100;

/// Runs of the cluster
#[utoipa::path(get, path = "/v1/fanout", tag = "fanout",
    responses((status = 200, body = RunList)))]
pub(crate) async fn list_runs(State(api): State<Api>) -> Answer<Json<RunList>> {
    let found = api.control().runs().await;
    Ok(Json(RunList { runs: found.runs, unreachable: found.unreachable }))
}

/// Creates a run
///
/// This control node coordinates it. It goes on by itself.
#[utoipa::path(post, path = "/v1/fanout", tag = "fanout", request_body = CreateRun,
    responses((status = 201, body = described::Run)))]
pub(crate) async fn create_run(
    State(api): State<Api>,
    Body_(request): Body_<CreateRun>,
) -> Answer<(StatusCode, Json<RunView>)> {
    if let Some(id) = request.id.as_ref().filter(|id| TAKEN.contains(&id.as_str())) {
        let failure = Failure::invalid(format!("body: id: `{id}` is a path of this API"));
        return Err(failure.hint("take another one").into());
    }
    let targets = targets::read(&api, request.targets).await?;
    let new = NewRun { id: request.id, spec: request.spec, targets, secrets: request.secrets };
    Ok((StatusCode::CREATED, Json(api.control().create_run(new).await?)))
}

/// One run
#[utoipa::path(get, path = "/v1/fanout/{run}", tag = "fanout",
    params(("run" = String, Path, description = "Its id")),
    responses((status = 200, body = described::Run)))]
pub(crate) async fn get_run(
    State(api): State<Api>,
    Args(run): Args<RunId>,
) -> Answer<Json<RunView>> {
    Ok(Json(api.control().run(&run).await?))
}

/// Forgets a run that has ended, and its records
#[utoipa::path(delete, path = "/v1/fanout/{run}", tag = "fanout",
    params(("run" = String, Path, description = "Its id")),
    responses((status = 204, description = "It is forgotten.")))]
pub(crate) async fn remove_run(
    State(api): State<Api>,
    Args(run): Args<RunId>,
) -> Answer<StatusCode> {
    api.control().remove_run(&run).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Begins no more targets of a run
#[utoipa::path(post, path = "/v1/fanout/{run}/pause", tag = "fanout",
    params(("run" = String, Path, description = "Its id")),
    responses((status = 200, body = described::Run)))]
pub(crate) async fn pause_run(
    State(api): State<Api>,
    Args(run): Args<RunId>,
) -> Answer<Json<RunView>> {
    Ok(Json(api.control().change_run(&run, RunChange::Pause).await?))
}

/// Goes on with a run
#[utoipa::path(post, path = "/v1/fanout/{run}/resume", tag = "fanout",
    params(("run" = String, Path, description = "Its id")),
    responses((status = 200, body = described::Run)))]
pub(crate) async fn resume_run(
    State(api): State<Api>,
    Args(run): Args<RunId>,
) -> Answer<Json<RunView>> {
    Ok(Json(api.control().change_run(&run, RunChange::Resume).await?))
}

/// Gives up the targets of a run that have no record
///
/// They get one with the outcome `cancelled`; what is under way is broken off.
#[utoipa::path(post, path = "/v1/fanout/{run}/cancel", tag = "fanout",
    params(("run" = String, Path, description = "Its id")),
    responses((status = 200, body = described::Run)))]
pub(crate) async fn cancel_run(
    State(api): State<Api>,
    Args(run): Args<RunId>,
) -> Answer<Json<RunView>> {
    Ok(Json(api.control().change_run(&run, RunChange::Cancel).await?))
}

/// The records of a run, as lines of JSON
#[utoipa::path(get, path = "/v1/fanout/{run}/results", tag = "fanout",
    params(("run" = String, Path, description = "Its id"), RecordQuery),
    responses((status = 200, description = "One `RecordLine` per line.",
        content_type = "application/x-ndjson", body = RecordLine)))]
pub(crate) async fn get_results(
    State(api): State<Api>,
    caller: Caller,
    Args(run): Args<RunId>,
    Params(query): Params<RecordQuery>,
) -> Answer<Response> {
    let filter = filter(&query)?;
    let records = api.control().run_records(&run, filter, query.follow).await?;
    let lines = lines::Lines::new(records, query.limit, caller.ended(&api), api.stopping());
    Ok(ndjson(Body::from_stream(lines.stream())))
}

/// How a run goes, as server-sent events
///
/// Events named `run` have the run as it stands; the last one is that of its end. While its
/// coordinator is lost and nobody has taken it over, its state is `waiting` and the rest as it was
/// last; the stream ends after a minute of that.
#[utoipa::path(get, path = "/v1/fanout/{run}/progress", tag = "fanout",
    params(("run" = String, Path, description = "Its id")),
    responses((status = 200, content_type = "text/event-stream", body = described::Run,
        description = "Data of events named `run`.")))]
pub(crate) async fn follow_run(
    State(api): State<Api>,
    caller: Caller,
    Args(run): Args<RunId>,
) -> Answer<Response> {
    let progress = api.control().run_progress(&run).await?;
    let ended = caller.ended(&api).shared();
    let stopping = api.stopping();
    let views = stream::unfold(Some((progress, Duration::ZERO)), move |state| {
        let (ended, stopping) = (ended.clone(), stopping.clone());
        async move {
            let (mut progress, pause) = state?;
            let view = tokio::select! {
                biased;
                () = ended => return None,
                () = stopping.cancelled() => return None,
                view = after(pause, &mut progress) => view.ok()?,
            };
            let data = serde_json::to_string(&view).ok()?;
            let next = (!view.state.has_ended()).then_some((progress, PROGRESS));
            Some((Ok::<_, Infallible>(Event::default().event("run").data(data)), next))
        }
    });
    Ok(Sse::new(views.boxed()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// How a run stands after a pause; how it stood last without one.
async fn after(pause: Duration, progress: &mut RunProgress) -> Result<RunView, Failure> {
    if pause.is_zero() {
        return Ok(progress.last().clone());
    }
    sleep(pause).await;
    progress.next().await
}

/// The records of a run, grouped
#[utoipa::path(get, path = "/v1/fanout/{run}/groups", tag = "fanout",
    params(("run" = String, Path, description = "Its id"), GroupQuery),
    responses((status = 200, body = described::Groups)))]
pub(crate) async fn group_results(
    State(api): State<Api>,
    Args(run): Args<RunId>,
    Params(query): Params<GroupQuery>,
) -> Answer<Json<Groups>> {
    let by = by(&query.by)?;
    let filter = filter(&RecordQuery {
        outcome: query.outcome,
        status: query.status,
        host: query.host,
        ..RecordQuery::default()
    })?;
    let mut records = api.control().run_records(&run, filter, false).await?;
    let mut grouper = Grouper::new(by, Some(query.hosts.unwrap_or(HOSTS_OF_GROUP) as usize));
    while let Some(batch) = records.next().await? {
        for hosted in batch {
            let (target, record) = apart(hosted);
            grouper.add(&target, &record);
        }
    }
    Ok(Json(grouper.finish()))
}

/// What two runs have different
#[utoipa::path(get, path = "/v1/fanout/{run}/diff", tag = "fanout",
    params(("run" = String, Path, description = "The earlier run"), DiffQuery),
    responses((status = 200, body = described::Diff)))]
pub(crate) async fn diff_runs(
    State(api): State<Api>,
    Args(run): Args<RunId>,
    Params(query): Params<DiffQuery>,
) -> Answer<Json<Diff>> {
    let mut before = Before::new(query.hosts.unwrap_or(HOSTS_OF_CHANGE) as usize);
    let mut records = api.control().run_records(&run, Filter::default(), false).await?;
    while let Some(batch) = records.next().await? {
        for hosted in batch {
            let (target, record) = apart(hosted);
            before.add(&target, &record);
        }
    }
    let mut after = before.then();
    let mut records = api.control().run_records(&query.with, Filter::default(), false).await?;
    while let Some(batch) = records.next().await? {
        for hosted in batch {
            let (target, record) = apart(hosted);
            after.add(&target, &record);
        }
    }
    Ok(Json(after.finish()))
}

/// The target and its record. They were checked when the run was created.
fn apart(hosted: Hosted) -> (Target, Record) {
    let vars = hosted.vars.into_iter();
    let vars = vars.map(|(name, value)| (name.into(), value.into())).collect();
    (Target { host: hosted.host.into(), vars }, hosted.record)
}
