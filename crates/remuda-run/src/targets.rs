//! Reads the targets of a run from what people have: arguments, lists, CSV, JSON.
//!
//! Everything is read before anything is decided: one wrong entry, and nothing is returned but a
//! list of what is wrong where.

mod cidr;
mod collector;
mod csv;
mod error;
mod json;
mod lines;
mod pattern;

pub use cidr::{Addresses, Cidr, CidrError};
pub use collector::{Collector, MAX_RANGED, TargetSet};
pub use error::{MAX_SHOWN, Place, TargetErrors, WrongTarget};
pub use pattern::{Hosts, Pattern, PatternError};

/// Reads arguments: hosts, ranges, networks; see [`from_lines`].
///
/// # Errors
///
/// Names the arguments that are wrong.
pub fn from_words(words: &[String]) -> Result<TargetSet, TargetErrors> {
    let mut collector = Collector::default();
    collector.words(words);
    collector.finish()
}

/// Reads lines.
///
/// A line holds hosts with white space or commas between them, or one JSON object
/// `{"host": "…", "vars": {…}}`. `#` begins a comment. A host may be
///
/// - a name or an address,
/// - several, by ranges and lists in brackets: `web[001-500].example`, `10.0.[0-3].[1-254]`,
///   `[a-f]`, `[1-3,7,10-12]`,
/// - the addresses of a network: `10.0.0.0/24`.
///
/// # Errors
///
/// Names the lines that are wrong.
pub fn from_lines(text: &str) -> Result<TargetSet, TargetErrors> {
    let mut collector = Collector::default();
    collector.lines(text);
    collector.finish()
}

/// Reads a table with a head row. The column `host` or `target`, or the one that is named, has the
/// host; the others are variables. An empty cell is no value.
///
/// Between the columns are commas, or semicolons or tabs where the head row has no comma.
///
/// # Errors
///
/// Names the lines that are wrong.
pub fn from_csv(text: &str, host_column: Option<&str>) -> Result<TargetSet, TargetErrors> {
    let mut collector = Collector::default();
    collector.csv(text, host_column);
    collector.finish()
}

/// Reads a list of hosts, or of objects with a `host` (or `target`) whose other texts, numbers and
/// truth values are variables, or of objects as in [`from_lines`].
///
/// A path says where the list is: a JSON pointer, or a `JSONPath` that selects the list or its entries.
///
/// # Errors
///
/// Names the entries that are wrong, counted from 1.
pub fn from_json(text: &str, path: Option<&str>) -> Result<TargetSet, TargetErrors> {
    let mut collector = Collector::default();
    collector.json(text, path);
    collector.finish()
}

/// Reads lines as [`Target::to_line`](crate::Target::to_line) writes them, and nothing else.
///
/// # Errors
///
/// Names the lines that are wrong.
pub fn from_canonical(text: &str) -> Result<TargetSet, TargetErrors> {
    let mut collector = Collector::default();
    for (at, line) in (1..).zip(text.lines()) {
        collector.canonical(at, line);
    }
    collector.finish()
}

#[cfg(test)]
mod tests;
