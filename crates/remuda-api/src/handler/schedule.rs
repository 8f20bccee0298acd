//! Schedules of fan-out runs.

use axum::{Json, extract::State, http::StatusCode};
use remuda_control::{Firing, NewSchedule, ScheduleView, When};
use remuda_model::{Failure, ScheduleId, run::RunView};

use crate::{
    answer::Answer,
    api::Api,
    described,
    dto::{
        CreateSchedule, Schedule, ScheduleDetail, ScheduleError, ScheduleTargets, ScheduledRun,
        Schedules,
    },
    extract::{Args, Json as Body},
};

/// The time zone of expressions without one.
const UTC: &str = "UTC";

fn when(
    cron: Option<String>,
    timezone: Option<String>,
    every_ms: Option<u64>,
) -> Result<When, Failure> {
    match (cron, every_ms) {
        (Some(expression), None) => {
            Ok(When::Cron { expression, timezone: timezone.unwrap_or_else(|| UTC.to_owned()) })
        }
        (None, Some(_)) if timezone.is_some() => {
            Err(Failure::invalid("body: timezone: an interval has none"))
        }
        (None, Some(every_ms)) => Ok(When::Every { every_ms }),
        _ => Err(Failure::invalid("body: expected either `cron` or `every_ms`")
            .hint("such as \"cron\": \"0 2 * * *\", or \"every_ms\": 60000")),
    }
}

fn run(firing: Firing) -> ScheduledRun {
    ScheduledRun { run: firing.run, due_ms: firing.due_ms, coordinator: firing.coordinator }
}

fn shown(view: ScheduleView) -> Result<ScheduleDetail, Failure> {
    let spec = view.spec()?;
    let ScheduleView { record, standing, next_ms } = view;
    let (cron, timezone, every_ms) = match record.when {
        When::Cron { expression, timezone } => (Some(expression), Some(timezone), None),
        When::Every { every_ms } => (None, None, Some(every_ms)),
    };
    let schedule = Schedule {
        name: record.id,
        cron,
        timezone,
        every_ms,
        command: spec.command.as_str().to_owned(),
        overlap: record.overlap,
        paused: standing.paused,
        created_ms: record.created_ms,
        next_ms,
        pending: standing.pending.map(run),
        last: standing.last.map(run),
        running: standing.is_running,
        begun: standing.begun,
        skipped: standing.skipped,
        missed: standing.missed,
        failed: standing.failed,
        last_error: standing.last_error.map(|(at_ms, message)| ScheduleError { at_ms, message }),
    };
    let nodes = record.targets.nodes.map(|on| on.parse()).transpose();
    let targets = ScheduleTargets {
        lines: record.targets.lines.lines().map(str::to_owned).collect(),
        saved: record.targets.saved,
        nodes: nodes.map_err(|error| Failure::internal(&error))?,
    };
    Ok(ScheduleDetail { schedule, spec, targets })
}

fn brief(view: ScheduleView) -> Result<Schedule, Failure> {
    shown(view).map(|detail| detail.schedule)
}

/// Schedules of fan-out runs
#[utoipa::path(get, path = "/v1/fanout/schedules", tag = "fanout",
    responses((status = 200, body = Schedules)))]
pub(crate) async fn list_schedules(State(api): State<Api>) -> Answer<Json<Schedules>> {
    let views = api.control().schedules().await?;
    let schedules = views.into_iter().map(brief).collect::<Result<_, _>>()?;
    Ok(Json(Schedules { schedules }))
}

/// Makes a schedule
///
/// Its runs begin by themselves, each once, whichever control node is there.
#[utoipa::path(post, path = "/v1/fanout/schedules", tag = "fanout", request_body = CreateSchedule,
    responses((status = 201, body = Schedule)))]
pub(crate) async fn create_schedule(
    State(api): State<Api>,
    Body(request): Body<CreateSchedule>,
) -> Answer<(StatusCode, Json<Schedule>)> {
    let when = when(request.cron, request.timezone, request.every_ms)?;
    let new = NewSchedule {
        id: request.name,
        when,
        spec: request.spec,
        targets: remuda_control::ScheduleTargets {
            lines: request.targets.lines.join("\n"),
            saved: request.targets.saved,
            nodes: request.targets.nodes.map(|on| on.to_string()),
        },
        secrets: request.secrets,
        overlap: request.overlap,
        paused: request.paused,
    };
    let view = api.control().create_schedule(new).await?;
    Ok((StatusCode::CREATED, Json(brief(view)?)))
}

/// One schedule
#[utoipa::path(get, path = "/v1/fanout/schedules/{schedule}", tag = "fanout",
    params(("schedule" = String, Path, description = "Its name")),
    responses((status = 200, body = ScheduleDetail)))]
pub(crate) async fn get_schedule(
    State(api): State<Api>,
    Args(schedule): Args<ScheduleId>,
) -> Answer<Json<ScheduleDetail>> {
    Ok(Json(shown(api.control().schedule(&schedule).await?)?))
}

/// Forgets a schedule
///
/// Its runs are left alone.
#[utoipa::path(delete, path = "/v1/fanout/schedules/{schedule}", tag = "fanout",
    params(("schedule" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is forgotten.")))]
pub(crate) async fn remove_schedule(
    State(api): State<Api>,
    Args(schedule): Args<ScheduleId>,
) -> Answer<StatusCode> {
    api.control().remove_schedule(&schedule).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a schedule begin no more runs
#[utoipa::path(post, path = "/v1/fanout/schedules/{schedule}/pause", tag = "fanout",
    params(("schedule" = String, Path, description = "Its name")),
    responses((status = 200, body = Schedule)))]
pub(crate) async fn pause_schedule(
    State(api): State<Api>,
    Args(schedule): Args<ScheduleId>,
) -> Answer<Json<Schedule>> {
    Ok(Json(brief(api.control().pause_schedule(&schedule, true).await?)?))
}

/// Lets a schedule go on
///
/// What was due while it was paused is not made up for.
#[utoipa::path(post, path = "/v1/fanout/schedules/{schedule}/resume", tag = "fanout",
    params(("schedule" = String, Path, description = "Its name")),
    responses((status = 200, body = Schedule)))]
pub(crate) async fn resume_schedule(
    State(api): State<Api>,
    Args(schedule): Args<ScheduleId>,
) -> Answer<Json<Schedule>> {
    Ok(Json(brief(api.control().pause_schedule(&schedule, false).await?)?))
}

/// Begins a run of a schedule now
#[utoipa::path(post, path = "/v1/fanout/schedules/{schedule}/run", tag = "fanout",
    params(("schedule" = String, Path, description = "Its name")),
    responses((status = 201, body = described::Run)))]
pub(crate) async fn run_schedule(
    State(api): State<Api>,
    Args(schedule): Args<ScheduleId>,
) -> Answer<(StatusCode, Json<RunView>)> {
    Ok((StatusCode::CREATED, Json(api.control().run_schedule(&schedule).await?)))
}
