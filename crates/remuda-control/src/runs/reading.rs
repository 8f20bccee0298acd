//! Records of a run, from its file and as they come.

use std::{io, sync::Arc};

use remuda_model::{ErrorKind, Failure, run::RunView};
use remuda_run::{Filter, Target};
use remuda_runtime::{CancellationToken, blocking};
use remuda_wire::message::runs::Hosted;
use tokio::sync::{mpsc, watch};

use super::{dir::RunDir, disk_failure, records::RecordsReader};

/// How many records are handed on at a time.
const BATCH: usize = 256;
/// Bytes of records after which they are handed on.
const BATCH_BYTES: usize = 256 << 10;
/// Batches that wait for the reader.
const BATCHES: usize = 4;

/// Who reads records hands them on by this: batches, and `None` after the last. Without that the
/// stream broke off.
pub(super) type Handing = mpsc::Sender<Result<Option<Vec<Hosted>>, Failure>>;

/// Records of a run, batch by batch. Dropping it ends the reading.
#[derive(Debug)]
pub struct RecordStream {
    from: mpsc::Receiver<Result<Option<Vec<Hosted>>, Failure>>,
    has_ended: bool,
}

impl RecordStream {
    /// The next records, or `None` after the last.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or the control node that has it is lost. Afterwards there is
    /// `None`.
    ///
    /// # Cancel safety
    ///
    /// No record is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Vec<Hosted>>, Failure> {
        if self.has_ended {
            return Ok(None);
        }
        let handed = self.from.recv().await.unwrap_or_else(|| Err(moved()));
        self.has_ended = !matches!(handed, Ok(Some(_)));
        handed
    }

    pub(super) fn channel() -> (Handing, Self) {
        let (to, from) = mpsc::channel(BATCHES);
        (to, Self { from, has_ended: false })
    }
}

/// The records break off here, though there may be more.
fn moved() -> Failure {
    let text = "the run goes on at another control node, or this one shuts down";
    Failure::new(ErrorKind::Unavailable, text)
        .code("run_moved")
        .hint("ask again in some seconds; the records come from the start then")
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
    /// The node shuts down.
    pub(super) stop: CancellationToken,
}

/// Why the reading stopped.
enum Read {
    /// That was all.
    All,
    /// The run is carried out elsewhere.
    Moved,
    /// Nobody listens.
    Unheard,
}

impl Reading {
    /// Reads into the channel, until the end or until nobody listens.
    pub(super) async fn read(mut self, to: Handing) {
        let (stop, follow) = (self.stop.clone(), self.follow);
        let last = async {
            let last = match self.blocks(&to).await {
                Ok(Read::All) => Ok(None),
                Ok(Read::Moved) => Err(moved()),
                Ok(Read::Unheard) => return,
                Err(error) => Err(disk_failure(&error)),
            };
            // Whoever listened may be gone.
            drop(to.send(last).await);
        };
        tokio::select! {
            () = last => {}
            () = to.closed() => {}
            // What is there is read to its end, but the end of a run may be hours away. Without a last
            // word: there may be no room for one, and none says the same.
            () = stop.cancelled(), if follow => {}
        }
    }

    async fn blocks(&mut self, to: &Handing) -> io::Result<Read> {
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
                        && to.send(Ok(Some(std::mem::take(&mut batch)))).await.is_err()
                    {
                        return Ok(Read::Unheard);
                    }
                    if batch.is_empty() {
                        bytes = 0;
                    }
                }
                if !batch.is_empty() && to.send(Ok(Some(batch))).await.is_err() {
                    return Ok(Read::Unheard);
                }
            }
            if has_ended || !self.follow {
                return Ok(Read::All);
            }
            tokio::select! {
                changed = self.length.changed() => if changed.is_err() { return Ok(Read::Moved) },
                changed = self.view.changed() => if changed.is_err() { return Ok(Read::Moved) },
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

#[cfg(test)]
mod tests {
    use remuda_model::run::{Outcome, Record, Trouble, TroubleKind};

    use super::*;

    #[tokio::test]
    async fn records_that_break_off_are_not_taken_for_all() {
        let (to, mut records) = RecordStream::channel();
        let record =
            Record::without_answer(0, Outcome::Failed, Trouble::new(TroubleKind::Dns, "no name"));
        let batch = vec![Hosted { host: "h".to_owned(), vars: Vec::new(), record }];
        to.send(Ok(Some(batch.clone()))).await.expect("room");
        drop(to);
        assert_eq!(records.next().await, Ok(Some(batch)));
        assert_eq!(records.next().await, Err(moved()));
        assert_eq!(records.next().await, Ok(None));

        let (to, mut records) = RecordStream::channel();
        to.send(Ok(None)).await.expect("room");
        drop(to);
        assert_eq!(records.next().await, Ok(None));
        assert_eq!(records.next().await, Ok(None));
    }
}
