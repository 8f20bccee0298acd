//! Records as lines of JSON.

use std::convert::Infallible;

use axum::body::Bytes;
use futures_util::{Stream, future::BoxFuture, stream};
use remuda_control::RecordStream;
use remuda_runtime::CancellationToken;

use crate::{
    access::token_ended,
    dto::{RecordLine, RunRecord},
};

/// The records of a run, for as long as their reader may see them.
pub(super) struct Lines {
    records: RecordStream,
    left: u64,
    ended: BoxFuture<'static, ()>,
    stopping: CancellationToken,
}

impl Lines {
    pub(super) fn new(
        records: RecordStream,
        limit: Option<u64>,
        ended: BoxFuture<'static, ()>,
        stopping: CancellationToken,
    ) -> Self {
        Self { records, left: limit.unwrap_or(u64::MAX), ended, stopping }
    }

    /// The lines, some at a time.
    pub(super) fn stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        stream::unfold(Some(self), |lines| async move {
            let (bytes, lines) = lines?.next().await?;
            Some((Ok(bytes), lines))
        })
    }

    /// The next lines, and what gives the ones after them.
    async fn next(mut self) -> Option<(Bytes, Option<Self>)> {
        let batch = tokio::select! {
            biased;
            // What was cut off has no last line.
            () = self.stopping.cancelled() => return None,
            () = &mut self.ended => Err(token_ended()),
            batch = self.records.next() => batch,
        };
        let mut text = Vec::new();
        let last = match batch {
            Ok(Some(batch)) => {
                let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(batch.len());
                self.left -= take as u64;
                for hosted in batch.into_iter().take(take) {
                    let record = RunRecord::new(hosted.host, hosted.vars, hosted.record);
                    write(&mut text, &RecordLine::Record(record));
                }
                (self.left == 0).then_some(RecordLine::End)
            }
            Ok(None) => Some(RecordLine::End),
            Err(error) => Some(RecordLine::Failed { error }),
        };
        if let Some(last) = last {
            write(&mut text, &last);
            return Some((text.into(), None));
        }
        Some((text.into(), Some(self)))
    }
}

fn write(text: &mut Vec<u8>, line: &RecordLine) {
    serde_json::to_writer(&mut *text, line).expect("lines are plain data");
    text.push(b'\n');
}
