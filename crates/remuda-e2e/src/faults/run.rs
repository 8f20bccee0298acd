//! Runs faults one after the other and reports.

use std::{any::Any, path::PathBuf, thread};

use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::{Field, Round, Scenario, long};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which faults.
    pub scenarios: Vec<Scenario>,
    /// How often each.
    pub rounds: u32,
    /// What all chance derives from.
    pub seed: u64,
    /// After the faults, how many operations of clients are recorded under a mix of them; 0 for none.
    pub operations: u64,
    /// Where what shows a failure is written.
    pub evidence: PathBuf,
}

/// What came of one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its name.
    pub name: &'static str,
    /// The seed of the first round; each further one has the next number.
    pub seed: u64,
    /// The rounds that kept all promises.
    pub rounds: Vec<Round>,
    /// Why the last one did not.
    pub failure: Option<String>,
}

/// Runs all of it; `say` hears of each fault as it is done. A fault that breaks a promise is not
/// repeated, and the next one begins with a fresh cluster. Must be called in a
/// [private network](crate::in_private_network).
///
/// # Panics
///
/// When there is no runtime.
pub fn run(options: &Options, mut say: impl FnMut(&Report)) -> Vec<Report> {
    let mut reports = Vec::new();
    let mut field = None;
    for scenario in &options.scenarios {
        let mut report = Report::new(scenario.name, options.seed);
        for round in 0..options.rounds {
            let seed = options.seed.wrapping_add(u64::from(round));
            let reused: Option<Field> = field.take();
            let trial = async move || {
                let mut field = match reused {
                    Some(field) if field.world() == scenario.world => field,
                    other => {
                        drop(other);
                        Field::build(scenario.world, seed, options.evidence.clone()).await
                    }
                };
                let round = Box::pin(field.round(scenario, seed)).await;
                (field, round)
            };
            match caught(trial) {
                Ok((kept, round)) => {
                    field = Some(kept);
                    report.rounds.push(round);
                }
                Err(words) => {
                    report.failure = Some(format!("seed {seed}: {words}"));
                    break;
                }
            }
        }
        say(&report);
        reports.push(report);
    }
    drop(field);
    if options.operations > 0 {
        let mut report = Report::new(long::NAME, options.seed);
        let (operations, seed) = (options.operations, options.seed);
        match caught(async || long::record(operations, seed, options.evidence.clone()).await) {
            Ok(round) => report.rounds.push(round),
            Err(words) => report.failure = Some(format!("seed {seed}: {words}")),
        }
        say(&report);
        reports.push(report);
    }
    reports
}

/// Does something on a thread of its own, and returns what it panicked with if it did.
fn caught<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> Result<T, String> {
    let runtime = Handle::current();
    let ended = thread::scope(|scope| scope.spawn(move || runtime.block_on(work())).join());
    ended.map_err(words)
}

/// What a thread panicked with.
fn words(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic
            .downcast_ref::<&str>()
            .map_or_else(|| "it panicked without words".to_owned(), |text| (*text).to_owned()),
    }
}

impl Report {
    fn new(name: &'static str, seed: u64) -> Self {
        Self { name, seed, rounds: Vec::new(), failure: None }
    }

    /// Whether all promises were kept.
    pub fn passed(&self) -> bool {
        self.failure.is_none()
    }

    fn sum(&self, part: impl Fn(&Round) -> u64) -> u64 {
        self.rounds.iter().map(part).sum()
    }

    /// The middle and the greatest of something.
    fn spread(&self, part: impl Fn(&Round) -> u64) -> (u64, u64) {
        let mut all: Vec<u64> = self.rounds.iter().map(part).collect();
        all.sort_unstable();
        (all.get(all.len() / 2).copied().unwrap_or(0), all.last().copied().unwrap_or(0))
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let (outage, worst_outage) = self.spread(|round| round.outage_ms);
        let (ready, worst_ready) = self.spread(|round| round.ready_ms);
        let (verdict, lost) = if self.passed() { ("ok  ", "0") } else { ("FAIL", "?") };
        format!(
            "{verdict} {:<17} rounds={} seed={} acked={} unknown={} refused={} checked={} \
             requests={}+{}? \
             events={}-{} lost={lost} outage={outage}/{worst_outage}ms ready={ready}/{worst_ready}ms",
            self.name,
            self.rounds.len(),
            self.seed,
            self.sum(|round| round.acked),
            self.sum(|round| round.unknown),
            self.sum(|round| round.refused),
            self.sum(|round| round.checked),
            self.sum(|round| round.answered),
            self.sum(|round| round.requests_unknown),
            self.sum(|round| round.events),
            self.sum(|round| round.events_missing),
        )
    }

    /// All of it for machines.
    pub fn json(&self) -> Value {
        let rounds: Vec<Value> = self
            .rounds
            .iter()
            .map(|round| {
                json!({
                    "faults": round.faults, "acked": round.acked, "unknown": round.unknown,
                    "refused": round.refused, "checked": round.checked,
                    "requests_answered": round.answered,
                    "requests_unknown": round.requests_unknown,
                    "events": round.events, "events_missing": round.events_missing,
                    "outage_ms": round.outage_ms, "ready_ms": round.ready_ms,
                })
            })
            .collect();
        json!({
            "name": self.name, "seed": self.seed, "passed": self.passed(),
            "failure": self.failure, "rounds": rounds,
        })
    }
}
