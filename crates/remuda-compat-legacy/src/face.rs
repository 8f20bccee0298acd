//! Answers calls.

mod cluster;
mod execute;
mod jobs;
mod reply;
mod results;
mod shown;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode},
    response::Response,
};
use remuda_control::Control;
use remuda_model::{Failure, NodeId};

use self::reply::{Reply, Wrong};
use crate::{Catalogue, endpoint, endpoint::Endpoint, params::Call};

/// Answers the calls of programs that were written for REST Commander. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Face {
    control: Control,
    /// The node that this is, for jobs that shall run at the master alone.
    node: NodeId,
    catalogue: Arc<Catalogue>,
}

impl Face {
    /// A face of a control node.
    pub fn new(control: Control, node: NodeId, catalogue: Catalogue) -> Self {
        Self { control, node, catalogue: Arc::new(catalogue) }
    }

    /// Answers every path. It asks nobody who he is: that is done before, by
    /// [`scope_of`](crate::scope_of).
    pub fn into_router(self) -> Router {
        Router::new().fallback(answer).with_state(self)
    }

    /// Calls a use case by its documented name.
    async fn call(&self, endpoint: Endpoint, id: &str, call: &Call) -> Result<Reply, Wrong> {
        match endpoint {
            Endpoint::RunAsync => self.run_async(call).await,
            Endpoint::RunGroup => self.run_group(call).await,
            Endpoint::RunAdhoc => self.run_adhoc(call).await,
            Endpoint::RunSingleServer => self.run_single_server(call).await,
            Endpoint::RunJson => self.run_json(call, false).await,
            Endpoint::RunJsonEach => self.run_json(call, true).await,
            Endpoint::ShowCommand => self.show_command(id),
            Endpoint::ShowGroup => self.show_group(call),
            Endpoint::ShowData => self.show_data(call).await,
            Endpoint::JobInfo => self.job_info(call).await,
            Endpoint::JobQueue => self.job_queue().await,
            Endpoint::SearchHost => self.search_host(call).await,
            Endpoint::Progress => self.progress(call).await,
            Endpoint::ElapsedTime => self.elapsed_time(call).await,
            Endpoint::State => self.job_state(call).await,
            Endpoint::WorkerLoad => self.worker_load(call).await,
            Endpoint::ClusterState => self.cluster_state().await,
            Endpoint::ClusterList => self.cluster_list().await,
            Endpoint::EnableMember => self.set_member(call, true).await,
            Endpoint::DisableMember => self.set_member(call, false).await,
            // Agents start and stop by themselves; nothing is to be done for it.
            Endpoint::CreateNode | Endpoint::ShutdownNode => Ok(Reply::Empty),
            Endpoint::ResetScheduler => self.reset_scheduler().await,
        }
    }
}

async fn answer(State(face): State<Face>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let Some((endpoint, _, rest)) = endpoint::find(&path) else {
        let failure = Failure::not_found("REST Commander's API has no such path here")
            .hint("docs/compat/rest-commander.md lists what is supported");
        return Wrong::from(failure).into_response(&path);
    };
    if !matches!(*request.method(), Method::GET | Method::POST) {
        let failure = Failure::invalid(format!("the path takes no `{}`", request.method()));
        return Wrong::from(failure)
            .with_status(StatusCode::METHOD_NOT_ALLOWED)
            .into_response(&path);
    }
    let answered = async {
        let call = Call::read(request, endpoint.takes_json()).await?;
        face.call(endpoint, rest, &call).await
    };
    match answered.await {
        Ok(reply) => reply.into_response(),
        Err(wrong) => wrong.into_response(&path),
    }
}
