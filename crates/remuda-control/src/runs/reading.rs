//! Records of a run, from its file and as they come.

use std::{io, sync::Arc};

use remuda_model::{ErrorKind, Failure, run::RunView};
use remuda_run::{Filter, Target};
use remuda_runtime::blocking;
use remuda_wire::message::runs::Hosted;
use tokio::sync::{mpsc, watch};

use super::{dir::RunDir, disk_failure, records::RecordsReader};

/// How many records are handed on at a time.
const BATCH: usize = 256;
/// Bytes of records after which they are handed on.
const BATCH_BYTES: usize = 256 << 10;
/// Batches that wait for the reader.
const BATCHES: usize = 4;

/// Records of a run, batch by batch. Dropping it ends the reading.
#[derive(Debug)]
pub struct RecordStream(mpsc::Receiver<Result<Vec<Hosted>, Failure>>);

impl RecordStream {
    /// The next records, or `None` after the last.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or the control node that has it is lost.
    ///
    /// # Cancel safety
    ///
    /// No record is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Vec<Hosted>>, Failure> {
        self.0.recv().await.transpose()
    }

    pub(super) fn channel() -> (mpsc::Sender<Result<Vec<Hosted>, Failure>>, Self) {
        let (to, from) = mpsc::channel(BATCHES);
        (to, Self(from))
    }
}

/// What is read, and until when.
pub(super) struct Reading {
    pub(super) dir: RunDir,
    pub(super) sites: usize,
    pub(super) targets: Arc<Vec<Target>>,
    pub(super) filter: Filter,
    pub(super) view: watch::Receiver<Arc<RunView>>,
    pub(super) length: watch::Receiver<u64>,
    pub(super) follow: bool,
}

impl Reading {
    /// Reads into the channel, until the end or until nobody listens.
    pub(super) async fn read(mut self, to: mpsc::Sender<Result<Vec<Hosted>, Failure>>) {
        let read = tokio::select! {
            read = self.blocks(&to) => read,
            () = to.closed() => return,
        };
        let failure = match read {
            Ok(true) => return,
            Ok(false) => {
                let text = "the run goes on at another control node, or this one shuts down";
                Failure::new(ErrorKind::Unavailable, text)
                    .code("run_moved")
                    .hint("ask again in some seconds; the records come from the start then")
            }
            Err(error) => disk_failure(&error),
        };
        // Whoever listened may be gone.
        drop(to.send(Err(failure)).await);
    }

    /// Whether that was all, or nobody listens.
    async fn blocks(
        &mut self,
        to: &mpsc::Sender<Result<Vec<Hosted>, Failure>>,
    ) -> io::Result<bool> {
        let mut reader = self.dir.reader();
        loop {
            // In this order: after the end of the run there is no more.
            let has_ended = self.view.borrow_and_update().state.has_ended();
            let end = *self.length.borrow_and_update();
            loop {
                let read;
                (reader, read) = next_block(reader, end).await?;
                let Some(records) = read else { break };
                let mut batch = Vec::new();
                let mut bytes = 0;
                for record in records {
                    let Some(target) = self.targets.get(record.index as usize / self.sites) else {
                        continue;
                    };
                    if !self.filter.matches(target, &record) {
                        continue;
                    }
                    bytes += record.body.len() + record.stderr.len();
                    let vars = target.vars.iter();
                    let vars = vars.map(|(name, value)| (name.to_string(), value.to_string()));
                    let host = target.host.to_string();
                    batch.push(Hosted { host, vars: vars.collect(), record });
                    if (batch.len() >= BATCH || bytes >= BATCH_BYTES)
                        && to.send(Ok(std::mem::take(&mut batch))).await.is_err()
                    {
                        return Ok(true);
                    }
                    if batch.is_empty() {
                        bytes = 0;
                    }
                }
                if !batch.is_empty() && to.send(Ok(batch)).await.is_err() {
                    return Ok(true);
                }
            }
            if has_ended || !self.follow {
                return Ok(true);
            }
            tokio::select! {
                changed = self.length.changed() => if changed.is_err() { return Ok(false) },
                changed = self.view.changed() => if changed.is_err() { return Ok(false) },
            }
        }
    }
}

async fn next_block(
    mut reader: RecordsReader,
    end: u64,
) -> io::Result<(RecordsReader, Option<Vec<remuda_model::run::Record>>)> {
    let read = blocking(move || {
        let read = reader.next(end);
        (reader, read)
    });
    let (reader, read) = read.await.map_err(io::Error::other)?;
    Ok((reader, read?))
}
