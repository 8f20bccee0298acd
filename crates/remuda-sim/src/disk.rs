//! A disk that loses in a crash what was not synced.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use remuda_store::disk::{Disk, Record, Synced};
use tokio::time::Instant;

use crate::{mutant::Mutant, world};

/// The disk of one control node; it outlives its host.
#[derive(Debug, Default)]
pub(crate) struct SimDisk {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    records: Vec<Record>,
    /// How many of them no crash can take away.
    durable: usize,
    files: BTreeMap<String, Vec<u8>>,
    /// What files were before they were replaced without being synced.
    before: BTreeMap<String, Option<Vec<u8>>>,
    /// Syncs end one after the other.
    busy_until: Option<Instant>,
    /// How long a sync takes at most, in milliseconds.
    slowness: u64,
}

impl SimDisk {
    pub(crate) fn new(slowness: u64) -> Arc<Self> {
        let inner = Inner { slowness, ..Inner::default() };
        Arc::new(Self { inner: Mutex::new(inner) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power goes: of what was not synced, some first part survives. Returns how many records
    /// were lost.
    pub(crate) fn crash(&self, mutant: Option<Mutant>) -> usize {
        let mut inner = self.lock();
        inner.busy_until = None;
        let unsynced = inner.records.len() - inner.durable;
        let survive = inner.durable + fastrand::usize(..=unsynced);
        let torn = survive < inner.records.len();
        let lost = inner.records.len() - survive;
        inner.records.truncate(survive);
        if mutant == Some(Mutant::VoteNotSynced) {
            let last = inner.records.iter().rposition(|record| matches!(record, Record::Vote(_)));
            let n_votes =
                inner.records.iter().filter(|record| matches!(record, Record::Vote(_))).count();
            if let Some(last) = last.filter(|_| n_votes > 1) {
                inner.records.remove(last);
            }
        }
        if mutant == Some(Mutant::TornTailIsEmptyLog) && torn {
            inner.records.clear();
            inner.files.clear();
        }
        for (name, before) in std::mem::take(&mut inner.before) {
            match before {
                Some(bytes) => drop(inner.files.insert(name, bytes)),
                None => drop(inner.files.remove(&name)),
            }
        }
        inner.durable = inner.records.len();
        lost
    }
}

/// A sync that is under way; it ends with its host.
async fn sync(disk: Arc<SimDisk>, upto: usize, end: Instant, done: Synced) {
    tokio::time::sleep_until(end).await;
    {
        let mut inner = disk.lock();
        let upto = upto.min(inner.records.len());
        inner.durable = inner.durable.max(upto);
    }
    done(Ok(()));
}

/// The disk as its replica sees it.
#[derive(Clone, Debug)]
pub(crate) struct Mounted(pub(crate) Arc<SimDisk>);

impl Disk for Mounted {
    fn records(&self) -> io::Result<Vec<Record>> {
        Ok(self.0.lock().records.clone())
    }

    fn append(&self, record: Record) -> io::Result<()> {
        self.0.lock().records.push(record);
        Ok(())
    }

    fn sync(&self, done: Synced) {
        let (upto, end) = {
            let mut inner = self.0.lock();
            let now = Instant::now();
            let start = inner.busy_until.map_or(now, |busy| busy.max(now));
            let end = start + Duration::from_millis(fastrand::u64(..=inner.slowness));
            inner.busy_until = Some(end);
            (inner.records.len(), end)
        };
        if world::mutant() == Some(Mutant::AckBeforeSync) {
            done(Ok(()));
            let disk = Arc::clone(&self.0);
            let later = end + Duration::from_millis(200);
            world::spawn(async move { sync(disk, upto, later, Box::new(drop)).await });
            return;
        }
        let disk = Arc::clone(&self.0);
        world::spawn(async move { sync(disk, upto, end, done).await });
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().files.get(name).cloned())
    }

    fn replace(&self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        let mut inner = self.0.lock();
        let before = inner.files.insert(name.to_owned(), bytes);
        if world::mutant() == Some(Mutant::SnapshotNotSynced) && name.ends_with(".snapshot") {
            inner.before.entry(name.to_owned()).or_insert(before);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().files.remove(name);
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().files.keys().cloned().collect())
    }
}
