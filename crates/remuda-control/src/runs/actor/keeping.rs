//! What a run keeps: its records, where it stands, its end.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use remuda_model::{
    Failure,
    run::{Record, RunState},
};
use remuda_runtime::{Ended, blocking, wall_ms};

use super::{Actor, REFUSED};
use crate::runs::{dir::Saved, disk_failure, records::RecordsWriter};

/// When writing is tried again after the disk was full.
const DISK_AGAIN: Duration = Duration::from_secs(2);

/// Who has the file.
pub(super) enum Disk {
    Idle(RecordsWriter),
    Busy(BoxFuture<'static, Result<Written, Ended>>),
    /// Only while it changes hands.
    Nobody,
}

/// What came of writing.
pub(super) struct Written {
    writer: RecordsWriter,
    result: std::io::Result<()>,
    /// What was not written.
    back: Vec<Record>,
}

impl Actor {
    /// Keeps where the run stands.
    pub(super) async fn save(&mut self) -> Result<(), Failure> {
        self.save_as(self.saved.clone()).await
    }

    /// Keeps that the run is cancelled, though the disk is full.
    pub(super) async fn note_cancelled(&mut self, failure: Failure) -> Result<(), Failure> {
        let dir = self.dir.clone();
        let noted = blocking(move || dir.note_cancelled()).await;
        if matches!(noted, Ok(Ok(()))) { Ok(()) } else { Err(failure) }
    }

    pub(super) async fn save_as(&mut self, saved: Saved) -> Result<(), Failure> {
        let dir = self.dir.clone();
        let done = blocking(move || dir.save(&saved)).await;
        done.map_err(|error| Failure::internal(&error))?.map_err(|error| disk_failure(&error))?;
        self.second.has(|here| here.saves += 1);
        Ok(())
    }

    pub(super) fn keep(&mut self, record: Record) {
        self.control.shared.stats.runs.settled(record.outcome);
        self.summary.add(&record);
        self.waiting_bytes += 128 + record.body.len() + record.stderr.len();
        self.waiting.push(record);
    }

    /// Writes what waits, unless that is under way. It survives a loss of power before anybody sees
    /// it.
    pub(super) fn write(&mut self, now: bool) {
        if self.full.is_some() || !now || (self.waiting.is_empty() && self.is_synced) {
            return;
        }
        let mut writer = match std::mem::replace(&mut self.disk, Disk::Nobody) {
            Disk::Idle(writer) => writer,
            busy => {
                self.disk = busy;
                return;
            }
        };
        let records = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.is_synced = false;
        self.disk = Disk::Busy(Box::pin(blocking(move || {
            let appended = if records.is_empty() { Ok(()) } else { writer.append(&records) };
            let back = if appended.is_err() { records } else { Vec::new() };
            let result = appended.and_then(|()| writer.sync());
            Written { writer, result, back }
        })));
    }

    pub(super) fn wrote(&mut self, written: Written) {
        let Written { writer, result, mut back } = written;
        match result {
            Ok(()) => {
                self.is_synced = true;
                self.second.has(|here| here.records = writer.length());
            }
            Err(error) => self.disk_is_full(error.to_string()),
        }
        self.disk = Disk::Idle(writer);
        if !back.is_empty() {
            self.waiting_bytes += back
                .iter()
                .map(|record| 128 + record.body.len() + record.stderr.len())
                .sum::<usize>();
            back.append(&mut self.waiting);
            self.waiting = back;
        }
    }

    /// Shows the records that are in both copies.
    pub(super) fn show_records(&mut self) {
        let counts = self.second.records();
        self.told.length.send_if_modified(|length| {
            let more = counts > *length;
            *length = counts.max(*length);
            more
        });
    }

    pub(super) fn disk_is_full(&mut self, error: String) {
        tracing::warn!(run = %self.saved.id, error, "cannot keep the records of a run");
        self.full = Some((error, Instant::now() + DISK_AGAIN));
    }

    /// Ends the run. Returns whether that is kept.
    pub(super) async fn end(&mut self) -> bool {
        if self.ended.is_none() && !self.keep_end().await {
            return false;
        }
        // Not before the second copy is whole too.
        if !self.second.has_all() {
            return false;
        }
        let Some(saved) = self.ended.take() else { return false };
        self.saved = saved;
        let dir = self.dir.clone();
        if let Ok(Err(error)) = blocking(move || dir.tidy()).await {
            tracing::warn!(run = %self.saved.id, %error, "the secrets of a run stay until it is removed");
        }
        self.publish();
        true
    }

    /// Writes down that the run has ended. Returns whether that was possible.
    pub(super) async fn keep_end(&mut self) -> bool {
        if self.full.is_some() {
            return false;
        }
        let Disk::Idle(writer) = &mut self.disk else { return false };
        let synced = writer.sync().map_err(|error| disk_failure(&error));
        let length = writer.length();
        if synced.is_ok() {
            self.second.has(|here| here.records = length);
        }
        self.parts.clear();
        let is_cancelled = self.saved.given_up.is_some_and(|why| why != REFUSED);
        let saved = Saved {
            state: if is_cancelled { RunState::Cancelled } else { RunState::Finished },
            ended_ms: Some(wall_ms()),
            summary: Some(self.summary.clone()),
            slowest: self.slowest(),
            ..self.saved.clone()
        };
        let kept = match synced {
            Ok(()) => self.save_as(saved.clone()).await,
            failed => failed,
        };
        match kept {
            Ok(()) => {
                self.turn.leave();
                self.ended = Some(saved);
                true
            }
            Err(failure) => {
                self.disk_is_full(failure.to_string());
                false
            }
        }
    }

    /// Keeps what came, for the next start.
    pub(super) async fn leave(&mut self) {
        self.parts.clear();
        if let Some(written) = unfinished(&mut self.disk).await {
            self.wrote(written);
        }
        self.full = None;
        self.write(true);
        if let Some(written) = unfinished(&mut self.disk).await {
            self.wrote(written);
        }
        if let Err(failure) = self.save().await {
            tracing::warn!(run = %self.saved.id, %failure, "where a run stands is not kept");
        }
    }
}

/// Waits for what is being written; for ever when nothing is.
pub(super) async fn written(disk: &mut Disk) -> Option<Written> {
    match disk {
        Disk::Busy(handle) => handle.await.ok(),
        Disk::Idle(_) | Disk::Nobody => std::future::pending().await,
    }
}

/// Waits for what is being written, if anything is.
pub(super) async fn unfinished(disk: &mut Disk) -> Option<Written> {
    match disk {
        Disk::Busy(handle) => handle.await.ok(),
        Disk::Idle(_) | Disk::Nobody => None,
    }
}
