//! Spans: what this process did for a piece of work, wherever that work began.
//!
//! Work that nobody traces has no context: then no span is made, and looking for the context is one
//! look at a variable of the task. A link passes the context of whoever calls on to the other side.
//! Log lines within a span carry the trace's id, whether its spans are exported or not.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use remuda_model::TraceContext;
use tokio::sync::mpsc;
use tracing::Instrument as _;

/// How many finished spans may wait for their exporter; later ones are counted and dropped.
const WAITING: usize = 4096;

tokio::task_local! {
    static CURRENT: TraceContext;
}

static COLLECTOR: OnceLock<Collector> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

struct Collector {
    finished: mpsc::Sender<Finished>,
    /// Of the work that begins here, the part that is traced.
    ratio: f64,
}

/// Which side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It answers somebody.
    Server,
    /// It is a part of such an answer.
    Internal,
}

/// A span that is over.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its trace and its id.
    pub context: TraceContext,
    /// The span that asked for it.
    pub parent: Option<[u8; 8]>,
    /// What was done.
    pub name: String,
    /// Which side it is.
    pub kind: Kind,
    /// When it began, by the wall clock.
    pub start: SystemTime,
    /// When it ended, by the wall clock.
    pub end: SystemTime,
    /// What else is known of it.
    pub facts: Vec<(&'static str, String)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// The context of the work that runs here, if it is traced.
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(|context| *context).ok()
}

/// Does work that belongs to a trace, without a span of its own.
///
/// # Cancel safety
///
/// As the work.
pub async fn within<T>(context: TraceContext, work: impl Future<Output = T>) -> T {
    CURRENT.scope(context, work).await
}

/// Takes the trace of the work that runs here along, for a task of its own.
pub fn carried<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let context = current();
    async move {
        match context {
            Some(context) => within(context, work).await,
            None => work.await,
        }
    }
}

/// A context for work that begins here, for the part of it that is to be traced: nothing without a
/// collector.
pub fn begin() -> Option<TraceContext> {
    let collector = COLLECTOR.get()?;
    (fastrand::f64() < collector.ratio).then(|| TraceContext::root(true))
}

/// Collects the finished spans of this process from now on, and begins a trace for this part of the
/// work (0 to 1) that comes without one. There is one collector for each process, as for its log
/// lines: `None` when there is one already.
pub fn collect(ratio: f64) -> Option<mpsc::Receiver<Finished>> {
    let (finished, receiver) = mpsc::channel(WAITING);
    COLLECTOR.set(Collector { finished, ratio }).is_ok().then_some(receiver)
}

/// How many spans were dropped because their exporter was too slow.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Something that is being done. It ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    context: TraceContext,
    parent: Option<[u8; 8]>,
    name: String,
    kind: Kind,
    start: SystemTime,
    facts: Vec<(&'static str, String)>,
    error: Option<String>,
    /// Puts the id of the trace on log lines.
    log: tracing::Span,
}

impl Span {
    /// Starts a span of work that `parent` asked for.
    pub fn child_of(parent: TraceContext, name: impl Into<String>, kind: Kind) -> Self {
        Self::new(parent.child(), Some(parent.span), name.into(), kind)
    }

    /// Starts the first span of a trace.
    pub fn root(context: TraceContext, name: impl Into<String>, kind: Kind) -> Self {
        Self::new(context, None, name.into(), kind)
    }

    fn new(context: TraceContext, parent: Option<[u8; 8]>, name: String, kind: Kind) -> Self {
        // Of the highest level, so that no filter takes the id from a line that it lets pass.
        let log = tracing::error_span!("trace", trace_id = %context.trace_id());
        let start = SystemTime::now();
        Self { context, parent, name, kind, start, facts: Vec::new(), error: None, log }
    }

    /// What this span passes on.
    pub fn context(&self) -> TraceContext {
        self.context
    }

    /// Notes something about it.
    pub fn note(&mut self, key: &'static str, value: &(impl ToString + ?Sized)) {
        self.facts.push((key, value.to_string()));
    }

    /// Notes that it failed.
    pub fn fail(&mut self, error: &(impl ToString + ?Sized)) {
        self.error = Some(error.to_string());
    }

    /// Does the work, or a part of it.
    ///
    /// # Cancel safety
    ///
    /// As the work.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        within(self.context, work).instrument(self.log.clone()).await
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if !self.context.is_sampled() {
            return;
        }
        let Some(collector) = COLLECTOR.get() else { return };
        let finished = Finished {
            context: self.context,
            parent: self.parent,
            name: std::mem::take(&mut self.name),
            kind: self.kind,
            start: self.start,
            end: SystemTime::now(),
            facts: std::mem::take(&mut self.facts),
            error: self.error.take(),
        };
        if collector.finished.try_send(finished).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, because there is one collector.
    #[tokio::test]
    async fn spans_know_their_parents_and_never_wait() {
        assert_eq!((current(), begin()), (None, None), "nothing is traced by itself");
        let mut finished = collect(1.0).expect("the first collector");
        assert!(collect(1.0).is_none());
        let mut outer = Span::root(begin().expect("all of it"), "outer", Kind::Server);
        outer.note("answer", &42);
        let context = outer.context();
        let seen = outer
            .run(async {
                let inner = Span::child_of(current().expect("inside"), "inner", Kind::Internal);
                let spawn = || tokio::spawn(carried(async { current() }));
                let elsewhere =
                    inner.run(std::future::poll_fn(|_| std::task::Poll::Ready(spawn())));
                elsewhere.await.await.expect("no panic").expect("carried along")
            })
            .await;
        assert_eq!(current(), None);
        outer.fail("no reason");
        drop(outer);
        let (inner, outer) =
            (finished.try_recv().expect("first"), finished.try_recv().expect("last"));
        assert_eq!((inner.context, inner.parent), (seen, Some(context.span)));
        assert_eq!((outer.context, outer.parent), (context, None));
        assert_eq!(inner.context.trace, outer.context.trace);
        assert_eq!(outer.facts, [("answer", "42".to_owned())]);
        assert_eq!(outer.error.as_deref(), Some("no reason"));
        assert!(outer.start <= inner.start && inner.end <= outer.end);

        // What is not sampled leaves nothing, and a full queue only counts.
        drop(Span::root(TraceContext::root(false), "quiet", Kind::Server));
        assert!(finished.try_recv().is_err());
        for _ in 0..WAITING + 7 {
            drop(Span::root(TraceContext::root(true), "loud", Kind::Server));
        }
        assert_eq!(dropped(), 7);
    }
}
