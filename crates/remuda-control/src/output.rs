//! The output of a task, from any control node.

use std::time::Duration;

use remuda_link::{Stream, StreamError};
use remuda_model::{ErrorKind, Failure, NodeId, TaskId};
use remuda_wire::message::{
    OUTPUT,
    output::{Chunk, Follow},
};

use crate::{
    Control,
    proxies::{NOT_HERE, not_connected},
};

/// The longest chunk: 64 KiB of output, or a failure.
const MAX_CHUNK: usize = 256 * 1024;
/// How long output that exists may take to come.
const IDLE: Duration = Duration::from_secs(30);
/// How long the request may take to be sent.
const SEND: Duration = Duration::from_secs(10);

/// The output of a task, chunk by chunk. Dropping it ends the transfer.
#[derive(Debug)]
pub struct OutputStream {
    node: NodeId,
    stream: Stream,
    follow: bool,
    ended: bool,
}

impl OutputStream {
    /// The next chunk, or `None` after the last: [`Chunk::End`], or [`Chunk::UpToDate`] when the
    /// output is not followed.
    ///
    /// # Errors
    ///
    /// When the task is unknown, and when the link is lost; going on later is possible from the
    /// last `next`.
    ///
    /// # Cancel safety
    ///
    /// No chunk is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Chunk>, Failure> {
        if self.ended {
            return Ok(None);
        }
        let chunk = self.stream.recv::<Chunk>(MAX_CHUNK);
        let received = if self.follow {
            chunk.await
        } else {
            tokio::time::timeout(IDLE, chunk).await.map_err(|_elapsed| {
                let message = format!("node `{}` sends no output", self.node);
                Failure::new(ErrorKind::TimedOut, message)
            })?
        };
        match received {
            Ok(Some(Chunk::Failed(failure))) => {
                self.ended = true;
                Err(failure)
            }
            Ok(Some(chunk)) => {
                self.ended = matches!(chunk, Chunk::End(_) | Chunk::UpToDate);
                Ok(Some(chunk))
            }
            Ok(None) => {
                self.ended = true;
                Ok(None)
            }
            Err(error) => {
                self.ended = true;
                Err(lost(&self.node, &error))
            }
        }
    }
}

impl Control {
    /// The output of a task from a byte of its output record on, followed until the task has ended
    /// if wished.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) for an unknown node,
    /// [`NotConnected`](ErrorKind::NotConnected) when there is no way to it.
    pub async fn output(
        &self,
        node: &NodeId,
        task: &TaskId,
        offset: u64,
        follow: bool,
    ) -> Result<OutputStream, Failure> {
        let mut stream = self.open_stream(node, OUTPUT).await?;
        let epoch = self.shared.replica.state().epoch();
        let request = Follow { epoch, task: task.clone(), offset, follow };
        let sent = tokio::time::timeout(SEND, stream.send(&request)).await;
        if let Ok(Err(error)) = &sent {
            return Err(lost(node, error));
        }
        if sent.is_err() {
            return Err(not_connected(node));
        }
        Ok(OutputStream { node: node.clone(), stream, follow, ended: false })
    }
}

fn lost(node: &NodeId, error: &StreamError) -> Failure {
    match error {
        StreamError::Reset { code: NOT_HERE, .. } => not_connected(node),
        error => {
            let message = format!("the output of node `{node}` broke off: {error}");
            Failure::new(ErrorKind::Unavailable, message)
                .code("output_lost")
                .hint("ask again from the last offset")
        }
    }
}
