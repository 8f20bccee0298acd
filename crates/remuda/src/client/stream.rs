//! Answers that go on: output of tasks and events.

use bytes::Bytes;
use remuda_model::{ErrorKind, Event, Failure};
use serde::de::DeserializeOwned;

use super::{
    body::{Lines, tame},
    dto::{FileLine, OutputLine, StreamGap},
};

/// Output of a task.
///
/// Dropping it ends the call; that of [`exec`](super::Client::exec) stops the command.
#[derive(Debug)]
pub struct OutputStream {
    lines: Lines,
    ended: bool,
}

impl OutputStream {
    pub(super) fn new(lines: Lines) -> Self {
        Self { lines, ended: false }
    }

    /// The next line, or `None` after [`OutputLine::End`] or [`OutputLine::UpToDate`].
    ///
    /// Data of the command comes as it was written, control characters included.
    ///
    /// # Errors
    ///
    /// The failure with which the stream ended; `outcome_unknown` with the code
    /// `stream_interrupted` when it was cut off. Afterwards there is `None`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<OutputLine>, Failure> {
        if self.ended {
            return Ok(None);
        }
        let line = loop {
            match self.lines.next().await {
                Ok(Some(line)) if line.is_empty() => {}
                Ok(Some(line)) => break read(&line),
                Ok(None) => break Err(cut_off()),
                Err(error) => break Err(error),
            }
        };
        let line = match line {
            Ok(OutputLine::Failed { error }) => Err(tame(error)),
            line => line,
        };
        self.ended = matches!(line, Err(_) | Ok(OutputLine::End { .. } | OutputLine::UpToDate));
        line.map(Some)
    }
}

/// What becomes of a file that is sent.
///
/// Dropping it ends the call; what is on its way breaks off.
#[derive(Debug)]
pub struct FileLines {
    lines: Lines,
    ended: bool,
}

impl FileLines {
    pub(super) fn new(lines: Lines) -> Self {
        Self { lines, ended: false }
    }

    /// The next line, or `None` after [`FileLine::End`].
    ///
    /// # Errors
    ///
    /// `outcome_unknown` with the code `stream_interrupted` when the stream was cut off. Afterwards
    /// there is `None`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<FileLine>, Failure> {
        if self.ended {
            return Ok(None);
        }
        let line = match self.lines.next().await {
            Ok(Some(line)) => read(&line),
            Ok(None) => Err(cut_off()),
            Err(error) => Err(error),
        };
        self.ended = matches!(line, Err(_) | Ok(FileLine::End));
        line.map(|line| match line {
            FileLine::End => None,
            FileLine::Failed { node, error } => Some(FileLine::Failed { node, error: tame(error) }),
            line => Some(line),
        })
    }
}

/// Something on the event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventMessage {
    /// Something happened.
    Event(Event),
    /// Events are missing here.
    Gap(StreamGap),
}

/// Events as they happen.
#[derive(Debug)]
pub struct EventStream {
    lines: Lines,
    name: Vec<u8>,
    data: Vec<u8>,
    /// Of the event that is being read.
    id: Option<String>,
    last_id: Option<String>,
}

/// The most data of one event.
const MAX_EVENT: usize = 16 * 1024 * 1024;

impl EventStream {
    pub(super) fn new(lines: Lines) -> Self {
        Self { lines, name: Vec::new(), data: Vec::new(), id: None, last_id: None }
    }

    /// The next event, or `None` when the API has ended the stream; connect again then, with
    /// [`last_id`](Self::last_id).
    ///
    /// # Errors
    ///
    /// `outcome_unknown` with the code `stream_interrupted` when the stream was cut off.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<EventMessage>, Failure> {
        while let Some(line) = self.lines.next().await? {
            if let Some(message) = self.feed(&line)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// The id of the last event, `NODE:SEQ`, with which to go on.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// One line of server-sent events; an empty one completes an event.
    fn feed(&mut self, line: &[u8]) -> Result<Option<EventMessage>, Failure> {
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            let data = std::mem::take(&mut self.data);
            // Only now: an event that is cut off has to come again.
            self.last_id = self.id.take().or_else(|| self.last_id.take());
            return match (name.as_slice(), data.is_empty()) {
                (b"event" | b"", false) => read(&data.into()).map(EventMessage::Event).map(Some),
                (b"gap", false) => read(&data.into()).map(EventMessage::Gap).map(Some),
                // Without data it is none; other names are those of later versions.
                _ => Ok(None),
            };
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"event" => self.name = value.to_vec(),
            b"id" => self.id = Some(String::from_utf8_lossy(value).into_owned()),
            b"data" if self.data.len() + value.len() > MAX_EVENT => {
                return Err(Failure::new(ErrorKind::Internal, "the API sent too long an event"));
            }
            b"data" => {
                if !self.data.is_empty() {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            // Comments keep the connection alive.
            _ => {}
        }
        Ok(None)
    }
}

pub(super) fn read<T: DeserializeOwned>(line: &Bytes) -> Result<T, Failure> {
    serde_json::from_slice(line).map_err(|error| {
        Failure::new(
            ErrorKind::Internal,
            format!("the API sent a line that cannot be read: {error}"),
        )
        .hint("client and cluster may be of different versions")
    })
}

pub(super) fn cut_off() -> Failure {
    Failure::new(ErrorKind::OutcomeUnknown, "the stream from the API ended before its last line")
        .code("stream_interrupted")
}
