//! The secret that both sides share before there are certificates.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Rounds of PBKDF2 for a human password.
pub const ITERATIONS: u32 = 600_000;
/// Fewer rounds make guessing too cheap.
pub const MIN_ITERATIONS: u32 = 100_000;
/// More rounds would let one side keep the other busy.
pub const MAX_ITERATIONS: u32 = 10_000_000;

/// Passwords that everybody tries first, of those long enough to be accepted otherwise.
const COMMON: [&str; 16] = [
    "123456789012",
    "1234567890123",
    "123123123123",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "administrator",
    "changemenow!",
    "changeme1234",
    "letmeinplease",
    "nkclusternkcluster",
    "password1234",
    "passwordpassword",
    "qwertyuiop12",
    "qwertyuiop[]",
    "remudaremuda",
    "unbelievable",
];

/// 32 secret bytes, wiped from memory when dropped; `Debug` shows `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// Wraps the bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for computing with them.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How the key was made from what people know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kdf {
    /// It is random already.
    None,
    /// From a password.
    Pbkdf2 {
        /// Rounds.
        iterations: u32,
        /// The salt, `remuda/v1/` and the name of the cluster.
        salt: Vec<u8>,
    },
}

impl Kdf {
    /// Its word in the transcript.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pbkdf2 { .. } => "pbkdf2-hmac-sha256",
        }
    }

    /// Its rounds; 0 for a random key.
    pub fn iterations(&self) -> u32 {
        match self {
            Self::None => 0,
            Self::Pbkdf2 { iterations, .. } => *iterations,
        }
    }

    /// Its salt; empty for a random key.
    pub fn salt(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Pbkdf2 { salt, .. } => salt,
        }
    }

    /// Checks the bounds, of one's own parameters as of a peer's.
    ///
    /// # Errors
    ///
    /// [`KdfError`] names the bound.
    pub fn check(&self) -> Result<(), KdfError> {
        match self {
            Self::Pbkdf2 { iterations, .. }
                if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(iterations) =>
            {
                Err(KdfError::Iterations(*iterations))
            }
            Self::Pbkdf2 { salt, .. } if !(1..=256).contains(&salt.len()) => {
                Err(KdfError::Salt(salt.len()))
            }
            Self::None | Self::Pbkdf2 { .. } => Ok(()),
        }
    }
}

/// The parameters for stretching a password are out of bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KdfError {
    /// Too few or too many rounds.
    #[error("{0} PBKDF2 iterations; allowed are {MIN_ITERATIONS} to {MAX_ITERATIONS}")]
    Iterations(u32),
    /// No salt, or a giant one.
    #[error("a salt of {0} bytes; allowed are 1 to 256")]
    Salt(usize),
}

/// What a node proves to know when it has no certificate: a random key, or a stretched password.
///
/// Cheap to clone; wiped when dropped; `Debug` shows `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    key: Key,
    kdf: Kdf,
    is_weak: bool,
}

impl Secret {
    /// A random key, as join tokens carry it.
    pub fn random_key(bytes: [u8; 32]) -> Self {
        Self { key: Key::new(bytes), kdf: Kdf::None, is_weak: false }
    }

    /// Stretches a password with [`ITERATIONS`] rounds, which takes some tenths of a second: call
    /// it once, on a blocking thread, and keep the result.
    pub fn from_password(password: &str, cluster_name: &str) -> Self {
        let kdf = Kdf::Pbkdf2 {
            iterations: ITERATIONS,
            salt: [b"remuda/v1/", cluster_name.as_bytes()].concat(),
        };
        let key = stretch(password, kdf.salt(), kdf.iterations());
        Self { key, kdf, is_weak: is_weak(password) }
    }

    /// A password that was stretched before, with the parameters that were used.
    ///
    /// # Errors
    ///
    /// [`KdfError`] when the parameters are out of bounds.
    pub fn stretched(key: [u8; 32], kdf: Kdf) -> Result<Self, KdfError> {
        kdf.check()?;
        Ok(Self { key: Key::new(key), kdf, is_weak: false })
    }

    /// The key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// How it was made.
    pub fn kdf(&self) -> &Kdf {
        &self.kdf
    }

    /// Whether it comes from a password that is short or everybody's first guess. Such a secret
    /// serves on loopback only.
    pub fn is_weak(&self) -> bool {
        self.is_weak
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// PBKDF2-HMAC-SHA-256.
pub(super) fn stretch(password: &str, salt: &[u8], iterations: u32) -> Key {
    let mut key = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut key);
    Key::new(key)
}

fn is_weak(password: &str) -> bool {
    let lower = password.to_lowercase();
    let mut chars = lower.chars();
    let first = chars.next();
    lower.chars().count() < 12
        || COMMON.contains(&lower.as_str())
        || chars.all(|char| Some(char) == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_out_of_bounds_are_refused() {
        let kdf = |iterations| Kdf::Pbkdf2 { iterations, salt: b"remuda/v1/x".to_vec() };
        for bad in [0, 1, MIN_ITERATIONS - 1, MAX_ITERATIONS + 1, u32::MAX] {
            assert_eq!(kdf(bad).check(), Err(KdfError::Iterations(bad)));
            assert!(Secret::stretched([0; 32], kdf(bad)).is_err());
        }
        for good in [MIN_ITERATIONS, ITERATIONS, MAX_ITERATIONS] {
            assert_eq!(kdf(good).check(), Ok(()));
        }
        let unsalted = Kdf::Pbkdf2 { iterations: ITERATIONS, salt: Vec::new() };
        assert_eq!(unsalted.check(), Err(KdfError::Salt(0)));
    }

    #[test]
    fn first_guesses_are_weak() {
        for weak in ["nkcluster", "changeme", "aaaaaaaaaaaaaaaa", "Password1234", "elevenchars"] {
            assert!(is_weak(weak), "{weak}");
        }
        assert!(!is_weak("correct horse battery"));
    }

    #[test]
    fn secrets_are_never_shown() {
        let secret = Secret::random_key([7; 32]);
        assert_eq!(format!("{secret:?} {:?}", secret.key()), "*** ***");
    }
}
