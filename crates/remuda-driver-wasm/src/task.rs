//! The life of a task of a component.

use std::time::Duration;

use remuda_model::{Failure, TaskEnd};
use remuda_plugin::{RawInput, RawTask};
use tokio::{
    sync::OwnedSemaphorePermit,
    task::yield_now,
    time::{Instant, sleep_until, timeout},
};

use crate::{bindings::exports::remuda::job::tasks::Next, instance::Instance};

/// How long one call may take, waits included: what comes for the task waits meanwhile.
const CALL_LIMIT: Duration = Duration::from_mins(1);
/// The longest wait between two runs.
const MAX_WAIT: Duration = Duration::from_hours(24);

/// Runs a task that has started to its end.
pub(crate) async fn live(
    mut instance: Instance,
    mut task: RawTask,
    place: OwnedSemaphorePermit,
) -> TaskEnd {
    let end = run(&mut instance, &mut task).await;
    drop(place);
    end.unwrap_or_else(|failure| TaskEnd::Failed { message: failure.message })
}

async fn run(instance: &mut Instance, task: &mut RawTask) -> Result<TaskEnd, Failure> {
    let mut stopped = false;
    loop {
        instance.next_call();
        let wake = match within(instance.run()).await? {
            Next::Done(_) if stopped => return Ok(TaskEnd::Stopped),
            Next::Done(result) => return Ok(TaskEnd::Finished { result }),
            Next::Wait(ms) => Some(Duration::from_millis(ms).min(MAX_WAIT)),
            Next::Idle => None,
        };
        if wake == Some(Duration::ZERO) {
            yield_now().await;
        }
        let wake = wake.map(|wait| Instant::now() + wait);
        let input = tokio::select! {
            biased;
            input = task.inbox.recv() => input,
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => continue,
        };
        instance.next_call();
        match input {
            None => return Ok(TaskEnd::Lost { message: "its agent shut down".to_owned() }),
            Some(RawInput::Status(status)) => instance.see(status),
            Some(RawInput::Command(payload, reply)) => match String::from_utf8(payload) {
                Ok(payload) => {
                    let answer = within(instance.command(&payload)).await;
                    let trapped = answer.as_ref().err().cloned();
                    let answer = answer.and_then(|answer| answer.map(String::into_bytes));
                    // The caller may have stopped waiting.
                    drop(reply.send(answer));
                    if let Some(failure) = trapped {
                        return Err(failure);
                    }
                }
                Err(error) => {
                    let failure = Failure::invalid(format!("malformed command: {error}"));
                    drop(reply.send(Err(failure)));
                }
            },
            Some(RawInput::Stop(grace)) => {
                stopped = true;
                let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
                within(instance.stop(grace_ms)).await?;
            }
        }
    }
}

async fn within<T>(call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    timeout(CALL_LIMIT, call).await.unwrap_or_else(|_late| {
        let seconds = CALL_LIMIT.as_secs();
        Err(Failure::failed(format!("its code did not return within {seconds} s"))
            .code("call_limit"))
    })
}
