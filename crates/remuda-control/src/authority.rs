//! The cluster's authority on the disk of each control node.
//!
//! The file `authority` in the data directory, for its owner only (mode 0600): eight bytes that say
//! what it is, the SHA-256 of the rest, and the rest. It is replaced as a whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use remuda_link::{Authority, AuthorityError};
use remuda_model::{ClusterId, Failure};
use remuda_state::{AuthorityRecord, AuthoritySecrets};
use remuda_wire::message::join;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The file's name.
const NAME: &str = "authority";
/// What the file is, and the number of its form.
const MAGIC: &[u8; 8] = b"rmdauth1";
/// The longest file that is read.
const MAX: u64 = 64 * 1024;

/// The authority cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityFileError {
    /// The file cannot be read or written.
    #[error("cannot use {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not what was written.
    #[error("{path} is damaged")]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// What it holds cannot be used.
    #[error("the authority in {path} cannot be used")]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: AuthorityError,
    },
}

#[derive(Serialize, Deserialize)]
struct Saved {
    cluster: ClusterId,
    ca: Vec<u8>,
    authority: join::Authority,
}

impl Saved {
    fn of(authority: &Authority) -> Self {
        Self {
            cluster: authority.cluster().clone(),
            ca: authority.ca_der().to_vec(),
            authority: authority.to_wire(),
        }
    }

    fn open(self) -> Result<Authority, AuthorityError> {
        Authority::from_wire(&self.cluster, &self.ca, self.authority)
    }
}

/// What a rotation works with: the CA that signs, and the one that will, once it is made known.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) signs: Authority,
    pub(crate) next: Option<Authority>,
}

impl Keys {
    /// As the state keeps them.
    pub(crate) fn to_secrets(&self) -> AuthoritySecrets {
        let saved = (Saved::of(&self.signs), self.next.as_ref().map(Saved::of));
        AuthoritySecrets::new(remuda_wire::encode(&saved).to_vec())
    }

    /// From the state.
    pub(crate) fn of(record: &AuthorityRecord) -> Result<Self, Failure> {
        let (signs, next): (Saved, Option<Saved>) = remuda_wire::decode(record.secrets.expose())
            .map_err(|error| Failure::internal(&error))?;
        let open = |saved: Saved| saved.open().map_err(|error| Failure::internal(&error));
        Ok(Self { signs: open(signs)?, next: next.map(open).transpose()? })
    }
}

/// Reads the authority, if there is one.
pub(crate) fn load(dir: &Path) -> Result<Option<Authority>, AuthorityFileError> {
    let path = dir.join(NAME);
    let bytes = match read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(AuthorityFileError::Io { path, source }),
    };
    let Some(saved) = parse(&bytes) else {
        return Err(AuthorityFileError::Damaged { path });
    };
    saved.open().map(Some).map_err(|source| AuthorityFileError::Unusable { path, source })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Option<Saved> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (hash, body) = rest.split_first_chunk::<32>()?;
    let found: [u8; 32] = Sha256::digest(body).into();
    if found != *hash {
        return None;
    }
    remuda_wire::decode(body).ok()
}

/// Writes the authority so that a crash leaves the old file or the new one.
pub(crate) fn save(dir: &Path, authority: &Authority) -> Result<(), AuthorityFileError> {
    let path = dir.join(NAME);
    let body = remuda_wire::encode(&Saved::of(authority));
    let hash: [u8; 32] = Sha256::digest(&body).into();
    let bytes = [MAGIC.as_slice(), &hash, &body].concat();
    write(dir, &path, &bytes).map_err(|source| AuthorityFileError::Io { path, source })
}

fn write(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let new = path.with_extension("new");
    // Whatever a crash has left may have other permissions.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_authority_comes_back_as_it_was_and_only_its_owner_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path()).unwrap().is_none());
        let authority = Authority::generate(&ClusterId::random()).unwrap();
        save(dir.path(), &authority).unwrap();
        save(dir.path(), &authority).unwrap();
        let found = load(dir.path()).unwrap().expect("saved");
        assert_eq!(found.pin(), authority.pin());
        assert_eq!(found.to_wire(), authority.to_wire());
        let mode = fs::metadata(dir.path().join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::generate(&ClusterId::random()).unwrap();
        save(dir.path(), &authority).unwrap();
        let path = dir.path().join(NAME);
        let whole = fs::read(&path).unwrap();
        for at in [0, 20, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            let error = load(dir.path()).expect_err("damaged");
            assert!(matches!(error, AuthorityFileError::Damaged { .. }), "{error}");
        }
    }
}
