//! What keeps the records of the log: files of raft-log, or the disk of a simulator.

use std::io;

use bytes::Bytes;
use raft_log::{RaftLog, api::raft_log_writer::RaftLogWriter};

use super::{
    Flushed, LogTypes,
    codec::{Blob, Payload},
    journal::Journal,
};
use crate::types::{RaftLogId, RaftVote};

/// What a log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) vote: Option<RaftVote>,
    /// The last entry, or the last purged one.
    pub(super) last: Option<RaftLogId>,
    pub(super) purged: Option<RaftLogId>,
    pub(super) committed: Option<RaftLogId>,
}

#[derive(Debug)]
pub(super) enum Backend {
    Files(Box<RaftLog<LogTypes>>),
    Simulated(Journal),
}

impl Backend {
    pub(super) fn state(&self) -> State {
        match self {
            Self::Files(log) => {
                let state = log.log_state();
                State {
                    vote: state.vote().map(|vote| vote.0),
                    last: state.last().map(|id| id.0),
                    purged: state.purged().map(|id| id.0),
                    committed: state.committed().map(|id| id.0),
                }
            }
            Self::Simulated(journal) => journal.state(),
        }
    }

    pub(super) fn save_vote(&mut self, vote: RaftVote) -> io::Result<()> {
        match self {
            Self::Files(log) => log.save_vote(Blob(vote)).map(drop),
            Self::Simulated(journal) => journal.save_vote(vote),
        }
    }

    pub(super) fn append(&mut self, entries: Vec<(RaftLogId, Bytes)>) -> io::Result<()> {
        match self {
            Self::Files(log) => {
                let entries = entries.into_iter().map(|(id, bytes)| (Blob(id), Payload(bytes)));
                log.append(entries).map(drop)
            }
            Self::Simulated(journal) => journal.append(entries),
        }
    }

    /// Makes the entries from this index on void.
    pub(super) fn truncate(&mut self, from: u64) -> io::Result<()> {
        match self {
            Self::Files(log) => log.truncate(from).map(drop),
            Self::Simulated(journal) => journal.truncate(from),
        }
    }

    pub(super) fn purge(&mut self, upto: RaftLogId) -> io::Result<()> {
        match self {
            Self::Files(log) => log.purge(Blob(upto)).map(drop),
            Self::Simulated(journal) => journal.purge(upto),
        }
    }

    pub(super) fn commit(&mut self, upto: RaftLogId) -> io::Result<()> {
        match self {
            Self::Files(log) => log.commit(Blob(upto)).map(drop),
            Self::Simulated(journal) => journal.commit(upto),
        }
    }

    /// Hands what was written to the disk; with `done` it says when the disk has it.
    pub(super) fn flush(&mut self, done: Option<Flushed>) -> io::Result<()> {
        match self {
            Self::Files(log) => log.flush(done.is_some(), done),
            Self::Simulated(journal) => {
                journal.flush(done);
                Ok(())
            }
        }
    }

    /// The entries from `from` up to before `to`, as long as `more` says of their bytes.
    pub(super) fn read(
        &self,
        from: u64,
        to: u64,
        mut more: impl FnMut(&Bytes) -> bool,
    ) -> io::Result<Vec<Bytes>> {
        let mut entries = Vec::new();
        match self {
            Self::Files(log) => {
                for item in log.read(from, to) {
                    let (_, payload) = item?;
                    if !more(&payload.0) {
                        break;
                    }
                    entries.push(payload.0);
                }
            }
            Self::Simulated(journal) => {
                entries.extend(journal.read(from, to).take_while(|bytes| more(bytes)).cloned());
            }
        }
        Ok(entries)
    }
}
