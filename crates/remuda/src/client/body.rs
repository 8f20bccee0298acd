//! Bodies of answers: whole ones and lines.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use remuda_model::{ErrorKind, Failure};

/// The longest answer: a hundred thousand nodes fit.
const MAX_BODY: usize = 256 * 1024 * 1024;
/// The longest line of a stream.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// Reads an answer to its end.
pub(super) async fn read_all(body: Incoming) -> Result<Bytes, Failure> {
    let read = Limited::new(body, MAX_BODY).collect().await;
    read.map(http_body_util::Collected::to_bytes).map_err(|error| {
        Failure::new(ErrorKind::OutcomeUnknown, format!("the API's answer broke off: {error}"))
    })
}

/// Reads an answer line by line.
#[derive(Debug)]
pub(super) struct Lines {
    body: Incoming,
    buffer: BytesMut,
    /// Up to here the buffer is known to hold no end of a line.
    searched: usize,
}

impl Lines {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, buffer: BytesMut::new(), searched: 0 }
    }

    /// The next line without its end, or `None` at the end of the answer; an unfinished last line
    /// is dropped.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let fresh = &self.buffer[self.searched..];
            if let Some(at) = fresh.iter().position(|byte| *byte == b'\n') {
                let mut line = self.buffer.split_to(self.searched + at + 1);
                self.searched = 0;
                line.truncate(line.len() - 1);
                if line.last() == Some(&b'\r') {
                    line.truncate(line.len() - 1);
                }
                return Ok(Some(line.freeze()));
            }
            self.searched = self.buffer.len();
            if self.searched > MAX_LINE {
                return Err(Failure::new(ErrorKind::Internal, "the API sent too long a line"));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => {
                    return Err(Failure::new(
                        ErrorKind::OutcomeUnknown,
                        format!("the stream from the API broke off: {error}"),
                    )
                    .code("stream_interrupted"));
                }
            }
        }
    }
}

/// The failure without control characters: parts of it come from workers and their programs.
pub(super) fn tame(failure: Failure) -> Failure {
    let tame = |text: String| {
        if text.chars().any(|char| char.is_control() && char != '\n') {
            text.chars()
                .flat_map(|char| {
                    let escaped = char.is_control() && char != '\n';
                    let (escape, plain) = if escaped {
                        (Some(char.escape_default()), None)
                    } else {
                        (None, Some(char))
                    };
                    escape.into_iter().flatten().chain(plain)
                })
                .collect()
        } else {
            text
        }
    };
    Failure {
        message: tame(failure.message),
        hint: failure.hint.map(tame),
        code: tame(failure.code),
        kind: failure.kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_failures_become_visible() {
        let tamed = tame(Failure::failed("a\x1b[2Jb\nc").hint("\u{9b}1m"));
        assert_eq!(tamed.message, "a\\u{1b}[2Jb\nc");
        assert_eq!(tamed.hint.as_deref(), Some("\\u{9b}1m"));
    }
}
