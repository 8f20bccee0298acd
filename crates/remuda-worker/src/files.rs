//! The files of a node that control nodes may read and write.

mod arrival;
mod leftovers;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use remuda_artifact::{FileInfo, PathError, Place, Roots, Store, digest_of_file};
use remuda_model::{Digest, ErrorKind, Failure};
use remuda_runtime::CancellationToken;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

pub(crate) use self::arrival::Arrival;
use self::leftovers::Leftovers;

/// How many files may come and go at a time.
const TRANSFERS: usize = 32;
/// How often files that broke off are looked for.
const SWEEP: Duration = Duration::from_mins(10);
/// The most bytes of a file that fit in a request or its answer.
const MAX_INLINE: u64 = 1 << 20;

/// Which files of a node may be read and written from elsewhere.
#[derive(Clone, Debug)]
pub struct FilesConfig {
    /// The directories.
    pub roots: Vec<PathBuf>,
    /// What is out of reach beneath them, such as the data directory of the node.
    pub except: Vec<PathBuf>,
    /// Content by digest.
    pub artifacts: Store,
}

/// The files of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    roots: Roots,
    artifacts: Store,
    leftovers: Arc<Leftovers>,
    transfers: Arc<Semaphore>,
}

impl Files {
    /// Opens the directories; files that broke off are remembered in `dir`.
    pub(crate) async fn open(config: FilesConfig, dir: PathBuf) -> io::Result<Self> {
        let FilesConfig { roots, except, artifacts } = config;
        let opened = spawn_blocking(move || {
            Ok::<_, io::Error>((Roots::open(&roots, &except)?, Leftovers::open(dir)?))
        });
        let (roots, leftovers) = opened.await.map_err(io::Error::other)??;
        let transfers = Arc::new(Semaphore::new(TRANSFERS));
        Ok(Self { roots, artifacts, leftovers: Arc::new(leftovers), transfers })
    }

    /// The right to send or receive one file.
    pub(crate) fn begin_transfer(&self) -> Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(&self.transfers).try_acquire_owned().map_err(|_full| {
            let text = format!("this node sends and receives {TRANSFERS} files already");
            Failure::new(ErrorKind::Unavailable, text).code("too_many_transfers")
        })
    }

    /// Opens a file to read it.
    pub(crate) async fn read(&self, path: String) -> Result<(std::fs::File, FileInfo), Failure> {
        let roots = self.roots.clone();
        let opened = spawn_blocking(move || roots.locate(&path)?.open_file());
        Ok(opened.await.map_err(|error| Failure::internal(&error))??)
    }

    /// What a file is, its digest included.
    pub(crate) async fn stat(&self, path: String) -> Result<(FileInfo, Digest), Failure> {
        let permit = self.begin_transfer()?;
        let (file, info) = self.read(path).await?;
        let hashed = spawn_blocking(move || {
            let digest = digest_of_file(&file);
            // It is hashed to its end even when nobody waits any more.
            drop(permit);
            digest
        });
        let hashed = hashed.await;
        let digest = hashed.map_err(|error| Failure::internal(&error))?;
        Ok((info, digest.map_err(|error| unreadable(&error))?))
    }

    /// A whole file of at most 1 MiB.
    pub(crate) async fn read_small(&self, path: String) -> Result<Vec<u8>, Failure> {
        let (file, _info) = self.read(path).await?;
        let read = spawn_blocking(move || {
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut io::Read::take(file, MAX_INLINE + 1), &mut bytes)?;
            Ok::<_, io::Error>(bytes)
        });
        let bytes = read.await.map_err(|error| Failure::internal(&error))?;
        let bytes = bytes.map_err(|error| unreadable(&error))?;
        if bytes.len() as u64 > MAX_INLINE {
            return Err(Failure::invalid("the file is longer than 1 MiB")
                .code("file_too_large")
                .hint("`remuda cp` fetches files of any size"));
        }
        Ok(bytes)
    }

    async fn place(&self, path: String, name: String) -> Result<Place, Failure> {
        let roots = self.roots.clone();
        let opened = spawn_blocking(move || roots.locate(&path)?.make_place(&name));
        let place: Result<Place, PathError> =
            opened.await.map_err(|error| Failure::internal(&error))?;
        Ok(place?)
    }

    /// Takes away, from time to time, what broke off and nobody goes on with.
    pub(crate) async fn sweep(self, stop: CancellationToken) {
        loop {
            let (roots, leftovers) = (self.roots.clone(), Arc::clone(&self.leftovers));
            if let Err(error) = spawn_blocking(move || leftovers.sweep(&roots)).await {
                tracing::error!(%error, "the search for files that broke off failed");
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SWEEP) => {}
            }
        }
    }
}

pub(crate) fn unreadable(error: &io::Error) -> Failure {
    Failure::new(ErrorKind::Unavailable, format!("the file cannot be read: {error}"))
        .code("file_unreadable")
}
