//! RSA keys of users, which AWS-LC signs with: its time does not depend on the key. The SSH library
//! would sign by the crate `rsa`, whose time does (RUSTSEC-2023-0071).

use std::fmt::Display;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeyPairComponents, PublicKeyComponents},
    signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaSignatureEncoding},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use crypto_bigint::BoxedUint;
use pkcs8::{
    EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef,
    der::{Reader as _, SliceReader, asn1::UintRef},
};
use remuda_model::Failure;
use russh::{
    SendError, Signer,
    keys::{
        Algorithm, HashAlg, PublicKey,
        agent::AgentIdentity,
        ssh_encoding::Encode as _,
        ssh_key::{
            self, Mpint, Signature, private::RsaKeypair, public::KeyData, public::RsaPublicKey,
        },
    },
};
use zeroize::Zeroizing;

/// A shorter key can be broken.
const MIN_BITS: u32 = 2048;
/// AWS-LC takes no longer one.
const MAX_BITS: u32 = 8192;
/// How to make OpenSSH's own form of another one.
pub(super) const CONVERT: &str = "`ssh-keygen -p -f KEY` writes a key in a form that is understood";

/// A key that can sign.
pub(super) struct RsaKey {
    pair: KeyPair,
    public: PublicKey,
}

impl RsaKey {
    /// Takes what is in a file of OpenSSH.
    ///
    /// # Errors
    /// The key is too short or too long, or its parts do not belong together.
    pub(super) fn from_openssh(pair: &RsaKeypair) -> Result<Self, Failure> {
        let (public, private) = (pair.public(), pair.private());
        let public_key = PublicKeyComponents { n: unsigned(public.n()), e: unsigned(public.e()) };
        let (first, second) = (unsigned(private.p()), unsigned(private.q()));
        let (bits, exponent) = (size(public_key.n)?, unsigned(private.d()));
        let reduced = |prime| {
            let reduced = reduced(exponent, prime, bits);
            reduced.ok_or_else(|| unsound(&"its primes or exponent do not fit"))
        };
        Self::new(&KeyPairComponents {
            public_key,
            d: exponent,
            p: first,
            q: second,
            dP: &reduced(first)?,
            dQ: &reduced(second)?,
            qInv: unsigned(private.iqmp()),
        })
    }

