//! How a function is heard: lines of JSON on standard output, as many as somebody wants.

use std::io::{self, Write};

use super::protocol::{Call, Fault, Said};

/// How much of the log of a request is kept.
const MAX_LOG: usize = 64 * 1024;
const MAX_LINES: usize = 1_000;

/// Says what a function says.
#[derive(Debug)]
pub(super) struct Voice {
    speaks: bool,
    bytes: usize,
    lines: usize,
    truncated: bool,
}

impl Voice {
    /// The longest line of the log, in bytes.
    pub(super) const MAX_LINE: usize = 16 * 1024;

    pub(super) fn new(call: &Call) -> Self {
        Self { speaks: call.speaks, bytes: 0, lines: 0, truncated: false }
    }

    /// Whether there is room in the log.
    pub(super) fn logs(&self) -> bool {
        !self.truncated
    }

    pub(super) fn log(&mut self, line: &str) {
        let line = &line[..line.floor_char_boundary(Self::MAX_LINE)];
        if !self.speaks {
            self.bytes += line.len();
            self.lines += 1;
            self.truncated = self.bytes > MAX_LOG || self.lines > MAX_LINES;
            if self.truncated {
                return write(&Said::LogTruncated);
            }
        }
        write(&Said::Log(line.to_owned()));
    }

    /// Says something that only those hear who follow a task.
    pub(super) fn say(&mut self, said: &Said) {
        if self.speaks {
            write(said);
        }
    }

    /// The same for a value that is JSON already.
    pub(super) fn value(&mut self, json: &str) {
        if self.speaks {
            line(&format!("{{\"value\":{json}}}"));
        }
    }

    /// The last word: the result as JSON, or why there is none.
    pub(super) fn end(outcome: Result<String, Fault>) {
        match outcome {
            Ok(json) => line(&format!("{{\"result\":{json}}}")),
            Err(fault) => write(&Said::Fault(fault)),
        }
    }
}

fn write(said: &Said) {
    line(&serde_json::to_string(said).expect("what is said can be written"));
}

fn line(text: &str) {
    let mut stdout = io::stdout().lock();
    // Whoever listened has gone; the process is about to be killed.
    drop(writeln!(stdout, "{text}").and_then(|()| stdout.flush()));
}
