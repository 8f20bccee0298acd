//! The fan-out runs that this control node coordinates.

use std::collections::BTreeMap;

use remuda_model::{
    ErrorKind, Failure,
    run::{Outcome, RunState},
};
use remuda_runtime::metrics::{Counter, Page};

use crate::Control;

const STATES: [RunState; 5] = [
    RunState::Waiting,
    RunState::Running,
    RunState::Paused,
    RunState::Finished,
    RunState::Cancelled,
];
/// Why runs are refused; every other kind counts as the last.
const REASONS: [ErrorKind; 6] = [
    ErrorKind::Invalid,
    ErrorKind::Exists,
    ErrorKind::NotFound,
    ErrorKind::NoCapacity,
    ErrorKind::Unavailable,
    ErrorKind::Internal,
];

/// What is counted of runs.
#[derive(Debug)]
pub(crate) struct Runs {
    created: Counter,
    refused: [Counter; REASONS.len()],
    contacts: BTreeMap<Outcome, Counter>,
}

impl Runs {
    pub(super) fn new() -> Self {
        let contacts = Outcome::ALL.map(|outcome| (outcome, Counter::new())).into();
        Self { created: Counter::new(), refused: Default::default(), contacts }
    }

    /// Somebody wanted a run.
    pub(crate) fn asked<T>(&self, made: &Result<T, Failure>) {
        let Err(failure) = made else { return self.created.one() };
        let known = REASONS.iter().position(|reason| *reason == failure.kind);
        if let Some(counter) = self.refused.get(known.unwrap_or(REASONS.len() - 1)) {
            counter.one();
        }
    }

    /// A target has its record.
    pub(crate) fn settled(&self, outcome: Outcome) {
        if let Some(counter) = self.contacts.get(&outcome) {
            counter.one();
        }
    }

    fn write(&self, page: &mut Page) {
        page.counter("remuda_runs_created_total", "Fan-out runs that were created here.")
            .value(self.created.get());
        let mut family = page.counter(
            "remuda_runs_refused_total",
            "Fan-out runs that were refused here, by reason.",
        );
        for (reason, counter) in REASONS.iter().zip(&self.refused) {
            family = family.sample(&[("reason", reason.as_str())], counter.get());
        }
        let mut family = page.counter(
            "remuda_run_contacts_total",
            "Targets of runs coordinated here that have their record, by outcome.",
        );
        for (outcome, counter) in &self.contacts {
            family = family.sample(&[("outcome", outcome.as_str())], counter.get());
        }
    }
}

impl Control {
    pub(super) fn write_runs(&self, page: &mut Page) {
        let (mut by_state, mut in_flight, mut bytes) = (BTreeMap::new(), 0_u64, 0_u64);
        self.shared.runs.each(|view, length| {
            *by_state.entry(view.state.as_str()).or_insert(0_u64) += 1;
            in_flight += u64::from(view.in_flight);
            bytes += length;
        });
        let mut family = page.gauge("remuda_runs", "Fan-out runs that are kept here, by state.");
        for state in STATES.map(RunState::as_str) {
            let count = by_state.get(state).copied().unwrap_or_default();
            family = family.sample(&[("state", state)], count);
        }
        page.gauge(
            "remuda_run_contacts_in_flight",
            "Targets of runs coordinated here that are being contacted.",
        )
        .value(in_flight);
        page.gauge("remuda_run_records_bytes", "Records of runs on the disk of this node.")
            .value(bytes);
        self.shared.stats.runs.write(page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_contacts_are_counted_by_what_became_of_them() {
        let runs = Runs::new();
        runs.asked(&Ok(()));
        for kind in [ErrorKind::Exists, ErrorKind::Invalid, ErrorKind::Invalid] {
            runs.asked::<()>(&Err(Failure::new(kind, "no")));
        }
        runs.asked::<()>(&Err(Failure::new(ErrorKind::TimedOut, "odd")));
        for outcome in [Outcome::Ok, Outcome::Ok, Outcome::Blocked] {
            runs.settled(outcome);
        }
        let mut page = Page::new();
        runs.write(&mut page);
        let text = page.into_text();
        for line in [
            "remuda_runs_created_total 1",
            "remuda_runs_refused_total{reason=\"invalid\"} 2",
            "remuda_runs_refused_total{reason=\"exists\"} 1",
            "remuda_runs_refused_total{reason=\"no_capacity\"} 0",
            "remuda_runs_refused_total{reason=\"internal\"} 1",
            "remuda_run_contacts_total{outcome=\"ok\"} 2",
            "remuda_run_contacts_total{outcome=\"blocked\"} 1",
            "remuda_run_contacts_total{outcome=\"unknown\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
