//! Calls to workers that were asked of this control node, by the API, links or the program.

use std::time::Instant;

use remuda_model::{ClassName, ErrorKind};
use remuda_runtime::metrics::{Counter, Family, Latency, Page};
use remuda_wire::message::work;

use super::Classes;

/// Calls that concern no class, or one that only the worker knows.
const PLAIN: [&str; 5] = ["command", "stop", "tasks", "task", "forget"];
/// In the order of [`outcome`].
const OUTCOMES: [&str; 5] = ["ok", "refused", "failed", "unknown", "cancelled"];

/// The calls of one kind.
#[derive(Debug, Default)]
struct Calls {
    outcomes: [Counter; OUTCOMES.len()],
    latency: Latency,
}

/// All calls.
#[derive(Debug)]
pub(crate) struct Requests {
    classes: Classes,
    /// Requests by class, then starts by class, then the others.
    calls: Vec<Calls>,
}

/// A call that has begun; dropped without an end it was cancelled.
#[derive(Debug)]
pub(crate) struct Begun<'a> {
    calls: &'a Calls,
    since: Instant,
    outcome: usize,
}

impl Requests {
    pub(super) fn new<'a>(classes: impl Iterator<Item = &'a ClassName>) -> Self {
        let classes = Classes::new(classes);
        let kinds = 2 * classes.len() + PLAIN.len();
        Self { classes, calls: (0..kinds).map(|_| Calls::default()).collect() }
    }

    /// A call begins.
    pub(crate) fn begin(&self, op: &work::Op) -> Begun<'_> {
        let n_classes = self.classes.len();
        let at = match op {
            work::Op::Request { class, .. } => self.classes.index(class),
            work::Op::Start { class, .. } => n_classes + self.classes.index(class),
            work::Op::Command { .. } => 2 * n_classes,
            work::Op::Stop { .. } => 2 * n_classes + 1,
            work::Op::Tasks => 2 * n_classes + 2,
            work::Op::Task { .. } => 2 * n_classes + 3,
            work::Op::Forget { .. } => 2 * n_classes + 4,
        };
        let calls = self.calls.get(at).expect("there is one for each kind");
        Begun { calls, since: Instant::now(), outcome: OUTCOMES.len() - 1 }
    }

    pub(super) fn write(&self, page: &mut Page) {
        let family = page.counter(
            "remuda_requests_total",
            "Calls to workers asked of this node, by kind, class and outcome.",
        );
        self.each(family, |mut family, op, class, calls| {
            for (outcome, counter) in OUTCOMES.iter().zip(&calls.outcomes) {
                let labels = [("op", op), ("class", class), ("outcome", outcome)];
                family = family.counted(&labels, counter);
            }
            family
        });
        let family = page.histogram(
            "remuda_request_seconds",
            "How long calls to workers took, by kind and class; those that failed included.",
        );
        self.each(family, |family, op, class, calls| {
            if calls.latency.is_empty() {
                return family;
            }
            family.latency(&[("op", op), ("class", class)], &calls.latency)
        });
    }

    fn each<'a>(
        &self,
        mut family: Family<'a>,
        write: impl Fn(Family<'a>, &str, &str, &Calls) -> Family<'a>,
    ) {
        let by_class = ["request", "start"].into_iter();
        let by_class = by_class.flat_map(|op| self.classes.labels().map(move |class| (op, class)));
        let kinds = by_class.chain(PLAIN.iter().map(|op| (*op, "")));
        for ((op, class), calls) in kinds.zip(&self.calls) {
            family = write(family, op, class, calls);
        }
    }
}

impl Begun<'_> {
    /// The call has ended with this reply.
    pub(crate) fn ended(mut self, reply: &work::Reply) {
        self.outcome = outcome(reply);
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.calls.latency.took(self.since.elapsed());
        if let Some(counter) = self.calls.outcomes.get(self.outcome) {
            counter.one();
        }
    }
}

fn outcome(reply: &work::Reply) -> usize {
    match reply {
        Ok(work::Done::Refused(_)) => 1,
        Ok(_) => 0,
        Err(failure) => match failure.kind {
            ErrorKind::OutcomeUnknown | ErrorKind::TimedOut => 3,
            _ => 2,
        },
    }
}

#[cfg(test)]
mod tests {
    use remuda_model::Failure;

    use super::*;

    #[test]
    fn calls_are_counted_by_kind_class_and_outcome() {
        let exec: ClassName = "exec".parse().expect("a class");
        let requests = Requests::new([&exec].into_iter());
        let request = |class: &str| work::Op::Request {
            class: class.parse().expect("a class"),
            payload: Vec::new(),
        };
        requests.begin(&request("exec")).ended(&Ok(work::Done::Accepted));
        requests.begin(&request("madeup")).ended(&Err(Failure::invalid("no")));
        requests.begin(&request("node")).ended(&Ok(work::Done::Refused(Failure::invalid("no"))));
        drop(requests.begin(&work::Op::Tasks));
        let lost = Failure::new(ErrorKind::OutcomeUnknown, "lost");
        let forget = work::Op::Forget { task: "t1".parse().expect("a task") };
        requests.begin(&forget).ended(&Err(lost));
        let mut page = Page::new();
        requests.write(&mut page);
        let text = page.into_text();
        for labels in [
            "op=\"request\",class=\"exec\",outcome=\"ok\"",
            "op=\"request\",class=\"other\",outcome=\"failed\"",
            "op=\"request\",class=\"node\",outcome=\"refused\"",
            "op=\"tasks\",class=\"\",outcome=\"cancelled\"",
            "op=\"forget\",class=\"\",outcome=\"unknown\"",
        ] {
            let line = format!("remuda_requests_total{{{labels}}} 1");
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("madeup"), "{text}");
    }
}
