//! Content on disk, by digest.

mod error;
mod incoming;
mod outgoing;
mod shelf;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use blake3::Hasher;
use remuda_model::Digest;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use tokio::{sync::watch, task::spawn_blocking};

use self::shelf::{Item, Shelf};
pub use self::{error::StoreError, incoming::Incoming, outgoing::Outgoing};
use crate::{digest, placing};

/// What marks content that is not whole.
const PART: &str = ".part";
/// What was used so lately is not thrown away to make room.
const IN_USE: Duration = Duration::from_mins(10);

/// Where content is kept, and how much.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The directory; made when it does not exist. Only one store may use it.
    pub dir: PathBuf,
    /// How many bytes are kept: beyond it goes what was not used for longest. What arrives and
    /// what was used within ten minutes is kept besides.
    pub max_bytes: u64,
    /// How many bytes of the disk are left free for others.
    pub spare_bytes: u64,
}

impl StoreConfig {
    /// A store that keeps 10 GiB and leaves 256 MiB of the disk free.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), max_bytes: 10 << 30, spare_bytes: 256 << 20 }
    }
}

/// Content on disk, by digest. Cheap to clone.
///
/// What is there at the start was written before, perhaps just before the machine lost its power:
/// it is hashed when it is first used.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: StoreConfig,
    shelf: Mutex<Shelf>,
    /// Held while content of before the start is hashed.
    checking: tokio::sync::Mutex<()>,
}

/// How far content has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    /// So many bytes may be read.
    len: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Arriving,
    /// It is whole and has the right digest.
    Whole,
    /// No more comes; somebody may go on later.
    BrokenOff,
}

/// What there is of some content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// All of it.
    Whole {
        /// In bytes.
        size: u64,
    },
    /// Its beginning.
    Part {
        /// So many bytes.
        held: u64,
        /// Whether somebody sends more just now.
        arriving: bool,
    },
}

/// What becomes of content that somebody wants to bring.
#[derive(Debug)]
pub enum Receive {
    /// It is here already.
    Whole,
    /// It may come.
    Incoming(Incoming),
}

impl Store {
    /// Opens a store with what is in its directory; files that are none of its own are left alone.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made or read.
    pub async fn open(config: StoreConfig) -> io::Result<Self> {
        let dir = config.dir.clone();
        let shelf = spawn_blocking(move || scan(&dir)).await.map_err(io::Error::other)??;
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                shelf: Mutex::new(shelf),
                checking: tokio::sync::Mutex::default(),
            }),
        })
    }

    /// What there is of some content.
    pub fn find(&self, digest: &Digest) -> Option<Presence> {
        let mut shelf = self.shelf();
        let item = shelf.used(digest)?;
        Some(match item {
            Item::Whole { size, .. } => Presence::Whole { size: *size },
            Item::Part { held } => Presence::Part { held: *held, arriving: false },
            Item::Arriving { progress } => {
                Presence::Part { held: progress.borrow().len, arriving: true }
            }
            Item::Leaving => return None,
        })
    }

    /// The file of whole content, for those who check the digest of what they read.
    pub fn path(&self, digest: &Digest) -> Option<PathBuf> {
        let whole = matches!(self.shelf().used(digest), Some(Item::Whole { .. }));
        whole.then(|| self.inner.whole(digest))
    }

    /// Prepares for content of `size` bytes; what came earlier is kept.
    ///
    /// # Errors
    ///
    /// [`StoreError::Arriving`] while somebody else brings it, [`StoreError::NoRoom`] when the
    /// disk has no room for it.
    pub async fn receive(&self, digest: &Digest, size: u64) -> Result<Receive, StoreError> {
        match self.check(digest).await {
            // What was damaged is gone, and may come anew.
            Ok(()) | Err(StoreError::Absent) => {}
            Err(error) => return Err(error),
        }
        let (held, progress) = {
            let mut shelf = self.shelf();
            let held = match shelf.used(digest) {
                Some(Item::Whole { size: held, .. }) if *held == size => {
                    return Ok(Receive::Whole);
                }
                Some(Item::Whole { size: held, .. }) => {
                    return Err(StoreError::OtherSize { held: *held, size });
                }
                Some(Item::Arriving { .. } | Item::Leaving) => return Err(StoreError::Arriving),
                Some(Item::Part { held }) => Some(*held),
                None => None,
            };
            let progress = watch::Sender::new(Progress::default());
            shelf.put(digest.clone(), Item::Arriving { progress: progress.subscribe() });
            (held, progress)
        };
        let mut claim = incoming::Claim::new(self.clone(), digest.clone(), progress);
        held.inspect(|held| claim.advance(*held));
        let (inner, digest) = (Arc::clone(&self.inner), digest.clone());
        let opened = spawn_blocking(move || inner.open_part(&digest, size)).await;
        let (file, hasher, held) = opened.map_err(io::Error::other)??;
        claim.advance(held);
        Ok(Receive::Incoming(Incoming::new(claim, file, hasher, size)))
    }

    /// Hashes content that is here since before the start, unless that was done; what is damaged is
    /// thrown away.
    ///
    /// # Errors
    ///
    /// [`StoreError::Absent`] when it is neither here nor arriving, or was damaged.
    pub async fn check(&self, digest: &Digest) -> Result<(), StoreError> {
        if !self.shelf().holds(digest) {
            return Err(StoreError::Absent);
        }
        if !self.shelf().is_unchecked(digest) {
            return Ok(());
        }
        let _one_at_a_time = self.inner.checking.lock().await;
        if !self.shelf().is_unchecked(digest) {
            return Ok(());
        }
        let (inner, digest) = (Arc::clone(&self.inner), digest.clone());
        spawn_blocking(move || inner.check(&digest)).await.map_err(io::Error::other)?
    }

    /// Reads content from a byte on, also while it still arrives.
    ///
    /// # Errors
    ///
    /// [`StoreError::Absent`] when it is neither here nor arriving, or its file was damaged.
    pub async fn read(&self, digest: &Digest, size: u64, at: u64) -> Result<Outgoing, StoreError> {
        self.check(digest).await?;
        let (progress, pin) = {
            let mut shelf = self.shelf();
            let progress = match shelf.used(digest) {
                Some(Item::Whole { size, .. }) => {
                    watch::channel(Progress { len: *size, stage: Stage::Whole }).1
                }
                Some(Item::Arriving { progress }) => progress.clone(),
                Some(Item::Part { .. } | Item::Leaving) | None => return Err(StoreError::Absent),
            };
            (progress, shelf.pin(digest))
        };
        let (inner, digest) = (Arc::clone(&self.inner), digest.clone());
        let opened = spawn_blocking(move || inner.open_to_read(&digest, at));
        let file = opened.await.map_err(io::Error::other)??;
        Ok(Outgoing::new(file, (progress, pin), size, at))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.inner.shelf()
    }
}

