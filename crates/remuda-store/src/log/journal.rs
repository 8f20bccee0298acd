//! A log on the disk of a simulator: its records, and what they add up to.

use std::{collections::BTreeMap, io, sync::Arc};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{Flushed, backend::State};
use crate::{
    disk::{Disk, Record},
    types::{RaftLogId, RaftVote},
};

#[derive(Debug)]
pub(super) struct Journal {
    disk: Arc<dyn Disk>,
    state: State,
    entries: BTreeMap<u64, (RaftLogId, Bytes)>,
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    remuda_state::decode(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

impl Journal {
    /// Replays what the disk has.
    pub(super) fn open(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let records = disk.records()?;
        let mut journal = Self { disk, state: State::default(), entries: BTreeMap::new() };
        for record in records {
            journal.apply(&record)?;
        }
        Ok(journal)
    }

    pub(super) fn state(&self) -> State {
        let last = self.entries.last_key_value().map(|(_, (id, _))| *id);
        State { last: last.max(self.state.purged), ..self.state }
    }

    fn apply(&mut self, record: &Record) -> io::Result<()> {
        match record {
            Record::Vote(vote) => self.state.vote = Some(decode(vote)?),
            Record::Entry { index, id, entry } => {
                let follows = self.state().last.is_none_or(|last| last.index + 1 == *index);
                if !follows {
                    return Err(io::Error::other(format!(
                        "entry {index} does not follow the last"
                    )));
                }
                self.entries.insert(*index, (decode(id)?, entry.clone()));
            }
            Record::Truncate(from) => {
                drop(self.entries.split_off(from));
            }
            Record::Purge(upto) => {
                let upto: RaftLogId = decode(upto)?;
                if self.state.purged < Some(upto) {
                    self.state.purged = Some(upto);
                    self.entries = self.entries.split_off(&(upto.index + 1));
                }
            }
            Record::Committed(upto) => self.state.committed = Some(decode(upto)?),
        }
        Ok(())
    }

    fn write(&mut self, record: Record) -> io::Result<()> {
        self.apply(&record)?;
        self.disk.append(record)
    }

    pub(super) fn save_vote(&mut self, vote: RaftVote) -> io::Result<()> {
        self.write(Record::Vote(remuda_state::encode(&vote).into()))
    }

    pub(super) fn append(&mut self, entries: Vec<(RaftLogId, Bytes)>) -> io::Result<()> {
        for (id, entry) in entries {
            let (index, id) = (id.index, remuda_state::encode(&id).into());
            self.write(Record::Entry { index, id, entry })?;
        }
        Ok(())
    }

    pub(super) fn truncate(&mut self, from: u64) -> io::Result<()> {
        self.write(Record::Truncate(from))
    }

    pub(super) fn purge(&mut self, upto: RaftLogId) -> io::Result<()> {
        self.write(Record::Purge(remuda_state::encode(&upto).into()))
    }

    pub(super) fn commit(&mut self, upto: RaftLogId) -> io::Result<()> {
        self.write(Record::Committed(remuda_state::encode(&upto).into()))
    }

    pub(super) fn flush(&self, done: Option<Flushed>) {
        if let Some(Flushed(done)) = done {
            self.disk.sync(done);
        }
    }

    pub(super) fn read(&self, from: u64, to: u64) -> impl Iterator<Item = &Bytes> {
        self.entries.range(from..to.max(from)).map(|(_, (_, entry))| entry)
    }
}
