//! Shows the events of one worker to the job classes, in order, apart from everything else.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use remuda_model::{ClassName, Event};
use remuda_plugin::Class;
use remuda_runtime::CancellationToken;
use tokio::sync::mpsc;

/// How many batches of events may wait for the job classes; then the session is not read.
pub(crate) const WAITING_BATCHES: usize = 4;
/// How long a job class may take over one event.
const HANDLER: Duration = Duration::from_secs(30);

/// Events, and what to report when the classes have seen them.
#[derive(Debug)]
pub(crate) struct Batch {
    pub events: Vec<Event>,
    pub seen: Seen,
}

/// All events up to a number were seen, as the worker counted at that time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub numbering: u64,
    pub last: u64,
}

/// Shows batches to the classes until the proxy ends.
pub(crate) async fn run(
    classes: Arc<BTreeMap<ClassName, Arc<dyn Class>>>,
    mut batches: mpsc::Receiver<Batch>,
    seen: mpsc::Sender<Seen>,
    stop: CancellationToken,
) {
    loop {
        let batch = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            batch = batches.recv() => batch,
        };
        let Some(batch) = batch else { return };
        for event in &batch.events {
            let class = event.body.class().and_then(|class| classes.get(class));
            if let Some(class) = class {
                show(class.as_ref(), event).await;
            }
        }
        if seen.send(batch.seen).await.is_err() {
            return;
        }
    }
}

/// A class that panics or hangs loses this one event, not the node.
async fn show(class: &dyn Class, event: &Event) {
    let handler = AssertUnwindSafe(class.event(event)).catch_unwind();
    match tokio::time::timeout(HANDLER, handler).await {
        Ok(Ok(())) => (),
        Ok(Err(_panic)) => {
            tracing::error!(class = %class.name(), node = %event.node, "event handler panicked");
        }
        Err(_elapsed) => {
            tracing::error!(class = %class.name(), node = %event.node, "event handler took too long");
        }
    }
}
