//! The one place that writes to standard output.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use super::{
    Table,
    escape::{escape_json, escape_line},
};
use crate::{args::Format, error::PrintError};

/// Prints data in the form that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    json: bool,
    to: Stream,
}

/// Which of the two outputs of a remote command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Data.
    Stdout,
    /// All else.
    Stderr,
}

impl Printer {
    pub(crate) fn new(format: Format) -> Self {
        Self { json: format.json, to: Stream::Stdout }
    }

    /// A printer for when the standard output belongs to somebody else.
    pub(crate) fn aside() -> Self {
        Self { json: false, to: Stream::Stderr }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// One value as JSON for machines, or in words for people.
    pub(crate) fn value<T: Serialize + ?Sized>(
        self,
        value: &T,
        words: impl FnOnce(&T) -> String,
    ) -> Result<(), PrintError> {
        if self.json { self.json(value) } else { self.text(&words(value)) }
    }

    /// A value as indented JSON.
    pub(crate) fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<(), PrintError> {
        self.text(&escape_json(serde_json::to_string_pretty(value).map_err(io::Error::from)?))
    }

    /// A value as one line of JSON, for streams.
    pub(crate) fn json_line<T: Serialize + ?Sized>(self, value: &T) -> Result<(), PrintError> {
        self.text(&escape_json(serde_json::to_string(value).map_err(io::Error::from)?))
    }

    /// Text that is already harmless, and a line feed unless it ends with one.
    pub(crate) fn text(self, text: &str) -> Result<(), PrintError> {
        self.to.write(text.as_bytes())?;
        if text.is_empty() || text.ends_with('\n') { Ok(()) } else { self.to.write(b"\n") }
    }

    /// One line of text that came from elsewhere.
    pub(crate) fn line(self, text: &str) -> Result<(), PrintError> {
        self.text(&escape_line(text))
    }

    pub(crate) fn table(self, table: Table) -> Result<(), PrintError> {
        self.text(&table.render())
    }
}

impl Stream {
    /// Writes bytes as they are.
    pub(crate) fn write(self, bytes: &[u8]) -> Result<(), PrintError> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                Ok(stdout.flush()?)
            }
            Self::Stderr => Ok(io::stderr().lock().write_all(bytes)?),
        }
    }

    /// For those who write piece by piece.
    pub(crate) fn writer(self) -> Box<dyn io::Write + Send> {
        match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::Stderr => Box::new(io::stderr()),
        }
    }

    pub(crate) fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
        }
    }
}