    /// Reads PEM with PKCS#1 or PKCS#8. A passphrase counts where it is needed.
    ///
    /// # Errors
    /// It cannot be read, or the key is too short or too long, or its parts do not belong together.
    pub(super) fn from_pem(text: &str, passphrase: Option<&str>) -> Result<Self, Failure> {
        if let Some(pkcs1) = block(text, "RSA PRIVATE KEY") {
            return match pkcs1 {
                Ok(pkcs1) => Self::from_pkcs1(&pkcs1),
                Err(_) if text.contains("\nProc-Type: 4,ENCRYPTED") => {
                    let message = "secrets.key: the old encryption of PEM is not supported";
                    Err(Failure::invalid(message).hint(CONVERT))
                }
                Err(error) => Err(malformed(&error)),
            };
        }
        if let Some(pkcs8) = block(text, "PRIVATE KEY") {
            return Self::from_pkcs8(&pkcs8.map_err(|error| malformed(&error))?);
        }
        let sealed = block(text, "ENCRYPTED PRIVATE KEY").ok_or_else(|| malformed(&"no PEM"))?;
        let sealed = sealed.map_err(|error| malformed(&error))?;
        let sealed = EncryptedPrivateKeyInfoRef::try_from(sealed.as_slice());
        let opened = sealed.and_then(|sealed| sealed.decrypt(passphrase.unwrap_or_default()));
        Self::from_pkcs8(opened.map_err(|error| malformed(&error))?.as_bytes())
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, Failure> {
        let info = PrivateKeyInfoRef::try_from(der).map_err(|error| malformed(&error))?;
        Self::from_pkcs1(info.private_key.as_bytes())
    }

    fn from_pkcs1(der: &[u8]) -> Result<Self, Failure> {
        let parts = parts(der).map_err(|error| malformed(&error))?;
        size(parts.public_key.n)?;
        Self::new(&parts)
    }

    fn new(parts: &KeyPairComponents<&[u8]>) -> Result<Self, Failure> {
        let pair = KeyPair::from_components(parts).map_err(|rejected| unsound(&rejected))?;
        let [e, n] = [parts.public_key.e, parts.public_key.n].map(Mpint::from_positive_bytes);
        let public = RsaPublicKey::new(e, n).map_err(|error| unsound(&error))?;
        Ok(Self { pair, public: PublicKey::from(KeyData::Rsa(public)) })
    }

    /// What servers know of it.
    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, hash: Option<HashAlg>, text: &[u8]) -> Result<Signature, SignError> {
        let encoding: &'static RsaSignatureEncoding = match hash {
            Some(HashAlg::Sha512) => &RSA_PKCS1_SHA512,
            Some(HashAlg::Sha256) => &RSA_PKCS1_SHA256,
            _ => return Err(SignError::Hash),
        };
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let signed = self.pair.sign(encoding, &SystemRandom::new(), text, &mut signature);
        signed.map_err(|_unspecified| SignError::Refused)?;
        Ok(Signature::new(Algorithm::Rsa { hash }, signature)?)
    }
}

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignError {
    #[error("it closed the connection during the login")]
    Gone,
    #[error("RSA keys sign with SHA-256 and SHA-512 only")]
    Hash,
    #[error("the RSA key cannot sign")]
    Refused,
    #[error("the signature cannot be written: {0}")]
    Encoding(#[from] ssh_key::Error),
}

impl From<SendError> for SignError {
    fn from(_gone: SendError) -> Self {
        Self::Gone
    }
}

impl Signer for &RsaKey {
    type Error = SignError;

    /// Gives back what is signed with the signature behind it. Takes one core for some milliseconds.
    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        hash: Option<HashAlg>,
        mut text: Vec<u8>,
    ) -> Result<Vec<u8>, SignError> {
        let signature = self.sign(hash, &text)?;
        signature.encode_prefixed(&mut text).map_err(ssh_key::Error::from)?;
        Ok(text)
    }
}

/// The bytes of a number; none of a negative one, which is no part of a key.
fn unsigned(number: &Mpint) -> &[u8] {
    number.as_positive_bytes().unwrap_or_default()
}

/// How many bits a modulus has.
fn size(modulus: &[u8]) -> Result<u32, Failure> {
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = u32::try_from(modulus.len() * 8).map_or(u32::MAX, |bits| bits - unused);
    let is_wrong = |bound: &str| {
        let message = format!("secrets.key: the RSA key has {bits} bits; it must have {bound}");
        Err(Failure::invalid(message).hint("`ssh-keygen -t ed25519` makes another key"))
    };
    match bits {
        ..MIN_BITS => is_wrong(&format!("{MIN_BITS} at least")),
        MIN_BITS..=MAX_BITS => Ok(bits),
        _ => is_wrong(&format!("{MAX_BITS} at most")),
    }
}

/// The exponent modulo one less than a prime, which files of OpenSSH leave out, in a time that depends
/// on the number of bits alone. Nothing if one of them has more bits, or the prime is none.
fn reduced(exponent: &[u8], prime: &[u8], bits: u32) -> Option<Zeroizing<Box<[u8]>>> {
    let number = |bytes: &[u8]| BoxedUint::from_be_slice(bytes, bits).ok().map(Zeroizing::new);
    let (exponent, mut divisor) = (number(exponent)?, number(prime)?);
    divisor.wrapping_sub_assign(BoxedUint::one());
    let (quotient, rest) = exponent.div_rem(divisor.as_nz_vartime()?);
    let (_wiped, rest) = (Zeroizing::new(quotient), Zeroizing::new(rest));
    Some(Zeroizing::new(rest.to_be_bytes()))
}

