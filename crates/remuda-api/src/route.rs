//! The routes of the API in one table, of which the router, the gate and the tests are made.

use axum::{
    Router,
    http::{Method, StatusCode},
    middleware,
    routing::{MethodFilter, MethodRouter, on},
};

use crate::{
    access::Access::{self, Open, Scope},
    api::Api,
    dto::Scope::{Admin, Operate, Read},
    guard,
    handler::{
        authority, cluster, events, exec, fanout, file, node, open, schedule, target_list, task,
        token,
    },
};

/// One route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) method: Method,
    /// With parameters as `{name}`.
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    handler: fn(MethodFilter) -> MethodRouter<Api>,
}

macro_rules! routes {
    ($($method:ident $path:literal $access:expr => $handler:path,)*) => {
        &[$(Route {
            method: Method::$method,
            path: $path,
            access: $access,
            handler: |method| on(method, $handler),
        },)*]
    };
}

/// All routes.
pub(crate) static ROUTES: &[Route] = routes! {
    GET "/healthz" Open => open::health,
    GET "/readyz" Open => open::ready,
    GET "/version" Open => open::version,
    GET "/openapi.json" Scope(Read) => open::openapi,
    GET "/metrics" Scope(Read) => open::metrics,

    GET "/v1/nodes" Scope(Read) => node::list_nodes,
    POST "/v1/nodes" Scope(Admin) => node::add_node,
    GET "/v1/nodes/{node}" Scope(Read) => node::get_node,
    DELETE "/v1/nodes/{node}" Scope(Admin) => node::remove_node,
    PUT "/v1/nodes/{node}/status" Scope(Operate) => node::set_node_status,
    PATCH "/v1/nodes/{node}/labels" Scope(Operate) => node::change_node_labels,
    POST "/v1/nodes/{node}/certificate" Scope(Operate) => authority::renew_certificate,
    POST "/v1/nodes/{node}/requests" Scope(Operate) => node::request_class,
    POST "/v1/nodes/{node}/exec" Scope(Operate) => exec::exec_command,

    GET "/v1/nodes/{node}/file" Scope(Operate) => file::get_file,
    GET "/v1/nodes/{node}/file/content" Scope(Operate) => file::get_file_content,

    POST "/v1/files" Scope(Operate) => file::send_file,
    GET "/v1/artifacts/{digest}" Scope(Operate) => file::get_artifact,
    PUT "/v1/artifacts/{digest}" Scope(Operate) => file::put_artifact,

    GET "/v1/fanout" Scope(Read) => fanout::list_runs,
    POST "/v1/fanout" Scope(Operate) => fanout::create_run,
    GET "/v1/fanout/{run}" Scope(Read) => fanout::get_run,
    DELETE "/v1/fanout/{run}" Scope(Operate) => fanout::remove_run,
    POST "/v1/fanout/{run}/pause" Scope(Operate) => fanout::pause_run,
    POST "/v1/fanout/{run}/resume" Scope(Operate) => fanout::resume_run,
    POST "/v1/fanout/{run}/cancel" Scope(Operate) => fanout::cancel_run,
    GET "/v1/fanout/{run}/results" Scope(Read) => fanout::get_results,
    GET "/v1/fanout/{run}/progress" Scope(Read) => fanout::follow_run,
    GET "/v1/fanout/{run}/groups" Scope(Read) => fanout::group_results,
    GET "/v1/fanout/{run}/diff" Scope(Read) => fanout::diff_runs,

    GET "/v1/fanout/targets" Scope(Read) => target_list::list_target_lists,
    GET "/v1/fanout/targets/{list}" Scope(Read) => target_list::get_target_list,
    PUT "/v1/fanout/targets/{list}" Scope(Operate) => target_list::save_target_list,
    DELETE "/v1/fanout/targets/{list}" Scope(Operate) => target_list::remove_target_list,

    GET "/v1/fanout/schedules" Scope(Read) => schedule::list_schedules,
    POST "/v1/fanout/schedules" Scope(Operate) => schedule::create_schedule,
    GET "/v1/fanout/schedules/{schedule}" Scope(Read) => schedule::get_schedule,
    DELETE "/v1/fanout/schedules/{schedule}" Scope(Operate) => schedule::remove_schedule,
    POST "/v1/fanout/schedules/{schedule}/pause" Scope(Operate) => schedule::pause_schedule,
    POST "/v1/fanout/schedules/{schedule}/resume" Scope(Operate) => schedule::resume_schedule,
    POST "/v1/fanout/schedules/{schedule}/run" Scope(Operate) => schedule::run_schedule,

    GET "/v1/tasks" Scope(Read) => task::list_tasks,
    POST "/v1/tasks" Scope(Operate) => task::start_task,
    GET "/v1/tasks/{task}" Scope(Read) => task::get_task,
    DELETE "/v1/tasks/{task}" Scope(Operate) => task::forget_task,
    POST "/v1/tasks/{task}/commands" Scope(Operate) => task::command_task,
    POST "/v1/tasks/{task}/stop" Scope(Operate) => task::stop_task,
    GET "/v1/tasks/{task}/output" Scope(Read) => task::follow_output,

    GET "/v1/events" Scope(Read) => events::follow_events,

    GET "/v1/cluster" Scope(Read) => cluster::get_cluster,
    GET "/v1/cluster/backup" Scope(Admin) => cluster::get_backup,
    DELETE "/v1/cluster/controls/{node}" Scope(Admin) => cluster::remove_control,
    GET "/v1/cluster/join-tokens/{role}" Scope(Admin) => cluster::get_join_token,
    POST "/v1/cluster/join-tokens/{role}" Scope(Admin) => authority::rotate_join_token,
    GET "/v1/cluster/authority" Scope(Read) => authority::get_authority,
    POST "/v1/cluster/authority" Scope(Admin) => authority::rotate_authority,

    GET "/v1/tokens" Scope(Admin) => token::list_tokens,
    POST "/v1/tokens" Scope(Admin) => token::create_token,
    DELETE "/v1/tokens/{token}" Scope(Admin) => token::revoke_token,
};

/// What the table says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It is the route at this place of the table.
    Found(usize, Access),
    /// The path is one, the method is not.
    OtherMethod,
    /// The path is none.
    None,
}

impl Lookup {
    /// The place in the table.
    pub(crate) fn place(self) -> Option<usize> {
        match self {
            Self::Found(at, _) => Some(at),
            Self::OtherMethod | Self::None => None,
        }
    }
}

/// Looks a request up by its method and the pattern that its path matched.
pub(crate) fn lookup(method: &Method, path: Option<&str>) -> Lookup {
    // The handlers of GET answer HEAD too.
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let mut lookup = Lookup::None;
    let of_path = ROUTES.iter().enumerate().filter(|(_, route)| Some(route.path) == path);
    for (at, route) in of_path {
        if route.method == *method {
            return Lookup::Found(at, route.access);
        }
        lookup = Lookup::OtherMethod;
    }
    lookup
}

/// Whether the route at this place of the table shows the metrics, which may be open.
pub(crate) fn is_metrics(at: usize) -> bool {
    ROUTES.get(at).is_some_and(|route| route.path == "/metrics")
}

/// The router with the gate before every route, unknown paths included.
///
/// # Panics
///
/// When two routes collide, which every test notices.
pub(crate) fn router(api: Api) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let filter = MethodFilter::try_from(route.method.clone())
            .expect("the table has only methods that filters know");
        router = router.route(route.path, (route.handler)(filter));
    }
    router
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(middleware::from_fn_with_state(api.clone(), guard::guard))
        .with_state(api)
}
