//! Why a command ends without success, and how that is shown.

use std::{error::Error, io};

use remuda_model::{ErrorKind, Failure};

use crate::output::escape_line;

/// What ends a command before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It failed: say so.
    Report(Box<Report>),
    /// Everything has been said; the process ends with this code.
    Exit(u8),
    /// Nobody reads the standard output any more.
    ReaderGone,
}

/// A failure for people.
#[derive(Debug)]
pub(crate) struct Report {
    kind: ErrorKind,
    message: String,
    details: Vec<String>,
    causes: Vec<String>,
    hint: Option<String>,
}

/// The exit code when Ctrl-C ends a command.
pub(crate) const INTERRUPTED: u8 = 130;
/// The exit code when the cluster answers and is not well.
pub(crate) const UNHEALTHY: u8 = 8;
/// The exit code when some of several nodes failed.
pub(crate) const PARTIAL: u8 = 7;

impl Report {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, message, details: Vec::new(), causes: Vec::new(), hint: None }
    }

    /// An error with the causes that it knows.
    pub(crate) fn from_error(kind: ErrorKind, error: &(dyn Error + 'static)) -> Self {
        let mut report = Self::new(kind, error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            report.causes.push(cause.to_string());
            source = cause.source();
        }
        report
    }

    /// The same with a cause.
    pub(crate) fn caused_by(mut self, error: &(dyn Error + 'static)) -> Self {
        let inner = Self::from_error(self.kind, error);
        self.causes.push(inner.message);
        self.causes.extend(inner.causes);
        self
    }

    /// The same with advice.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with lines that say more.
    pub(crate) fn details(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(lines);
        self
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.kind.exit_code()
    }

    /// The lines to print. `red` decorates the first word.
    pub(crate) fn render(&self, red: bool) -> String {
        let error = if red { "\u{1b}[1;31merror:\u{1b}[0m" } else { "error:" };
        let mut lines = vec![format!("{error} {}", escape_line(&self.message))];
        lines.extend(self.details.iter().map(|line| format!("  {}", escape_line(line))));
        let cause = |cause: &String| format!("  caused by: {}", escape_line(cause));
        lines.extend(self.causes.iter().map(cause));
        if let Some(hint) = &self.hint {
            lines.push(format!("\nhint: {}", escape_line(hint)));
        }
        lines.join("\n") + "\n"
    }
}

impl From<Report> for Stop {
    fn from(report: Report) -> Self {
        Self::Report(Box::new(report))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        let report = Report::new(failure.kind, failure.message);
        Self::from(Report { hint: failure.hint, ..report })
    }
}

/// Writing to the standard output failed.
#[derive(Debug)]
pub(crate) struct PrintError(pub(crate) io::Error);

impl From<io::Error> for PrintError {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

impl From<PrintError> for Stop {
    fn from(PrintError(error): PrintError) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderGone;
        }
        Report::new(ErrorKind::Failed, "cannot write to the standard output")
            .caused_by(&error)
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_its_causes_and_a_hint() {
        let report = Report::new(ErrorKind::Unavailable, "cannot reach the cluster")
            .details(["tried twice".to_owned()])
            .caused_by(&io::Error::other("connection\u{1b}[2J refused"))
            .hint("start one with `remuda dev`");
        assert_eq!(
            report.render(false),
            "error: cannot reach the cluster\n  tried twice\n  caused by: connection\\x1b[2J refused\n\
             \nhint: start one with `remuda dev`\n"
        );
        assert_eq!(report.exit_code(), 5);
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let gone = PrintError(io::ErrorKind::BrokenPipe.into());
        assert!(matches!(Stop::from(gone), Stop::ReaderGone));
        let full = PrintError(io::ErrorKind::StorageFull.into());
        assert!(matches!(Stop::from(full), Stop::Report(_)));
    }
}
