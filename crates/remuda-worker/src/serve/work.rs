//! Answers one call: decode, check, do, encode.

use std::{sync::Arc, time::Duration};

use remuda_link::{Stream, StreamError, code};
use remuda_model::Failure;
use remuda_plugin::{EventSink, RequestContext};
use remuda_runtime::{
    trace::{self, Kind, Span},
    within,
};
use remuda_wire::{
    decode, encode,
    message::work::{Call, Done, Op, Reply},
};

use crate::{agent::Agent, caught::caught, failures};

/// The longest call and the longest reply, in bytes.
const MAX_MESSAGE: usize = remuda_link::MAX_REPLY;
/// How long a caller may take to say what it wants.
const READ_LIMIT: Duration = Duration::from_secs(30);
/// The longest deadline.
const MAX_DEADLINE: Duration = Duration::from_hours(24);

/// Answers one call. When the caller resets the stream, its request is dropped.
pub(super) async fn serve(agent: Arc<Agent>, mut stream: Stream) {
    let read = within(READ_LIMIT, stream.read_to_end(MAX_MESSAGE)).await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(StreamError::TooLarge { .. })) => {
            stream.reset(code::REFUSED, "a call has at most 16 MiB");
            return;
        }
        // The caller has gone, or says nothing; dropping the stream resets it.
        Ok(Err(_)) | Err(_) => return,
    };
    let reply = tokio::select! {
        biased;
        reply = answer(&agent, &bytes) => reply,
        gone = stream.stopped() => {
            tracing::debug!(%gone, "a call was cancelled");
            return;
        }
    };
    let mut encoded = encode(&reply);
    if encoded.len() > MAX_MESSAGE {
        let failure = Failure::failed("the answer is longer than 16 MiB").code("reply_too_large");
        encoded = encode(&Reply::Err(failure));
    }
    // The caller may have gone.
    drop(stream.finish_with(encoded).await);
}

async fn answer(agent: &Agent, bytes: &[u8]) -> Reply {
    let Call { epoch, deadline_ms, op } = decode(bytes).map_err(|error| {
        Failure::invalid(format!("the call cannot be read: {error}"))
            .hint("the control node may run a newer version than this worker")
    })?;
    let deadline = Duration::from_millis(deadline_ms).min(MAX_DEADLINE);
    // The deadline of a request is not reported by the handler, which may not look at it.
    let done = async {
        agent.gate.admit(epoch).await?;
        match span(agent, &op) {
            None => perform(agent, op, deadline).await,
            Some(span) => traced(span, Box::pin(perform(agent, op, deadline))).await,
        }
    };
    match within(deadline, done).await {
        Ok(reply) => reply,
        Err(_late) => Err(failures::timed_out("the call", deadline)),
    }
}

/// The span of a call that a job class answers, when somebody follows it.
fn span(agent: &Agent, op: &Op) -> Option<Span> {
    let context = trace::current()?;
    let (name, class, task) = match op {
        Op::Request { class, .. } => ("request", Some(class), None),
        Op::Start { class, task, .. } => ("start", Some(class), Some(task)),
        Op::Command { task, .. } => ("command", None, Some(task)),
        Op::Stop { task, .. } => ("stop", None, Some(task)),
        Op::Tasks | Op::Task { .. } | Op::Forget { .. } => return None,
    };
    let mut span = Span::child_of(context, name, Kind::Internal);
    span.note("remuda.node", &agent.node);
    class.inspect(|class| span.note("remuda.class", class));
    task.inspect(|task| span.note("remuda.task", task));
    Some(span)
}

async fn traced(mut span: Span, perform: impl Future<Output = Reply>) -> Reply {
    let reply = span.run(perform).await;
    if let Ok(Done::Refused(failure)) | Err(failure) = &reply {
        span.fail(failure);
    }
    reply
}

/// What is rarer than a request is boxed, so that the many requests do not carry its weight.
async fn perform(agent: &Agent, op: Op, deadline: Duration) -> Reply {
    let tasks = &agent.tasks;
    Ok(match op {
        Op::Request { class, payload } => {
            tasks.check_takes_requests()?;
            let handler = agent.classes.get(&class)?;
            let events = EventSink::new(class.clone(), agent.events.clone());
            let node = agent.node.clone();
            let context = RequestContext { node, class, deadline, events };
            let answered = caught(handler.request(context, payload)).await;
            payload_of(answered.unwrap_or_else(|panicked| Err(panicked.into_failure())))
        }
        Op::Start { class, task, spec, attached } => {
            tasks.check_takes_requests()?;
            let class = agent.classes.get(&class)?;
            let started = Box::pin(tasks.start(class, task, spec, attached)).await?;
            started.map_or_else(Done::Refused, Done::Started)
        }
        Op::Command { task, payload } => {
            tasks.check_takes_requests()?;
            payload_of(Box::pin(tasks.command(&task, payload)).await?)
        }
        Op::Stop { task, grace_ms } => {
            Box::pin(tasks.stop(task, Duration::from_millis(grace_ms))).await?;
            Done::Accepted
        }
        Op::Tasks => Done::Tasks(Box::pin(tasks.list()).await?),
        Op::Task { task } => Done::Task(Box::new(Box::pin(tasks.find(&task)).await?.record)),
        Op::Forget { task } => {
            Box::pin(tasks.forget(task)).await?;
            Done::Accepted
        }
    })
}

/// What a class says is never mistaken for a failure of the call, whatever its words are.
fn payload_of(answer: Result<Vec<u8>, Failure>) -> Done {
    answer.map_or_else(Done::Refused, Done::Payload)
}
