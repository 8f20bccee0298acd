//! The description of the API, from the handlers and the route table.

use std::sync::LazyLock;

use axum::http::Method;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self, Content, Ref, RefOr, Response,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::{
    access::Access,
    dto::{ErrorBody, StreamGap},
    handler::{
        authority, cluster, events, exec, fanout, file, node, open, schedule, target_list, task,
        token,
    },
    route::ROUTES,
};

/// The name of the one security scheme.
const SCHEME: &str = "token";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "remuda",
        description = "One cluster of machines. Every control node answers every call.",
        version = env!("CARGO_PKG_VERSION"),
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    tags(
        (name = "nodes", description = "Machines and what they do"),
        (name = "files", description = "Files for nodes and of nodes"),
        (name = "fanout", description = "One command for very many targets"),
        (name = "tasks", description = "Work that goes on by itself"),
        (name = "events", description = "What happens"),
        (name = "cluster", description = "The cluster itself"),
        (name = "tokens", description = "Who may do what"),
        (name = "api", description = "This API"),
    ),
    paths(
        open::health, open::ready, open::version, open::openapi, open::metrics,
        node::list_nodes, node::add_node, node::get_node, node::remove_node,
        node::set_node_status, node::change_node_labels, node::request_class,
        exec::exec_command,
        file::get_file, file::get_file_content, file::send_file, file::get_artifact,
        file::put_artifact,
        task::list_tasks, task::start_task, task::get_task, task::forget_task,
        task::command_task, task::stop_task, task::follow_output,
        events::follow_events,
        fanout::list_runs, fanout::create_run, fanout::get_run, fanout::remove_run,
        fanout::pause_run, fanout::resume_run, fanout::cancel_run, fanout::get_results,
        fanout::follow_run, fanout::group_results, fanout::diff_runs,
        target_list::list_target_lists, target_list::get_target_list,
        target_list::save_target_list, target_list::remove_target_list,
        schedule::list_schedules, schedule::create_schedule, schedule::get_schedule,
        schedule::remove_schedule, schedule::pause_schedule, schedule::resume_schedule,
        schedule::run_schedule,
        cluster::get_cluster, cluster::get_backup, cluster::remove_control, cluster::get_join_token,
        authority::get_authority, authority::rotate_authority, authority::rotate_join_token,
        authority::renew_certificate,
        token::list_tokens, token::create_token, token::revoke_token,
    ),
    components(schemas(ErrorBody, StreamGap)),
    modifiers(&FromTable),
)]
struct Document;

/// Adds what the route table knows: who may call, and the failures that follow from that.
struct FromTable;

impl Modify for FromTable {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("rmt1.ID.SECRET")
            .description(Some("Made by `remuda token create`."))
            .build();
        components.add_security_scheme(SCHEME, SecurityScheme::Http(bearer));
        for route in ROUTES {
            let path = document.paths.paths.get_mut(route.path);
            let Some(operation) = path.and_then(|path| operation(path, &route.method)) else {
                continue;
            };
            // Where the type of the body says it all; the standard wants words in any case.
            for response in operation.responses.responses.values_mut() {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    "Done.".clone_into(&mut response.description);
                }
            }
            let note = match route.access {
                Access::Open => {
                    operation.security = Some(Vec::new());
                    "Open to everybody.".to_owned()
                }
                Access::Scope(scope) => {
                    let none: [&str; 0] = [];
                    operation.security = Some(vec![SecurityRequirement::new(SCHEME, none)]);
                    fail(operation, "401", "No token, or an unknown or expired one.");
                    fail(operation, "403", "The token allows less, or the host is not ours.");
                    fail(operation, "429", "Too many wrong tokens from this address.");
                    fail(operation, "default", "Any other failure; its kind says what to do.");
                    format!("Needs a token of scope `{scope}`.")
                }
            };
            let description = operation.description.take().filter(|text| !text.is_empty());
            let texts = description.into_iter().chain([note]).collect::<Vec<_>>();
            operation.description = Some(texts.join("\n\n"));
        }
    }
}

fn fail(operation: &mut Operation, status: &str, description: &str) {
    let mut response = Response::new(description);
    let schema = RefOr::Ref(Ref::from_schema_name("ErrorBody"));
    response.content.insert("application/json".to_owned(), RefOr::T(Content::new(Some(schema))));
    operation.responses.responses.insert(status.to_owned(), RefOr::T(response));
}

fn operation<'a>(path: &'a mut openapi::PathItem, method: &Method) -> Option<&'a mut Operation> {
    match *method {
        Method::GET => path.get.as_mut(),
        Method::PUT => path.put.as_mut(),
        Method::POST => path.post.as_mut(),
        Method::PATCH => path.patch.as_mut(),
        Method::DELETE => path.delete.as_mut(),
        _ => None,
    }
}

/// The document as JSON.
pub fn json() -> &'static str {
    static JSON: LazyLock<String> = LazyLock::new(|| {
        serde_json::to_string(&Document::openapi()).expect("the document is plain data")
    });
    &JSON
}
