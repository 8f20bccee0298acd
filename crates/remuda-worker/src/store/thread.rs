//! The thread that owns the database file.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
};
use tokio::sync::{mpsc, oneshot};

use super::{Change, Loaded, StoreError, Table, envelope};

/// Operations that share one sync of the disk at most.
const GROUP: usize = 256;
/// Memory for pages: records are small, and what is read often is kept by its user.
const CACHE_BYTES: usize = 4 << 20;

type Bytes = TableDefinition<'static, &'static [u8], &'static [u8]>;
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// What the thread is asked to do.
#[derive(Debug)]
pub(super) enum Op {
    Write { changes: Vec<Change>, reply: oneshot::Sender<Result<(), StoreError>> },
    Read { table: Table, key: Vec<u8>, reply: oneshot::Sender<Result<Option<Vec<u8>>, StoreError>> },
    Close { reply: oneshot::Sender<()> },
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Tasks => "tasks",
            Self::Data => "data",
            Self::Events => "events",
        }
    }

    fn definition(self) -> Bytes {
        TableDefinition::new(self.name())
    }
}

/// Opens or makes the file and reads it.
pub(super) fn open(path: &Path) -> Result<(Database, Loaded), StoreError> {
    let damaged = |what: String| StoreError::Damaged { path: path.to_owned(), what };
    let made = if path.exists() { Ok(()) } else { make(path) };
    let opened = made.and_then(|()| Database::builder().set_cache_size(CACHE_BYTES).open(path));
    let database = opened.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.to_owned() },
        DatabaseError::Storage(StorageError::Corrupted(what)) => damaged(what),
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() == io::ErrorKind::InvalidData =>
        {
            damaged(error.to_string())
        }
        DatabaseError::RepairAborted | DatabaseError::UpgradeRequired(_) => {
            damaged(error.to_string())
        }
        source => StoreError::Open { path: path.to_owned(), source },
    })?;
    let mut loaded = Loaded::default();
    let everything = (|| {
        let transaction = database.begin_write()?;
        for table in [Table::Meta, Table::Tasks, Table::Data, Table::Events] {
            transaction.open_table(table.definition())?;
        }
        transaction.commit()?;
        loaded.meta = pairs(&database, Table::Meta)?;
        loaded.tasks = pairs(&database, Table::Tasks)?;
        loaded.events = pairs(&database, Table::Events)?;
        loaded.data_keys = keys(&database, Table::Data)?;
        Ok(())
    })();
    match everything {
        Ok(()) => (),
        Err(redb::Error::Corrupted(what)) => return Err(damaged(what)),
        Err(error) => return Err(disk(path, error)),
    }
    for (table, all) in [
        (Table::Meta, &mut loaded.meta),
        (Table::Tasks, &mut loaded.tasks),
        (Table::Events, &mut loaded.events),
    ] {
        for (key, value) in all {
            let inner =
                envelope::unseal(table.name(), key, value).ok_or_else(|| bad(path, table, key))?;
            *value = inner.to_vec();
        }
    }
    Ok((database, loaded))
}

/// Makes the file. It appears whole or not at all: what is killed in the middle of it leaves one that
/// the database does not know again.
fn make(path: &Path) -> Result<(), DatabaseError> {
    let hidden = path.with_extension("redb.new");
    let cleared = match fs::remove_file(&hidden) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    cleared.map_err(StorageError::Io)?;
    drop(Database::create(&hidden)?);
    let folder = path.parent().unwrap_or(Path::new("."));
    let moved = fs::rename(&hidden, path).and_then(|()| File::open(folder)?.sync_all());
    Ok(moved.map_err(StorageError::Io)?)
}

fn bad(path: &Path, table: Table, key: &[u8]) -> StoreError {
    let (table, key) = (table.name(), String::from_utf8_lossy(key));
    StoreError::Damaged {
        path: path.to_owned(),
        what: format!("the checksum of `{key}` in {table} is wrong"),
    }
}

fn disk(path: &Path, error: redb::Error) -> StoreError {
    StoreError::Disk { path: path.to_owned(), source: Arc::new(error) }
}

fn pairs(database: &Database, table: Table) -> Result<Pairs, redb::Error> {
    let table = database.begin_read()?.open_table(table.definition())?;
    let rows = table.iter()?.map(|row| {
        let (key, value) = row?;
        Ok((key.value().to_vec(), value.value().to_vec()))
    });
    rows.collect()
}

fn keys(database: &Database, table: Table) -> Result<Vec<Vec<u8>>, redb::Error> {
    let table = database.begin_read()?.open_table(table.definition())?;
    table.iter()?.map(|row| Ok(row?.0.value().to_vec())).collect()
}

/// Starts the thread; it ends when it is told to, or when all handles are gone.
pub(super) fn spawn(path: PathBuf, database: Database, inbox: mpsc::Receiver<Op>) {
    let owner = Owner { path, database };
    std::thread::Builder::new()
        .name("worker-store".to_owned())
        .spawn(move || owner.run(inbox))
        .expect("the operating system starts a thread");
}

struct Owner {
    path: PathBuf,
    database: Database,
}

impl Owner {
    fn run(self, mut inbox: mpsc::Receiver<Op>) {
        while let Some(first) = inbox.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP
                && let Ok(next) = inbox.try_recv()
            {
                group.push(next);
            }
            if let Some(closed) = self.perform(group) {
                drop(self.database);
                // Whoever asked may have stopped waiting.
                let _ = closed.send(());
                return;
            }
        }
    }

    /// Performs a group in order; gives back where to report when it is to close.
    fn perform(&self, group: Vec<Op>) -> Option<oneshot::Sender<()>> {
        let mut writes = Vec::new();
        let mut replies = Vec::new();
        let mut reads = Vec::new();
        let mut close = None;
        for op in group {
            match op {
                Op::Write { changes, reply } => {
                    writes.extend(changes);
                    replies.push(reply);
                }
                Op::Read { table, key, reply } => reads.push((table, key, reply)),
                Op::Close { reply } => close = Some(reply),
            }
        }
        if !replies.is_empty() {
            let outcome = self.write(&writes).map_err(Arc::new);
            if let Err(error) = &outcome {
                tracing::error!(path = %self.path.display(), %error, "cannot write the records");
            }
            for reply in replies {
                let path = || self.path.clone();
                let failed = |source| StoreError::Disk { path: path(), source };
                drop(reply.send(outcome.clone().map_err(failed)));
            }
        }
        for (table, key, reply) in reads {
            drop(reply.send(self.read(table, &key)));
        }
        close
    }

    fn write(&self, changes: &[Change]) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        for change in changes {
            match change {
                Change::Put { table, key, value } => {
                    let sealed = envelope::seal(table.name(), key, value);
                    let mut open = transaction.open_table(table.definition())?;
                    open.insert(key.as_slice(), sealed.as_slice())?;
                }
                Change::Delete { table, key } => {
                    transaction.open_table(table.definition())?.remove(key.as_slice())?;
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed = (|| {
            let open = self.database.begin_read()?.open_table(table.definition())?;
            Ok(open.get(key)?.map(|value| value.value().to_vec()))
        })()
        .map_err(|error| disk(&self.path, error))?;
        let Some(sealed) = sealed else { return Ok(None) };
        let value = envelope::unseal(table.name(), key, &sealed);
        value.map(|value| Some(value.to_vec())).ok_or_else(|| bad(&self.path, table, key))
    }
}
