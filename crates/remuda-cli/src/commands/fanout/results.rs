//! Prints what became of targets.

use std::fmt::Write as _;

use remuda::client::{
    Client,
    dto::{RecordQuery, RunRecord},
};
use remuda_model::{RunId, run::Outcome};
use serde_json::json;

use crate::{
    args::{Format, Raw, Which},
    error::{PrintError, Stop},
    output::{Escaper, Printer, Stream, escape_line, note},
};

/// In which form records are printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    printer: Printer,
    csv: bool,
    hosts: bool,
    body: bool,
    raw: bool,
}

impl Form {
    pub(super) fn new(format: Format, csv: bool, hosts: bool, body: bool, raw: Raw) -> Self {
        Self { printer: Printer::new(format), csv, hosts, body, raw: raw.raw }
    }
}

pub(super) fn query(which: Which, follow: bool) -> RecordQuery {
    let slower = which.slower_than.map(|span| span.0.as_micros());
    RecordQuery {
        outcome: which.outcome,
        status: which.status,
        host: which.host,
        text: which.text,
        worker: which.worker,
        min_duration_us: slower.map(|least| u64::try_from(least).unwrap_or(u64::MAX)),
        limit: which.limit,
        follow,
    }
}

pub(super) async fn print(
    client: &Client,
    run: &RunId,
    query: RecordQuery,
    form: Form,
) -> Result<(), Stop> {
    let mut records = client.run_records(run, &query).await?;
    if form.csv {
        form.printer.text(CSV_HEAD)?;
    }
    while let Some(one) = records.next().await? {
        record(&one, form)?;
    }
    Ok(())
}

/// Finds a host in all runs, the newest first.
pub(super) async fn search(
    client: &Client,
    host: String,
    text: Option<String>,
    form: Form,
) -> Result<(), Stop> {
    let found = client.runs().await?;
    let query = RecordQuery { host: Some(host), text, ..RecordQuery::default() };
    for run in &found.runs {
        let mut records = client.run_records(&run.id, &query).await?;
        while let Some(one) = records.next().await? {
            if form.printer.is_json() {
                form.printer.json_line(&json!({ "run": run.id, "record": one }))?;
            } else {
                note(&format!("{}:", run.id));
                record(&one, form)?;
            }
        }
    }
    for control in &found.unreachable {
        note(&format!("control node {control} does not answer; its runs were not searched"));
    }
    Ok(())
}

const CSV_HEAD: &str = "host,outcome,status,duration_ms,attempts,worker,trouble,message,body\n";

/// One record in the form that was asked for.
pub(super) fn record(record: &RunRecord, form: Form) -> Result<(), PrintError> {
    let printer = form.printer;
    if printer.is_json() {
        return printer.json_line(record);
    }
    if form.hosts {
        return printer.line(&record.host);
    }
    if form.csv {
        return csv(&csv_line(record), form.raw);
    }
    let mut line = format!("{}  {}", record.host, record.outcome);
    if let Some(status) = record.status {
        let _ = write!(line, " {status}");
    }
    if record.attempts > 0 {
        let _ = write!(line, "  {}", milliseconds(record.duration_us));
    }
    if let (Some(trouble), false) = (&record.trouble, record.outcome == Outcome::Ok) {
        let _ = write!(line, "  {}: {}", trouble.kind, trouble.message);
    }
    printer.line(&line)?;
    if form.body {
        for text in [&record.body, &record.stderr] {
            body(text, form.raw)?;
        }
    }
    Ok(())
}

fn csv(row: &str, raw: bool) -> Result<(), PrintError> {
    if raw {
        return Stream::Stdout.write(row.as_bytes());
    }
    let (mut escaper, mut out) = (Escaper::default(), Vec::with_capacity(row.len()));
    escaper.push(row.as_bytes(), &mut out);
    escaper.finish(&mut out);
    Stream::Stdout.write(&out)
}

fn body(text: &str, raw: bool) -> Result<(), PrintError> {
    for line in text.lines() {
        let line = if raw { line.to_owned() } else { escape_line(line) };
        Stream::Stdout.write(format!("  {line}\n").as_bytes())?;
    }
    Ok(())
}

pub(super) fn milliseconds(us: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let ms = us as f64 / 1000.0;
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// RFC 4180.
fn csv_line(record: &RunRecord) -> String {
    let status = record.status.map(|status| status.to_string()).unwrap_or_default();
    let worker = record.worker.as_ref().map(ToString::to_string).unwrap_or_default();
    let (kind, message) = match &record.trouble {
        Some(trouble) => (trouble.kind.as_str(), trouble.message.as_str()),
        None => ("", ""),
    };
    let duration = format!("{}.{:03}", record.duration_us / 1000, record.duration_us % 1000);
    let attempts = record.attempts.to_string();
    let fields = [
        &record.host,
        record.outcome.as_str(),
        &status,
        &duration,
        &attempts,
        &worker,
        kind,
        message,
        &record.body,
    ];
    let quoted: Vec<String> = fields.iter().map(|field| csv_field(field)).collect();
    format!("{}\r\n", quoted.join(","))
}

fn csv_field(text: &str) -> String {
    // What begins so is a formula to spreadsheets.
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t']) && text.parse::<f64>().is_err();
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_and_formulas_are_text() {
        for (text, field) in [
            ("a", "a"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "'=1+1"),
            ("-5", "-5"),
            ("a\nb", "\"a\nb\""),
        ] {
            assert_eq!(csv_field(text), field);
        }
    }
}
