//! What a measurement says: lines for people, and with `--json` one document for programs.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{load::Sample, options::Options, proc};

/// Gathers what was measured.
#[derive(Debug)]
pub(crate) struct Report {
    name: &'static str,
    json: bool,
    quick: bool,
    load: String,
    rows: Vec<Value>,
}

/// The runs of one side.
#[derive(Debug, Default)]
pub(crate) struct Series {
    /// Who, with the version where it is not remuda.
    pub(crate) name: String,
    pub(crate) samples: Vec<Sample>,
}

impl Series {
    /// No runs yet.
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), samples: Vec::new() }
    }

    /// The run in the middle, by rate.
    fn median(&self) -> Result<&Sample> {
        let mut sorted: Vec<_> = self.samples.iter().collect();
        sorted.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        sorted.get(sorted.len() / 2).copied().with_context(|| format!("no run of {}", self.name))
    }

    fn errors(&self) -> u64 {
        self.samples.iter().map(|sample| sample.errors).sum()
    }

    fn range(&self) -> (f64, f64) {
        let rates = self.samples.iter().map(|sample| sample.rate);
        rates.fold((f64::INFINITY, 0.0), |(low, high), rate| (low.min(rate), high.max(rate)))
    }

    fn to_json(&self) -> Result<Value> {
        let Sample { callers, rate, p50, p99, p999, .. } = self.median()?;
        let (low, high) = self.range();
        Ok(json!({
            "name": self.name, "callers": callers, "runs": self.samples.len(), "rate": rate,
            "min": low, "max": high, "p50_us": micros(*p50), "p99_us": micros(*p99),
            "p999_us": micros(*p999), "errors": self.errors(),
        }))
    }
}

fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

impl Report {
    /// Begins, and says under what load.
    pub(crate) fn new(name: &'static str, options: &Options) -> Self {
        let (json, quick) = (options.has("--json"), options.is_quick());
        let report = Self { name, json, quick, load: proc::load(), rows: Vec::new() };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        report.say(&format!("# {name}: {cores} cores, load before: {}", report.load));
        if quick {
            report.say("a quick run: it shows that everything works, and its figures mean nothing");
        }
        report
    }

    /// A line for people.
    pub(crate) fn say(&self, line: &str) {
        // Whoever does not listen misses a line; that is no reason to stop measuring.
        let _heard = if self.json {
            writeln!(io::stderr(), "{line}")
        } else {
            writeln!(io::stdout(), "{line}")
        };
    }

    /// One value, as often as it was measured; the median counts.
    pub(crate) fn fact(&mut self, what: &str, unit: &str, values: &[f64]) {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let Some(median) = sorted.get(sorted.len() / 2) else { return };
        let (low, high) = (sorted[0], sorted[sorted.len() - 1]);
        let mut line = format!("{what}: {} {unit}", short(*median));
        if values.len() > 1 {
            let runs = values.len();
            // Nothing fails in a String.
            let _written = write!(line, "; {runs} runs, {}–{}", short(low), short(high));
        }
        self.say(&line);
        self.rows.push(json!({
            "what": what, "unit": unit, "runs": values.len(), "median": median, "min": low,
            "max": high,
        }));
    }

    /// Spans of time: half of them, and 99 of 100, were at most so long.
    pub(crate) fn spans(&mut self, what: &str, spans: &[Duration]) {
        let mut ms: Vec<f64> = spans.iter().map(|span| span.as_secs_f64() * 1e3).collect();
        ms.sort_by(f64::total_cmp);
        let at = |percent: usize| ms[(ms.len() * percent / 100).min(ms.len() - 1)];
        if ms.is_empty() {
            return;
        }
        let (p50, p99, max, runs) = (at(50), at(99), ms[ms.len() - 1], ms.len());
        let (half, most, longest) = (short(p50), short(p99), short(max));
        self.say(&format!("{what}: p50 {half} ms, p99 {most} ms, max {longest} ms; {runs} times"));
        self.rows.push(json!({
            "what": what, "unit": "ms", "runs": runs, "p50": p50, "p99": p99, "max": max,
        }));
    }

    /// The sides of a comparison, ours first, and the ratios to the others.
    pub(crate) fn compare(&mut self, what: &str, ours: &Series, others: &[&Series]) -> Result<()> {
        let own = ours.median()?;
        for side in [ours].iter().chain(others) {
            let (low, high) = side.range();
            let median = side.median()?;
            self.say(&format!(
                "{what:<26} {:<28} {median}  {} runs {}–{}",
                side.name,
                side.samples.len(),
                short(low),
                short(high)
            ));
            if let Some(error) = side.samples.iter().find_map(|sample| sample.error.as_ref()) {
                self.say(&format!("the first error of {}: {error}", side.name));
            }
        }
        let mut line = format!("{what:<26} {}: {}/s", ours.name, short(own.rate));
        let mut ratios = Vec::new();
        for side in others {
            let rate = side.median()?.rate;
            let ratio = own.rate / rate;
            // Nothing fails in a String.
            let _written = write!(line, "; {} {}/s, ratio {ratio:.2}", side.name, short(rate));
            ratios.push(json!({ "to": side.name, "ratio": ratio }));
        }
        self.say(&format!("{line}; errors {}", ours.errors()));
        let sides: Result<Vec<_>> =
            [ours].iter().chain(others).map(|side| side.to_json()).collect();
        self.rows.push(json!({ "what": what, "sides": sides?, "ratios": ratios }));
        Ok(())
    }

    /// Ends; prints the document when it was asked for.
    pub(crate) fn finish(self) -> Result<()> {
        let after = proc::load();
        self.say(&format!("load after: {after}"));
        if self.json {
            let document = json!({
                "measurement": self.name, "quick": self.quick, "load_before": self.load,
                "load_after": after, "rows": self.rows,
            });
            println!("{}", serde_json::to_string_pretty(&document)?);
        }
        Ok(())
    }
}

/// A number with about three digits that mean something.
fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}
