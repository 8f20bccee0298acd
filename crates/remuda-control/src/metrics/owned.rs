//! The workers that this control node owns: sessions, moves, and what they report.

use std::collections::BTreeMap;

use remuda_model::{ClassName, Event, EventBody, NodeStatus, TaskEnd};
use remuda_runtime::metrics::{Counter, Page};

use super::Classes;
use crate::{Control, proxies::Place};

/// In the order of [`reason`].
const REASONS: [&str; 7] =
    ["finished", "exited_zero", "exited_other", "stopped", "timed_out", "failed", "lost"];

#[derive(Debug, Default)]
struct Tasks {
    started: Counter,
    ended: [Counter; REASONS.len()],
}

/// What is counted of the workers that this node owns.
#[derive(Debug)]
pub(crate) struct Owned {
    classes: Classes,
    tasks: Vec<Tasks>,
    pub sessions: Counter,
    pub sessions_lost: Counter,
    pub moves: Counter,
    events: Counter,
    gaps: Counter,
    missing: Counter,
}

impl Owned {
    pub(super) fn new<'a>(classes: impl Iterator<Item = &'a ClassName>) -> Self {
        let classes = Classes::new(classes);
        let tasks = (0..classes.len()).map(|_| Tasks::default()).collect();
        Self {
            classes,
            tasks,
            sessions: Counter::new(),
            sessions_lost: Counter::new(),
            moves: Counter::new(),
            events: Counter::new(),
            gaps: Counter::new(),
            missing: Counter::new(),
        }
    }

    /// A worker reports something for the first time.
    pub(crate) fn reported(&self, event: &Event) {
        self.events.one();
        let tasks = |class| self.tasks.get(self.classes.index(class));
        match &event.body {
            EventBody::TaskStarted { class, .. } => {
                if let Some(tasks) = tasks(class) {
                    tasks.started.one();
                }
            }
            EventBody::TaskEnded { class, end, .. } => {
                if let Some(counter) = tasks(class).and_then(|tasks| tasks.ended.get(reason(end))) {
                    counter.one();
                }
            }
            EventBody::Gap { from, to } => {
                self.gaps.one();
                self.missing.add(to.saturating_sub(*from).saturating_add(1));
            }
            EventBody::NodeStatus { .. } | EventBody::Class { .. } => (),
        }
    }

    fn write(&self, page: &mut Page) {
        let counter = |page: &mut Page, name, help, counter: &Counter| {
            page.counter(name, help).value(counter.get());
        };
        counter(
            page,
            "remuda_worker_sessions_total",
            "Sessions that workers have opened here; each but a worker's first is a reconnect.",
            &self.sessions,
        );
        counter(
            page,
            "remuda_worker_sessions_lost_total",
            "Sessions that ended without the worker having been told to move.",
            &self.sessions_lost,
        );
        counter(
            page,
            "remuda_worker_moves_total",
            "Workers that were told to go to another owner.",
            &self.moves,
        );
        let mut family =
            page.counter("remuda_tasks_started_total", "Tasks that owned workers have started.");
        for (class, tasks) in self.classes.labels().zip(&self.tasks) {
            family = family.sample(&[("class", class)], tasks.started.get());
        }
        let mut family =
            page.counter("remuda_tasks_ended_total", "Tasks of owned workers that have ended.");
        for (class, tasks) in self.classes.labels().zip(&self.tasks) {
            for (reason, counter) in REASONS.iter().zip(&tasks.ended) {
                family = family.counted(&[("class", class), ("reason", reason)], counter);
            }
        }
        counter(
            page,
            "remuda_events_received_total",
            "Events of owned workers, each counted once.",
            &self.events,
        );
        counter(
            page,
            "remuda_event_gaps_total",
            "Times that owned workers had to say that events are missing.",
            &self.gaps,
        );
        counter(
            page,
            "remuda_events_missing_total",
            "Events that owned workers have lost for want of room.",
            &self.missing,
        );
    }
}

impl Control {
    pub(super) fn write_owned(&self, page: &mut Page) {
        let mut by_status: BTreeMap<NodeStatus, usize> = BTreeMap::new();
        let (mut owned, mut connected, mut running) = (0, 0, 0_u64);
        for (_, proxy) in self.shared.proxies.all() {
            if !matches!(proxy.place(), Place::Mine(_)) {
                continue;
            }
            owned += 1;
            connected += usize::from(proxy.live().is_some());
            if let Some(view) = proxy.view() {
                *by_status.entry(view.status).or_default() += 1;
                running += u64::from(view.running_tasks);
            }
        }
        page.gauge("remuda_workers_owned", "Workers that belong to this node and were seen here.")
            .value(owned);
        page.gauge("remuda_workers_connected", "Owned workers that can be called now.")
            .value(connected);
        let mut family = page.gauge("remuda_workers", "Owned workers by status.");
        for (status, count) in by_status {
            family = family.sample(&[("status", status.as_str())], count);
        }
        page.gauge("remuda_tasks_running", "Tasks that run on owned workers.").value(running);
        self.shared.stats.owned.write(page);
    }
}

fn reason(end: &TaskEnd) -> usize {
    match end {
        TaskEnd::Finished { .. } => 0,
        TaskEnd::Exited { timed_out: true, .. } => 4,
        TaskEnd::Exited { stopped: true, .. } | TaskEnd::Stopped => 3,
        TaskEnd::Exited { status, .. } => {
            if status.success() {
                1
            } else {
                2
            }
        }
        TaskEnd::Failed { .. } => 5,
        TaskEnd::Lost { .. } => 6,
    }
}

#[cfg(test)]
mod tests {
    use remuda_model::{ExitStatus, Generation};

    use super::*;

    #[test]
    fn events_are_counted_by_what_they_say() {
        let exec: ClassName = "exec".parse().expect("a class");
        let owned = Owned::new([&exec].into_iter());
        let task = || "t1".parse().expect("a task");
        let exited = |code, stopped, timed_out| EventBody::TaskEnded {
            class: exec.clone(),
            task: task(),
            end: TaskEnd::Exited { status: ExitStatus::Code(code), stopped, timed_out },
        };
        let started = EventBody::TaskStarted { class: exec.clone(), task: task() };
        let bodies = [
            started,
            exited(0, false, false),
            exited(3, false, false),
            exited(0, true, false),
            exited(0, true, true),
            EventBody::Gap { from: 7, to: 9 },
        ];
        for (seq, body) in (1..).zip(bodies) {
            let node = "w1".parse().expect("a node");
            owned.reported(&Event { node, seq, generation: Generation(1), time_ms: 0, body });
        }
        let mut page = Page::new();
        owned.write(&mut page);
        let text = page.into_text();
        for line in [
            "remuda_tasks_started_total{class=\"exec\"} 1",
            "remuda_tasks_ended_total{class=\"exec\",reason=\"exited_zero\"} 1",
            "remuda_tasks_ended_total{class=\"exec\",reason=\"exited_other\"} 1",
            "remuda_tasks_ended_total{class=\"exec\",reason=\"stopped\"} 1",
            "remuda_tasks_ended_total{class=\"exec\",reason=\"timed_out\"} 1",
            "remuda_events_received_total 6",
            "remuda_event_gaps_total 1",
            "remuda_events_missing_total 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
