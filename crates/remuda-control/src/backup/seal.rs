//! Encrypts a backup by a passphrase: AES-256-GCM under a key that PBKDF2-HMAC-SHA-256 makes of it.

use std::num::NonZeroU32;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    pbkdf2::{PBKDF2_HMAC_SHA256, derive},
};

const SALT: usize = 16;
/// Salt and nonce together.
pub(super) const PUBLIC: usize = SALT + NONCE_LEN;
/// How much longer the sealed bytes are.
pub(super) const TAG: usize = 16;
/// As for passwords of clusters: about a tenth of a second for each guess.
const ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).expect("not zero");

/// A fresh salt and nonce.
pub(super) fn public() -> [u8; PUBLIC] {
    let mut bytes = [0; PUBLIC];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

fn key(passphrase: &[u8], public: &[u8; PUBLIC]) -> (LessSafeKey, Nonce) {
    let (salt, nonce) = public.split_at(SALT);
    let mut bytes = [0; 32];
    derive(PBKDF2_HMAC_SHA256, ROUNDS, salt, passphrase, &mut bytes);
    let key = UnboundKey::new(&AES_256_GCM, &bytes).expect("a key of 32 bytes");
    let nonce = Nonce::try_assume_unique_for_key(nonce).expect("a nonce of its length");
    (LessSafeKey::new(key), nonce)
}

/// Seals the bytes, bound to the head of the file. The salt is fresh, so no nonce repeats.
pub(super) fn seal(passphrase: &[u8], public: &[u8; PUBLIC], head: &[u8], bytes: &mut Vec<u8>) {
    let (key, nonce) = key(passphrase, public);
    key.seal_in_place_append_tag(nonce, Aad::from(head), bytes)
        .expect("a backup is not as long as 64 GiB");
}

/// Opens what was sealed; `None` with another passphrase or head.
pub(super) fn open<'a>(
    passphrase: &[u8],
    public: &[u8; PUBLIC],
    head: &[u8],
    bytes: &'a mut [u8],
) -> Option<&'a [u8]> {
    let (key, nonce) = key(passphrase, public);
    key.open_in_place(nonce, Aad::from(head), bytes).ok().map(|bytes| &*bytes)
}
