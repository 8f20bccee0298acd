//! The last log lines of this process, for bug reports.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use tracing_subscriber::fmt::MakeWriter;

use super::redact::redact;

/// Lines that are kept, and their bytes.
const MAX_LINES: usize = 2_000;
const MAX_BYTES: usize = 256 * 1024;
/// A longer line is cut.
const MAX_LINE: usize = 4 * 1024;

/// Keeps the last lines; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Recent {
    fn add(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.lines() {
            let line: String = without_colours(line).chars().take(MAX_LINE).collect();
            kept.bytes += line.len();
            kept.lines.push_back(line);
        }
        while kept.lines.len() > MAX_LINES || kept.bytes > MAX_BYTES {
            let Some(first) = kept.lines.pop_front() else { break };
            kept.bytes -= first.len();
        }
    }

    /// The lines, the oldest first, without what looks like a secret.
    pub(crate) fn lines(&self) -> Vec<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lines.iter().map(|line| redact(line)).collect()
    }
}

/// Leaves out the sequences that colour a line on a terminal.
fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_colour, rest)| rest));
    }
    plain
}

/// Writes lines to standard error and remembers them.
#[derive(Debug)]
pub(crate) struct Writer(Recent);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Each line comes in one piece. It is kept even when it cannot be written.
        self.0.add(bytes);
        io::stderr().write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Recent {
    type Writer = Writer;

    fn make_writer(&'a self) -> Writer {
        Writer(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_within_bounds() {
        let recent = Recent::default();
        recent.add(b"\x1b[32m INFO\x1b[0m hello rmt1.abc.DEF\n");
        assert_eq!(recent.lines(), [" INFO hello rmt1.(hidden)"]);
        for n in 0..MAX_LINES {
            recent.add(format!("line {n}\n").as_bytes());
        }
        let lines = recent.lines();
        assert_eq!((lines.len(), lines[0].as_str()), (MAX_LINES, "line 0"));
        for _ in 0..100 {
            recent.add("x".repeat(10_000).as_bytes());
        }
        let bytes: usize = recent.lines().iter().map(String::len).sum();
        assert!(bytes <= MAX_BYTES && bytes > MAX_BYTES - MAX_LINE, "{bytes}");
    }
}