/// The numbers of PKCS#1. Keys of more than two primes have one part more, and are refused.
fn parts(der: &[u8]) -> Result<KeyPairComponents<&[u8]>, pkcs8::der::Error> {
    let mut reader = SliceReader::new(der)?;
    let parts = reader.sequence(|fields| {
        let _version: u8 = fields.decode()?;
        let mut next = || fields.decode::<UintRef<'_>>().map(|number| number.as_bytes());
        // In the order of the file.
        Ok::<_, pkcs8::der::Error>(KeyPairComponents {
            public_key: PublicKeyComponents { n: next()?, e: next()? },
            d: next()?,
            p: next()?,
            q: next()?,
            dP: next()?,
            dQ: next()?,
            qInv: next()?,
        })
    })?;
    reader.finish()?;
    Ok(parts)
}

/// What is between the lines of PEM with a label; lines have any length.
fn block(text: &str, label: &str) -> Option<Result<Zeroizing<Vec<u8>>, base64::DecodeError>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let (_, rest) = text.split_once(&begin)?;
    let (inside, _) = rest.split_once(&end)?;
    let mut digits = Zeroizing::new(String::with_capacity(inside.len()));
    digits.extend(inside.split_ascii_whitespace());
    Some(BASE64_STANDARD.decode(digits.as_bytes()).map(Zeroizing::new))
}

fn malformed(error: &dyn Display) -> Failure {
    let message = format!("secrets.key: the RSA key cannot be read: {error}");
    Failure::invalid(message).hint(CONVERT)
}

