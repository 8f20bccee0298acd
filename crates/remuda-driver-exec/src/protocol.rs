//! What the agent and the holder say to each other: frames `[length: u32, big endian][postcard]`.
//!
//! An agent may meet a holder that an older version of itself has started, so the variants below
//! are only ever added to, at the end, and [`PROTOCOL`] counts up when some are.

use std::{io, path::Path, time::Duration};

use remuda_model::{Failure, TaskId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{launch::Launch, record::Exit};

/// The version of these messages.
pub(crate) const PROTOCOL: u32 = 1;

/// The longest frame, in bytes.
pub(crate) const MAX_FRAME: usize = 1024 * 1024;

/// How long either side waits for the first message of the other.
pub(crate) const GREETING_LIMIT: Duration = Duration::from_secs(5);

/// What the agent says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromAgent {
    /// The first message. The connection before this one, if there is any, is ended.
    Hello {
        /// The highest version that the agent speaks.
        protocol: u32,
    },
    /// Asks for something; answered by a reply of the same number, in any order.
    Call {
        /// The number.
        id: u32,
        /// What is asked.
        op: Op,
    },
}

/// What the agent may ask for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Op {
    /// Starts a task.
    Spawn(Box<Spawn>),
    /// Sends a signal to the process group of a task.
    Signal { task: TaskId, signal: i32 },
    /// Ends a task: `SIGTERM`, and `SIGKILL` after the grace.
    Stop { task: TaskId, grace_ms: u64 },
    /// Bytes for the standard input of a task; answered when they are written.
    Stdin { task: TaskId, bytes: Vec<u8> },
    /// Closes the standard input of a task.
    CloseStdin { task: TaskId },
    /// Ends the holder as soon as no task runs.
    Leave,
}

/// A task to start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spawn {
    /// Its id.
    pub(crate) task: TaskId,
    /// The program and all that it finds around itself.
    pub(crate) launch: Launch,
    /// What it reads.
    pub(crate) stdin: crate::spec::Stdin,
    /// How long it may run.
    pub(crate) timeout_ms: Option<u64>,
    /// How much of its output is kept.
    pub(crate) max_output_bytes: u64,
    /// A line for people.
    pub(crate) summary: String,
}

/// What the holder says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum FromHolder {
    /// The answer to `Hello`. A roll call follows: one `Runs` for each task, then `Ready`.
    Welcome {
        /// The version that is spoken: the lower of both.
        protocol: u32,
    },
    /// This task runs, and so much of its output may be read.
    Runs { task: TaskId, len: u64 },
    /// All tasks that are not named by now do not run.
    Ready,
    /// The answer to a call.
    Reply { id: u32, result: Result<(), Failure> },
    /// There is more output.
    Output { task: TaskId, len: u64 },
    /// The task has ended, its output is complete, and its record is on disk.
    Exited { task: TaskId, exit: Exit },
    /// Another agent has connected; this connection ends.
    Replaced,
}

/// A frame in the making is longer than allowed.
#[derive(Debug, thiserror::Error)]
#[error("a message of {0} bytes is longer than {MAX_FRAME}")]
pub(crate) struct TooLong(usize);

/// Appends a message as a frame.
pub(crate) fn put(out: &mut Vec<u8>, message: &impl Serialize) -> Result<(), TooLong> {
    let body = postcard::to_stdvec(message).expect("messages of the holder can be written");
    let len = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_FRAME);
    let len = len.ok_or(TooLong(body.len()))?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&body);
    Ok(())
}

/// Writes one message.
pub(crate) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> io::Result<()> {
    let mut frame = Vec::new();
    put(&mut frame, message).map_err(io::Error::other)?;
    stream.write_all(&frame).await
}

/// Reads one message; `None` at the end of the stream.
///
/// # Cancel safety
///
/// Not cancel safe: bytes are lost when the future is dropped.
pub(crate) async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<T>> {
    let len = match stream.read_u32().await {
        Ok(len) => usize::try_from(len).unwrap_or(usize::MAX),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if len > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, TooLong(len)));
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await?;
    postcard::from_bytes(&body)
        .map(Some)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads bytes as each side would, frame by frame, for tests with hostile bytes: only panics and the
/// memory taken are of interest.
pub fn read_frames(mut bytes: &[u8]) {
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((body, rest)) = rest.split_at_checked(length) else { return };
        drop(postcard::from_bytes::<FromAgent>(body));
        drop(postcard::from_bytes::<FromHolder>(body));
        bytes = rest;
    }
}

/// Calls `with` with a path of the socket that is short enough for the kernel (107 bytes).
pub(crate) fn with_socket_path<T>(
    dir: &Path,
    with: impl FnOnce(&Path) -> io::Result<T>,
) -> io::Result<T> {
    use std::os::fd::AsRawFd;

    const NAME: &str = "holder.sock";
    let path = dir.join(NAME);
    if path.as_os_str().len() < 100 {
        return with(&path);
    }
    let handle = std::fs::File::open(dir)?;
    with(&Path::new("/proc/self/fd").join(handle.as_raw_fd().to_string()).join(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_read_back_one_by_one() {
        let mut bytes = Vec::new();
        put(&mut bytes, &FromAgent::Hello { protocol: 7 }).unwrap();
        let op = Op::Stop { task: "t".parse().unwrap(), grace_ms: 5 };
        put(&mut bytes, &FromAgent::Call { id: 3, op }).unwrap();
        let mut stream = bytes.as_slice();
        let first = read(&mut stream).await.unwrap();
        assert!(matches!(first, Some(FromAgent::Hello { protocol: 7 })));
        let second = read(&mut stream).await.unwrap();
        assert!(matches!(
            second,
            Some(FromAgent::Call { id: 3, op: Op::Stop { grace_ms: 5, .. } })
        ));
        assert!(read::<FromAgent>(&mut stream).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_length_is_checked_before_memory_is_taken() {
        let mut stream = [0xff, 0xff, 0xff, 0xff, 0].as_slice();
        let error = read::<FromAgent>(&mut stream).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
