//! What the user sees: data on standard output, all else on standard error.

mod escape;
mod lines;
mod printer;
mod size;
mod table;
mod time;

use std::io::{IsTerminal as _, Write as _};

pub(crate) use escape::{Escaper, escape_line};
pub(crate) use lines::LinePrefixer;
pub(crate) use printer::{Printer, Stream};
pub(crate) use size::bytes;
pub(crate) use table::{Table, fields};
pub(crate) use time::{ago, clock_time};

use crate::{environment::Environment, error::Report};

/// Shows why the process ends.
pub(crate) fn print_report(report: &Report, environment: &Environment) {
    let stderr = std::io::stderr();
    let red = stderr.is_terminal() && environment.get("NO_COLOR").is_none();
    // There is nobody left to tell when standard error is gone.
    let _gone = stderr.lock().write_all(report.render(red).as_bytes()).is_err();
}

/// Says something on standard error.
pub(crate) fn note(text: &str) {
    let _gone = writeln!(std::io::stderr().lock(), "{text}").is_err();
}
