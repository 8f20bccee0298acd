//! What control nodes may ask of this worker.

mod file;
mod output;
mod work;

use std::sync::Arc;

use remuda_link::Router;
use remuda_model::Role;
use remuda_wire::message::{FILE, OUTPUT, WORK};
use tokio_util::task::TaskTracker;

use crate::agent::Agent;

/// Only control nodes command workers.
const ROLES: &[Role] = &[Role::Control];

/// Answers calls to this worker; `calls` knows which ones are not answered yet.
pub(crate) fn register(router: &mut Router, agent: &Arc<Agent>, calls: &TaskTracker) {
    let (for_work, tracker) = (Arc::clone(agent), calls.clone());
    router.route(WORK, ROLES, move |_link, stream| {
        tracker.track_future(work::serve(Arc::clone(&for_work), stream))
    });
    let (for_output, tracker) = (Arc::clone(agent), calls.clone());
    router.route(OUTPUT, ROLES, move |_link, stream| {
        tracker.track_future(output::serve(Arc::clone(&for_output), stream))
    });
    let (for_files, tracker) = (Arc::clone(agent), calls.clone());
    router.route(FILE, ROLES, move |_link, stream| {
        tracker.track_future(file::serve(Arc::clone(&for_files), stream))
    });
}
