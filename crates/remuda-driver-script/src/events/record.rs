//! The side of the task: reads what it says, and keeps what is reported in a record on disk.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use remuda_plugin::output::{OutputWriter, Source};
use rustix::fs::OFlags;
use tokio::{
    net::unix::pipe::{self, Receiver},
    time::Instant,
};

use super::{
    MAX_LINE, Saying,
    rules::{Input, Rules},
};
use crate::task_dir::TaskDir;

/// How much of the record is kept; more than that only when the agent is away.
const MAX_RECORD: u64 = 16 * 1024 * 1024;

/// Keeps the events of one task.
#[derive(Debug)]
pub(crate) struct Recorder {
    rules: Rules,
    started: Instant,
    record: OutputWriter,
    bell: Bell,
}

impl Recorder {
    /// How often [`tick`](Self::tick) is wanted.
    pub(crate) const TICK: Duration = Duration::from_millis(500);

    pub(crate) fn open(dir: &TaskDir) -> io::Result<Self> {
        let record = OutputWriter::open(dir.record(), MAX_RECORD)?;
        let bell = Bell::open(&dir.bell())?;
        Ok(Self { rules: Rules::default(), started: Instant::now(), record, bell })
    }

    /// The task says something, in so many bytes.
    pub(crate) fn say(&mut self, saying: Saying, bytes: usize) {
        self.step(Input::Said(saying, bytes));
    }

    /// Reports what had to wait.
    pub(crate) fn tick(&mut self) {
        if self.rules.next_deadline().is_some_and(|due| due <= self.started.elapsed()) {
            self.step(Input::Tick);
        }
    }

    /// Reports what still waits.
    pub(crate) fn end(&mut self) {
        self.step(Input::End);
    }

    fn step(&mut self, input: Input) {
        let reports = self.rules.handle(self.started.elapsed(), input);
        if reports.is_empty() {
            return;
        }
        for report in reports {
            // On a full disk the task goes on, unheard.
            drop(self.record.append(Source::Stdout, &report.line()));
        }
        self.bell.ring(self.record.len());
    }
}

/// Tells the agent how long the record is.
#[derive(Debug)]
struct Bell(File);

impl Bell {
    fn open(path: &Path) -> io::Result<Self> {
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        // For reading too, so that somebody always does.
        OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).map(Self)
    }

    fn ring(&mut self, len: u64) {
        if self.0.write_all(&len.to_le_bytes()).is_err() {
            // Nobody has listened for long; only the newest length counts.
            drop(self.0.read(&mut vec![0; 64 * 1024]));
            drop(self.0.write_all(&len.to_le_bytes()));
        }
    }
}

/// The lines that a task writes to its FIFO.
#[derive(Debug)]
pub(crate) struct Fifo {
    pipe: Receiver,
    line: Vec<u8>,
    /// Whether the line is too long, and its rest is skipped.
    skips: bool,
}

impl Fifo {
    /// Opens it, also for writing, so that it never ends.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let pipe = pipe::OpenOptions::new().read_write(true).open_receiver(path)?;
        Ok(Self { pipe, line: Vec::new(), skips: false })
    }

    /// Waits until something can be read.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.pipe.readable().await
    }

    /// Hands on the lines that are there: as much as a pipe can hold, because somebody may write
    /// without end.
    pub(crate) fn read(&mut self, recorder: &mut Recorder) {
        const PIECES: usize = 64;
        let mut bytes = vec![0; 16 * 1024];
        for _ in 0..PIECES {
            let Ok(n @ 1..) = self.pipe.try_read(&mut bytes) else { return };
            self.take(&bytes[..n], &mut |saying, bytes| recorder.say(saying, bytes));
        }
    }

    /// Hands on the last line, which lacks its end.
    pub(crate) fn end(&mut self, recorder: &mut Recorder) {
        self.read(recorder);
        self.take(b"\n", &mut |saying, bytes| recorder.say(saying, bytes));
    }

    fn take(&mut self, bytes: &[u8], say: &mut impl FnMut(Saying, usize)) {
        split(&mut self.line, &mut self.skips, bytes, say);
    }
}

/// Takes lines apart; `line` holds the one that has not ended.
fn split(line: &mut Vec<u8>, skips: &mut bool, bytes: &[u8], say: &mut impl FnMut(Saying, usize)) {
    for part in bytes.split_inclusive(|&byte| byte == b'\n') {
        let (text, ends) = match part.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (part, false),
        };
        if !*skips {
            line.extend_from_slice(text);
            if line.len() > MAX_LINE {
                say(Saying::too_long(line), 0);
                *skips = true;
            } else if ends && let Some(saying) = Saying::read(line) {
                say(saying, line.len());
            }
        }
        if ends || *skips {
            line.clear();
        }
        *skips &= !ends;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(pieces: &[&[u8]]) -> Vec<Saying> {
        let (mut line, mut skips, mut all) = (Vec::new(), false, Vec::new());
        for piece in pieces {
            split(&mut line, &mut skips, piece, &mut |saying, _| all.push(saying));
        }
        all
    }

    #[test]
    fn lines_are_put_together_and_taken_apart() {
        assert_eq!(
            said(&[b"0.", b"5\n\nhalf", b" done\n[1]\nlost"]),
            [Saying::Progress(0.5), Saying::Value(json!("half done")), Saying::Value(json!([1]))]
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_refused_once_and_its_rest_skipped() {
        let long = vec![b'x'; MAX_LINE];
        let all = said(&[&long, b"yy", &long, &long, b"\n0.5\n", &long, b"\n"]);
        assert!(matches!(&all[0], Saying::Wrong { line, .. } if line == &"x".repeat(100)));
        assert_eq!(all[1], Saying::Progress(0.5));
        assert!(matches!(&all[2], Saying::Value(value) if value.as_str().is_some()));
        assert_eq!(all.len(), 3);
    }
}
