//! Events as they happen, as server-sent events.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::{future::BoxFuture, stream};
use remuda_control::EventStream;
use remuda_model::{Event, Failure, NodeId};
use remuda_runtime::CancellationToken;
use remuda_wire::message::control::Subscribe;
use tokio::sync::mpsc;

use crate::{
    access::Caller,
    answer::Answer,
    api::Api,
    described,
    dto::{EventQuery, StreamGap},
    extract::Params,
};

/// Events that wait for a consumer before it is dropped.
const MAX_WAITING: usize = 256;
/// Bytes that wait for a consumer before it is dropped.
const MAX_WAITING_BYTES: usize = 8 * 1024 * 1024;
/// A comment is sent after so much silence.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Events as they happen
///
/// Each has the id `NODE:SEQ`. With `Last-Event-ID` the stream goes on after that event of that
/// node; events of other nodes in between are lost, which a `gap` says. A consumer that does not
/// keep up gets a last `gap` and is dropped.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(EventQuery, ("Last-Event-ID" = Option<String>, Header, description = "`NODE:SEQ`")),
    responses((status = 200, content_type = "text/event-stream", body = described::Event,
        description = "Data of events named `event`; those named `gap` have a `StreamGap`.")))]
pub(crate) async fn follow_events(
    State(api): State<Api>,
    caller: Caller,
    Params(query): Params<EventQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let last_id = last_event_id(&headers)?;
    let source = Source::open(&api, &query, last_id).await?;
    let (sender, receiver) = mpsc::channel(MAX_WAITING + 1);
    let waiting = Arc::new(AtomicUsize::new(0));
    let consumer = Consumer::new(sender, waiting.clone())?;
    api.supervisor().spawn("events", consumer.follow(source, caller.ended(&api), api.stopping()));
    let events = stream::unfold((receiver, waiting), |(mut receiver, waiting)| async move {
        let queued: Queued = receiver.recv().await?;
        waiting.fetch_sub(queued.bytes(), Ordering::Relaxed);
        Some((Ok::<_, Infallible>(queued.into_sse()), (receiver, waiting)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// Reads `Last-Event-ID`.
fn last_event_id(headers: &HeaderMap) -> Result<Option<(NodeId, u64)>, Failure> {
    let Some(value) = headers.get(HeaderName::from_static("last-event-id")) else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(|text| {
        let (node, seq) = text.rsplit_once(':')?;
        Some((node.parse().ok()?, seq.parse().ok()?))
    });
    parsed.map(Some).ok_or_else(|| {
        Failure::invalid("header Last-Event-ID: expected NODE:SEQ")
            .hint("leave it out to start anew")
    })
}

/// Where the events of one consumer come from.
struct Source {
    live: EventStream,
    /// The node of the `Last-Event-ID` and its events from there on, when the consumer listens to
    /// other nodes too: only one node can be asked to repeat.
    resumed: Option<(NodeId, EventStream)>,
}

impl Source {
    async fn open(
        api: &Api,
        query: &EventQuery,
        last_id: Option<(NodeId, u64)>,
    ) -> Result<Self, Failure> {
        if query.after.is_some() && query.node.is_none() {
            return Err(Failure::invalid("query: after: expected `node` with it")
                .hint("numbers of events count for one node each"));
        }
        let mut live = Subscribe {
            node: query.node.clone(),
            class: query.class.clone(),
            task: query.task.clone(),
            after: query.after,
            whole_cluster: true,
        };
        let mut resumed = None;
        match (last_id, &query.node) {
            (Some((last_node, seq)), Some(node)) if last_node == *node => {
                live.after = Some(query.after.map_or(seq, |after| after.max(seq)));
            }
            (Some((last_node, seq)), None) => {
                let one =
                    Subscribe { node: Some(last_node.clone()), after: Some(seq), ..live.clone() };
                resumed = Some((last_node, api.control().events(one).await?));
            }
            (Some(_) | None, _) => {}
        }
        Ok(Self { live: api.control().events(live).await?, resumed })
    }

    /// The next event, or `None` when the cluster gives no more.
    async fn next(&mut self) -> Option<Event> {
        let Some((node, resumed)) = &mut self.resumed else { return self.live.next().await };
        loop {
            tokio::select! {
                event = resumed.next() => return event,
                event = self.live.next() => match event {
                    Some(event) if event.node == *node => {}
                    event => return event,
                },
            }
        }
    }
}

/// Something that waits for a consumer.
enum Queued {
    Event { id: String, json: String },
    Gap { json: String },
}

impl Queued {
    fn event(event: &Event) -> Self {
        Self::Event {
            id: format!("{}:{}", event.node, event.seq),
            json: serde_json::to_string(event).expect("events are plain data"),
        }
    }

    fn gap(reason: &str, message: &str) -> Self {
        let gap = StreamGap { reason: reason.to_owned(), message: message.to_owned() };
        Self::Gap { json: serde_json::to_string(&gap).expect("gaps are plain data") }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Event { id, json } => id.len() + json.len(),
            Self::Gap { json } => json.len(),
        }
    }

    fn into_sse(self) -> sse::Event {
        match self {
            Self::Event { id, json } => sse::Event::default().event("event").id(id).data(json),
            Self::Gap { json } => sse::Event::default().event("gap").data(json),
        }
    }
}

/// The near end of a consumer's queue.
struct Consumer {
    queue: mpsc::Sender<Queued>,
    /// Bytes in the queue.
    waiting: Arc<AtomicUsize>,
    /// Room that is kept for the last message.
    last: mpsc::OwnedPermit<Queued>,
}

impl Consumer {
    fn new(queue: mpsc::Sender<Queued>, waiting: Arc<AtomicUsize>) -> Result<Self, Failure> {
        let last = queue.clone().try_reserve_owned().map_err(|error| Failure::internal(&error))?;
        Ok(Self { queue, waiting, last })
    }

    /// Whether there was room.
    fn offer(&self, message: Queued) -> bool {
        let bytes = message.bytes();
        if self.waiting.load(Ordering::Relaxed) + bytes > MAX_WAITING_BYTES {
            return false;
        }
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
        self.queue.try_send(message).is_ok()
    }

    /// Sends the last message and drops the consumer.
    fn end(self, reason: &str, message: &str) {
        let message = Queued::gap(reason, message);
        self.waiting.fetch_add(message.bytes(), Ordering::Relaxed);
        self.last.send(message);
    }

    async fn follow(
        self,
        mut source: Source,
        mut token_ended: BoxFuture<'static, ()>,
        stopping: CancellationToken,
    ) {
        let told = source.resumed.is_none()
            || self.offer(Queued::gap(
                "resumed",
                "events of other nodes than that of Last-Event-ID may be missing",
            ));
        debug_assert!(told, "a fresh queue has room");
        loop {
            let event = tokio::select! {
                // What comes after the token has ended is not for its bearer, however soon.
                biased;
                () = &mut token_ended => {
                    return self.end("token_ended", "the token was revoked or has expired");
                }
                () = self.queue.closed() => return,
                event = source.next() => event,
                () = stopping.cancelled() => {
                    return self.end("interrupted", "the control node shuts down");
                }
            };
            let Some(event) = event else {
                return self.end("interrupted", "the cluster ended the stream");
            };
            if !self.offer(Queued::event(&event)) {
                return self.end("slow_consumer", "events came faster than they were taken");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use remuda_model::{EventBody, Generation, NodeStatus};

    use super::*;

    fn event(seq: u64) -> Event {
        Event {
            node: "w1".parse().expect("valid"),
            seq,
            generation: Generation(1),
            time_ms: 0,
            body: EventBody::NodeStatus { status: NodeStatus::Ready },
        }
    }

    #[test]
    fn the_last_event_id_names_node_and_number() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("last-event-id", text.parse().expect("header"));
            last_event_id(&headers)
        };
        assert_eq!(read("w1:7"), Ok(Some(("w1".parse().expect("valid"), 7))));
        assert_eq!(last_event_id(&HeaderMap::new()), Ok(None));
        for bad in ["", "w1", "w1:", ":7", "W1:7", "w1:-7", "7"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_consumer_that_does_not_keep_up_is_told_so_at_the_end() {
        let (sender, mut receiver) = mpsc::channel(MAX_WAITING + 1);
        let consumer = Consumer::new(sender, Arc::default()).expect("room");
        let fits = (0..1000).take_while(|seq| consumer.offer(Queued::event(&event(*seq)))).count();
        assert_eq!(fits, MAX_WAITING);
        consumer.end("slow_consumer", "too slow");
        let mut received = Vec::new();
        while let Some(message) = receiver.recv().await {
            received.push(matches!(message, Queued::Gap { .. }));
        }
        assert_eq!(received.len(), MAX_WAITING + 1);
        assert_eq!(received.iter().position(|gap| *gap), Some(MAX_WAITING));
    }

    #[test]
    fn large_events_fill_the_queue_sooner() {
        let (sender, _receiver) = mpsc::channel(MAX_WAITING + 1);
        let consumer = Consumer::new(sender, Arc::default()).expect("room");
        let large = || Queued::Event { id: String::new(), json: "x".repeat(3 << 20) };
        assert!(consumer.offer(large()));
        assert!(consumer.offer(large()));
        assert!(!consumer.offer(large()));
    }
}