impl Inner {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn whole(&self, digest: &Digest) -> PathBuf {
        self.config.dir.join(digest.as_str())
    }

    fn part(&self, digest: &Digest) -> PathBuf {
        self.config.dir.join(format!("{digest}{PART}"))
    }

    /// Opens what came of some content at its end, hashed so far, alone.
    fn open_part(&self, digest: &Digest, size: u64) -> Result<(File, Hasher, u64), StoreError> {
        let path = self.part(digest);
        let came = fs::metadata(&path).map_or(0, |meta| meta.len());
        self.make_room(size.saturating_sub(came))?;
        let file = File::options().read(true).append(true).create(true).open(path)?;
        // The last bytes of somebody who has stopped may still be on their way to the disk.
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(StoreError::Arriving),
            Err(error) => return Err(io::Error::from(error).into()),
        }
        if file.metadata()?.len() > size {
            file.set_len(0)?;
        }
        let mut hasher = Hasher::new();
        let held = digest::hash(&mut hasher, &file, u64::MAX)?;
        Ok((file, hasher, held))
    }

    /// Makes whole what has come, durably: whoever is told so may lose power.
    fn complete(&self, digest: &Digest, file: &File, size: u64) -> Result<(), StoreError> {
        if file.metadata()?.len() != size {
            return Err(StoreError::WrongDigest);
        }
        file.sync_all()?;
        fs::rename(self.part(digest), self.whole(digest))?;
        Ok(File::open(&self.config.dir)?.sync_all()?)
    }

    /// Throws away what was not used for longest until so many bytes more may be kept.
    fn make_room(&self, needed: u64) -> Result<(), StoreError> {
        let free = placing::free_bytes(File::open(&self.config.dir)?)?;
        let spare = self.config.spare_bytes;
        let missing = needed.saturating_add(spare).saturating_sub(free);
        let gone = self.shelf().outdated((needed, missing), self.config.max_bytes, Instant::now());
        let gone = gone.ok_or(StoreError::NoRoom { needed, free, spare })?;
        for old in gone {
            self.remove(&old);
            self.shelf().take(&old);
        }
        Ok(())
    }

    fn remove(&self, digest: &Digest) {
        for path in [self.whole(digest), self.part(digest)] {
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(path = %path.display(), %error, "cannot be removed"),
            }
        }
    }

    fn check(&self, digest: &Digest) -> Result<(), StoreError> {
        let found = crate::digest_of_file(&File::open(self.whole(digest))?)?;
        if found == *digest {
            self.shelf().checked(digest);
            return Ok(());
        }
        tracing::warn!(%digest, "content was damaged and is thrown away");
        {
            let mut shelf = self.shelf();
            if !shelf.is_unchecked(digest) {
                return Ok(());
            }
            shelf.leave(digest);
        }
        self.remove(digest);
        self.shelf().take(digest);
        Err(StoreError::Absent)
    }

    /// What arrives may become whole at any moment.
    fn open_to_read(&self, digest: &Digest, at: u64) -> Result<File, StoreError> {
        let open = |path: PathBuf| match File::open(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let mut file = open(self.whole(digest))?;
        if file.is_none() {
            file = open(self.part(digest))?;
        }
        if file.is_none() {
            file = open(self.whole(digest))?;
        }
        let mut file = file.ok_or(StoreError::Absent)?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(at))?;
        Ok(file)
    }
}

fn scan(dir: &Path) -> io::Result<Shelf> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut shelf = Shelf::default();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (name, meta) = (entry.file_name(), entry.metadata()?);
        let Some(name) = name.to_str().filter(|_| meta.is_file()) else { continue };
        let (name, is_part) = match name.strip_suffix(PART) {
            Some(name) => (name, true),
            None => (name, false),
        };
        let Ok(digest) = name.parse::<Digest>() else { continue };
        if is_part && shelf.holds(&digest) {
            continue;
        }
        let item = if is_part {
            Item::Part { held: meta.len() }
        } else {
            Item::Whole { size: meta.len(), checked: false }
        };
        shelf.put(digest, item);
    }
    Ok(shelf)
}

#[cfg(test)]
mod tests;