fn unsound(why: &dyn Display) -> Failure {
    Failure::invalid(format!("secrets.key: the RSA key is not sound: {why}"))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::AsDer as _,
        rsa::{KeySize, PublicKeyComponents},
        signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512},
    };
    use proptest::prelude::*;
    use russh::keys::{PrivateKey, decode_secret_key, ssh_key::private::RsaPrivateKey};

    use super::*;

    /// A new key as PKCS#1.
    fn pkcs1() -> Vec<u8> {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let der = pair.as_der().expect("a key");
        let info = PrivateKeyInfoRef::try_from(der.as_ref()).expect("a key");
        info.private_key.as_bytes().to_vec()
    }

    fn openssh(parts: &KeyPairComponents<&[u8]>) -> RsaKeypair {
        let number = Mpint::from_positive_bytes;
        let PublicKeyComponents { n, e } = parts.public_key;
        let public = RsaPublicKey::new(number(e), number(n)).expect("a key");
        let [d, q_inv, p, q] = [parts.d, parts.qInv, parts.p, parts.q].map(number);
        let private = RsaPrivateKey::new(d, q_inv, p, q).expect("a key");
        RsaKeypair::new(public, private).expect("a key")
    }

    fn pem(label: &str, der: &[u8], width: usize) -> String {
        let digits = BASE64_STANDARD.encode(der);
        let lines = digits.as_bytes().chunks(width).map(|line| String::from_utf8_lossy(line));
        let lines = lines.collect::<Vec<_>>().join("\r\n");
        format!("A key\r\n-----BEGIN {label}-----\r\n{lines}\r\n-----END {label}-----\r\n")
    }

    #[tokio::test]
    async fn a_key_of_openssh_signs_as_servers_check() {
        let pkcs1 = pkcs1();
        let parts = parts(&pkcs1).expect("a key");
        let text = PrivateKey::from(openssh(&parts)).to_openssh(ssh_key::LineEnding::LF);
        let read = decode_secret_key(&text.expect("a key"), None).expect("a key");
        let key = RsaKey::from_openssh(read.key_data().rsa().expect("RSA")).expect("a key");
        assert_eq!(key.public().key_data(), read.public_key().key_data());
        for (hash, name, check) in [
            (HashAlg::Sha256, "rsa-sha2-256", &RSA_PKCS1_2048_8192_SHA256),
            (HashAlg::Sha512, "rsa-sha2-512", &RSA_PKCS1_2048_8192_SHA512),
        ] {
            let identity = AgentIdentity::from(key.public().clone());
            let signed = (&key).auth_sign(&identity, Some(hash), b"text".to_vec()).await;
            let signed = signed.expect("a signature");
            // As RFC 8332 says: the length of all that follows, the name, the signature.
            let head = [&b"text\0\0\x01\x14\0\0\0\x0c"[..], name.as_bytes(), b"\0\0\x01\0"];
            let signature = signed.strip_prefix(head.concat().as_slice()).expect("its head");
            parts.public_key.verify(check, b"text", signature).expect("it is right");
        }
        let sha1 = key.sign(None, b"text");
        assert!(matches!(sha1, Err(SignError::Hash)), "{sha1:?}");
    }

    #[test]
    fn pem_is_read_with_lines_of_any_length() {
        let pkcs1 = pkcs1();
        let public = Mpint::from_positive_bytes(parts(&pkcs1).expect("a key").public_key.n);
        for width in [64, 76, 5000] {
            let key = RsaKey::from_pem(&pem("RSA PRIVATE KEY", &pkcs1, width), None);
            let key = key.expect("a key");
            assert_eq!(key.public().key_data().rsa().expect("RSA").n(), &public);
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let refused = |label, der: &[u8]| {
            RsaKey::from_pem(&pem(label, der, 64), None).map(drop).expect_err("no key").message
        };
        let pkcs1 = pkcs1();
        let cut = &pkcs1[..pkcs1.len() - 1];
        for (label, der) in [
            ("RSA PRIVATE KEY", cut),
            ("PRIVATE KEY", &pkcs1),
            ("ENCRYPTED PRIVATE KEY", &pkcs1),
            ("DSA PRIVATE KEY", &pkcs1),
        ] {
            let message = refused(label, der);
            let head = "secrets.key: the RSA key cannot be read: ";
            assert!(message.starts_with(head), "{label}: {message}");
        }
        let mut wrong = pkcs1.clone();
        *wrong.last_mut().expect("bytes") ^= 1;
        let message = refused("RSA PRIVATE KEY", &wrong);
        assert!(message.starts_with("secrets.key: the RSA key is not sound: "), "{message}");
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        let (one, two) = (pkcs1(), pkcs1());
        let (one, two) = (parts(&one).expect("a key"), parts(&two).expect("a key"));
        for mixed in [
            KeyPairComponents { d: two.d, ..one },
            KeyPairComponents { p: two.p, ..one },
            KeyPairComponents { p: &[1], ..one },
            KeyPairComponents { p: one.public_key.n, ..one },
            KeyPairComponents { d: &[1; 300], ..one },
            KeyPairComponents { qInv: two.qInv, ..one },
        ] {
            let mixed = RsaKey::from_openssh(&openssh(&mixed)).map(drop);
            let message = mixed.expect_err("a key of two").message;
            assert!(message.starts_with("secrets.key: the RSA key is not sound: "), "{message}");
        }
    }

    #[test]
    fn sizes_have_bounds() {
        let bits = |bits: usize| {
            let mut modulus = vec![0xff; bits.div_ceil(8)];
            modulus[0] >>= (8 - bits % 8) % 8;
            size(&modulus).map_err(|failure| failure.message)
        };
        assert_eq!((bits(2048), bits(3071), bits(8192)), (Ok(2048), Ok(3071), Ok(8192)));
        let short = "secrets.key: the RSA key has 2047 bits; it must have 2048 at least";
        assert_eq!(bits(2047), Err(short.to_owned()));
        let long = "secrets.key: the RSA key has 8193 bits; it must have 8192 at most";
        assert_eq!(bits(8193), Err(long.to_owned()));
        assert!(size(&[]).is_err());
    }

    proptest! {
        #[test]
        fn an_exponent_is_reduced_as_by_hand(exponent: u64, prime in 2_u64..) {
            let reduced = reduced(&exponent.to_be_bytes(), &prime.to_be_bytes(), 64).expect("a number");
            let expected = (exponent % (prime - 1)).to_be_bytes();
            prop_assert_eq!(reduced.as_ref(), expected.as_slice());
        }

        #[test]
        fn no_pem_is_too_strange(der in prop::collection::vec(any::<u8>(), 0..64), passphrase in ".{0,8}") {
            for label in ["RSA PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
                let read = RsaKey::from_pem(&pem(label, &der, 64), Some(&passphrase));
                prop_assert!(read.is_err());
            }
        }
    }
}
