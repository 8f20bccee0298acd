//! The form of a backup file.
//!
//! | bytes | what |
//! |---:|---|
//! | 8 | `RMDBKUP` and a zero |
//! | 4 | the form, 1; little endian |
//! | 1 | 0: open; 1: sealed by a passphrase |
//! | 28 | salt and nonce of the seal, or zeros |
//! | 8 | length of the body; little endian |
//! | 32 | SHA-256 of all other bytes, in order |
//! | | the body: postcard, sealed or not |
//!
//! The body holds the SHA-256 of the state as replicas compute it, so that a state which was read
//! but is not the one that was written is noticed too.

use remuda_link::{Authority, AuthorityError};
use remuda_model::{Chain, ClusterId, ErrorKind};
use remuda_state::ClusterState;
use remuda_wire::message::join;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Backup, seal};

const MAGIC: &[u8; 8] = b"RMDBKUP\0";
const FORM: u32 = 1;
/// Before the checksum.
const HEAD: usize = 8 + 4 + 1 + seal::PUBLIC + 8;
const CHECKSUM: usize = 32;

/// A file cannot be used as a backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// It does not begin as one.
    #[error("it is no backup of a remuda cluster")]
    Foreign,
    /// It ends too early, or bytes follow.
    #[error("it is incomplete or has bytes too many: {found} bytes instead of {expected}")]
    Length {
        /// What it says.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// It was changed since it was written.
    #[error("it is damaged: its checksum does not match")]
    Checksum,
    /// A newer version has written it.
    #[error("it has form {0}, which a newer version of remuda writes")]
    Newer(u32),
    /// It is sealed, and no passphrase was given.
    #[error("it is sealed by a passphrase")]
    Sealed,
    /// It is sealed by another passphrase.
    #[error("the passphrase is wrong")]
    Passphrase,
    /// What is in it makes no sense.
    #[error("its content cannot be used: {0}")]
    Content(String),
    /// The authority in it cannot be used.
    #[error("the authority in it cannot be used")]
    Authority(#[source] AuthorityError),
}

impl BackupError {
    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Sealed | Self::Passphrase => ErrorKind::Unauthenticated,
            _ => ErrorKind::Invalid,
        }
    }

    /// What to try.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Foreign => "give the file that `remuda cluster backup` wrote",
            Self::Length { .. } | Self::Checksum | Self::Content(_) | Self::Authority(_) => {
                "copy it again from where it was kept, or take an older backup"
            }
            Self::Newer(_) => "use the version of remuda that made it, or a later one",
            Self::Sealed => "give the passphrase with --passphrase-file",
            Self::Passphrase => "the file itself is whole; give the passphrase that sealed it",
        }
    }
}

/// Fields are only ever added at the end of a later form.
#[derive(Serialize, Deserialize)]
struct Body {
    made_ms: u64,
    version: String,
    cluster: ClusterId,
    state: Vec<u8>,
    hash: [u8; 32],
    ca: Vec<u8>,
    authority: join::Authority,
}

pub(super) fn write(backup: &Backup, passphrase: Option<&[u8]>) -> Vec<u8> {
    let authority = &backup.authority;
    let mut body = remuda_state::encode(&Body {
        made_ms: backup.made_ms,
        version: backup.version.clone(),
        cluster: authority.cluster().clone(),
        state: remuda_state::encode(&backup.state),
        hash: backup.state.hash(),
        ca: authority.ca_der().to_vec(),
        authority: authority.to_wire(),
    });
    let mut head = Vec::with_capacity(HEAD + CHECKSUM + body.len() + seal::TAG);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&FORM.to_le_bytes());
    head.push(u8::from(passphrase.is_some()));
    let public = passphrase.map_or([0; seal::PUBLIC], |_| seal::public());
    head.extend_from_slice(&public);
    let length = body.len() + if passphrase.is_some() { seal::TAG } else { 0 };
    head.extend_from_slice(&(length as u64).to_le_bytes());
    if let Some(passphrase) = passphrase {
        seal::seal(passphrase, &public, &head, &mut body);
    }
    let checksum = checksum(&head, &body);
    head.extend_from_slice(&checksum);
    head.extend_from_slice(&body);
    head
}

pub(super) fn read(bytes: &[u8], passphrase: Option<&[u8]>) -> Result<Backup, BackupError> {
    let is_ours = bytes.get(..MAGIC.len()).is_some_and(|magic| magic == MAGIC);
    if !is_ours {
        return Err(BackupError::Foreign);
    }
    let found = bytes.len() as u64;
    let short = || BackupError::Length { expected: (HEAD + CHECKSUM) as u64, found };
    let (head, rest) = bytes.split_at_checked(HEAD).ok_or_else(short)?;
    let (expected_sum, body) = rest.split_at_checked(CHECKSUM).ok_or_else(short)?;
    let (form, after) = head[MAGIC.len()..].split_first_chunk::<4>().ok_or_else(short)?;
    let form = u32::from_le_bytes(*form);
    if form != FORM {
        // Nothing is known of the rest, not even where its checksum stands.
        return Err(BackupError::Newer(form));
    }
    let (sealed, after) = after.split_first().ok_or_else(short)?;
    let (public, length) = after.split_first_chunk::<{ seal::PUBLIC }>().ok_or_else(short)?;
    let length = length.first_chunk::<8>().map(|length| u64::from_le_bytes(*length));
    let length = length.ok_or_else(short)?;
    if length != body.len() as u64 {
        let expected = length.saturating_add((HEAD + CHECKSUM) as u64);
        return Err(BackupError::Length { expected, found });
    }
    if checksum(head, body) != *expected_sum {
        return Err(BackupError::Checksum);
    }
    let mut opened;
    let body = match (sealed, passphrase) {
        (0, _) => body,
        (1, None) => return Err(BackupError::Sealed),
        (1, Some(passphrase)) => {
            opened = body.to_vec();
            seal::open(passphrase, public, head, &mut opened).ok_or(BackupError::Passphrase)?
        }
        _ => return Err(BackupError::Content("an unknown seal".to_owned())),
    };
    content(body)
}

fn content(body: &[u8]) -> Result<Backup, BackupError> {
    let unusable =
        |error: remuda_state::DecodeError| BackupError::Content(Chain(&error).to_string());
    let body: Body = remuda_state::decode(body).map_err(unusable)?;
    let state: ClusterState = remuda_state::decode(&body.state).map_err(unusable)?;
    state.invariants().map_err(BackupError::Content)?;
    if state.hash() != body.hash {
        return Err(BackupError::Content("the state is not the one that was written".to_owned()));
    }
    if state.cluster().map(|cluster| &cluster.id) != Some(&body.cluster) {
        let text = "state and authority are of different clusters".to_owned();
        return Err(BackupError::Content(text));
    }
    let authority = Authority::from_wire(&body.cluster, &body.ca, body.authority)
        .map_err(BackupError::Authority)?;
    Ok(Backup { made_ms: body.made_ms, version: body.version, state, authority })
}

fn checksum(head: &[u8], body: &[u8]) -> [u8; CHECKSUM] {
    let mut digest = Sha256::new();
    digest.update(head);
    digest.update(body);
    digest.finalize().into()
}
