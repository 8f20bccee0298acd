//! What belongs to one task at run time: its channels, its work, and the means to end it.

use std::{sync::Arc, time::Duration};

use remuda_model::{Failure, TaskEnd};
use remuda_plugin::{Class, RawInput, RawTask, Running, Work, output::OutputLog};
use remuda_runtime::CancellationToken;
use tokio::sync::{mpsc, watch};

use crate::{caught::caught, failures};

/// How long a class may take to start or take up the work.
const START_LIMIT: Duration = Duration::from_mins(1);
/// The longest result of a task, in bytes: it is kept with its record.
const MAX_RESULT: usize = 128 << 10;
/// Inputs that wait for one task; commands beyond that wait with their callers.
pub(super) const INBOX: usize = 64;

/// A task at run time.
pub(super) struct Live {
    /// What its class needs to start it.
    pub(super) spec: Option<(Arc<dyn Class>, Vec<u8>)>,
    /// Gone once the task has ended, or the agent shuts down.
    pub(super) inbox: Option<mpsc::Sender<RawInput>>,
    /// From its start until it runs.
    pub(super) work: Option<Work>,
    pub(super) output: Option<OutputLog>,
    pub(super) kill: CancellationToken,
    pub(super) ended: watch::Sender<Option<TaskEnd>>,
}

impl Live {
    pub(super) fn new(spec: Option<(Arc<dyn Class>, Vec<u8>)>) -> Self {
        let (ended, _) = watch::channel(None);
        let kill = CancellationToken::new();
        Self { spec, inbox: None, work: None, output: None, kill, ended }
    }
}

/// How a class is asked for the work.
pub(super) enum Way {
    /// From its description.
    Start(Vec<u8>),
    /// From what an earlier boot has left.
    Recover,
}

/// Asks a class for the work of a task.
pub(super) async fn begin(class: &dyn Class, task: RawTask, way: Way) -> Result<Running, Failure> {
    let started = async {
        match way {
            Way::Start(spec) => class.start(task, spec).await,
            Way::Recover => class.recover(task).await,
        }
    };
    match tokio::time::timeout(START_LIMIT, caught(started)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panicked)) => Err(panicked.into_failure()),
        Err(_late) => Err(failures::timed_out("the start of the task", START_LIMIT)),
    }
}

/// Runs the work to its end, or drops it when told to.
pub(super) async fn run(work: Work, kill: CancellationToken) -> TaskEnd {
    tokio::select! {
        biased;
        end = caught(work) => match end {
            Ok(TaskEnd::Finished { result }) if result.len() > MAX_RESULT => TaskEnd::Failed {
                message: format!("its result is longer than {MAX_RESULT} bytes"),
            },
            Ok(end) => end,
            Err(panicked) => TaskEnd::Failed { message: panicked.to_string() },
        },
        () = kill.cancelled() => TaskEnd::Stopped,
    }
}
