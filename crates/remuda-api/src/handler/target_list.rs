//! Lists of targets that the cluster keeps under a name.

use axum::{Json, extract::State, http::StatusCode};
use remuda_control::TargetListView;
use remuda_model::TargetListId;

use crate::{
    answer::Answer,
    api::Api,
    dto::{SaveTargets, TargetList, TargetListInfo, TargetLists},
    extract::{Args, Json as Body},
};

fn shown(view: TargetListView) -> TargetListInfo {
    TargetListInfo {
        name: view.name,
        targets: view.targets,
        bytes: u64::try_from(view.bytes).unwrap_or(u64::MAX),
        changed_ms: view.changed_ms,
    }
}

/// Lists of targets
#[utoipa::path(get, path = "/v1/fanout/targets", tag = "fanout",
    responses((status = 200, body = TargetLists)))]
pub(crate) async fn list_target_lists(State(api): State<Api>) -> Answer<Json<TargetLists>> {
    let lists = api.control().target_lists().await?;
    Ok(Json(TargetLists { lists: lists.into_iter().map(shown).collect() }))
}

/// One list of targets, with its lines
#[utoipa::path(get, path = "/v1/fanout/targets/{list}", tag = "fanout",
    params(("list" = String, Path, description = "Its name")),
    responses((status = 200, body = TargetList)))]
pub(crate) async fn get_target_list(
    State(api): State<Api>,
    Args(list): Args<TargetListId>,
) -> Answer<Json<TargetList>> {
    let (view, lines) = api.control().target_list(&list).await?;
    let lines = lines.lines().map(str::to_owned).collect();
    Ok(Json(TargetList { list: shown(view), lines }))
}

/// Keeps targets under a name, in place of what was there
#[utoipa::path(put, path = "/v1/fanout/targets/{list}", tag = "fanout", request_body = SaveTargets,
    params(("list" = String, Path, description = "Its name")),
    responses((status = 200, body = TargetListInfo)))]
pub(crate) async fn save_target_list(
    State(api): State<Api>,
    Args(list): Args<TargetListId>,
    Body(request): Body<SaveTargets>,
) -> Answer<Json<TargetListInfo>> {
    let saved = api.control().save_targets(&list, request.lines.join("\n")).await?;
    Ok(Json(shown(saved)))
}

/// Forgets a list of targets
///
/// Schedules that name it begin nothing from then on, and say so.
#[utoipa::path(delete, path = "/v1/fanout/targets/{list}", tag = "fanout",
    params(("list" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is forgotten.")))]
pub(crate) async fn remove_target_list(
    State(api): State<Api>,
    Args(list): Args<TargetListId>,
) -> Answer<StatusCode> {
    api.control().remove_targets(&list).await?;
    Ok(StatusCode::NO_CONTENT)
}
