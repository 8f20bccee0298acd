//! The transcript of a handshake and the proofs over it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use remuda_model::{Role, Transport};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::secret::{Kdf, Key};

/// Exporter label of the channel binding (RFC 9266), with an empty context and 32 bytes.
pub const CHANNEL_BINDING_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

const CLIENT: &[u8] = b"remuda-auth-1/client";
const SERVER: &[u8] = b"remuda-auth-1/server";
const INVITED_CLIENT: &[u8] = b"remuda-invite-1/client";
const INVITED_SERVER: &[u8] = b"remuda-invite-1/server";

/// Everything that both sides must have seen alike for a proof to hold.
#[derive(Clone, Debug)]
pub struct Transcript<'a> {
    /// Whether the server dialled, because the client waited to be invited. A proof of one
    /// direction is worth nothing in the other.
    pub invited: bool,
    /// The protocol version that was agreed.
    pub version: u16,
    /// What carries the bytes.
    pub transport: Transport,
    /// The cluster's identity.
    pub cluster: &'a str,
    /// The role that the client claims.
    pub role: Role,
    /// The client's name.
    pub client: &'a str,
    /// The server's name.
    pub server: &'a str,
    /// Fresh bytes of the client.
    pub client_nonce: &'a [u8; 32],
    /// Fresh bytes of the server.
    pub server_nonce: &'a [u8; 32],
    /// How the key was made.
    pub kdf: &'a Kdf,
    /// What is exported from the TLS channel; zeros without TLS.
    pub binding: &'a [u8; 32],
}

impl Transcript<'_> {
    /// The digest that the proofs are made of. Every part is preceded by its length, so that no two
    /// different transcripts give the same bytes.
    pub fn digest(&self) -> [u8; 32] {
        let version = self.version.to_string();
        let kdf = [
            with_length(self.kdf.name().as_bytes()),
            self.kdf.iterations().to_be_bytes().to_vec(),
            with_length(self.kdf.salt()),
        ]
        .concat();
        let parts: [&[u8]; 10] = [
            version.as_bytes(),
            self.transport.as_str().as_bytes(),
            self.cluster.as_bytes(),
            self.role.as_str().as_bytes(),
            self.client.as_bytes(),
            self.server.as_bytes(),
            self.client_nonce,
            self.server_nonce,
            &kdf,
            self.binding,
        ];
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(with_length(part));
        }
        hash.finalize().into()
    }

    /// What the client shows.
    pub fn client_proof(&self, key: &Key) -> [u8; 32] {
        let side = if self.invited { INVITED_CLIENT } else { CLIENT };
        mac(key, side, &self.digest())
    }

    /// What the server shows.
    pub fn server_proof(&self, key: &Key) -> [u8; 32] {
        let side = if self.invited { INVITED_SERVER } else { SERVER };
        mac(key, side, &self.digest())
    }
}

/// Compares two proofs in a time that does not depend on them.
pub(super) fn equal(ours: &[u8; 32], theirs: &[u8; 32]) -> bool {
    ours.ct_eq(theirs).into()
}

fn mac(key: &Key, side: &[u8], digest: &[u8; 32]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256>>::new_from_slice(key.expose()).expect("HMAC takes any key length");
    mac.update(side);
    mac.update(digest);
    mac.finalize().into_bytes().into()
}

fn with_length(part: &[u8]) -> Vec<u8> {
    let length = u32::try_from(part.len()).expect("parts of a transcript are short");
    [&length.to_be_bytes(), part].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::secret::{ITERATIONS, Secret};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect()
    }

    fn digit(value: u8) -> char {
        char::from_digit(value.into(), 16).expect("below 16")
    }

    fn counting(from: u8) -> [u8; 32] {
        std::array::from_fn(|at| from + u8::try_from(at).expect("less than 32"))
    }

    /// The published vector: the key was checked with two independent implementations.
    #[test]
    fn the_test_vector_holds() {
        let secret = Secret::from_password("correct horse battery", "test");
        assert_eq!(secret.kdf().iterations(), ITERATIONS);
        assert_eq!(secret.kdf().salt(), b"remuda/v1/test");
        assert_eq!(
            hex(secret.key().expose()),
            "d4e95b50d1b4d6d8e3e0de8dc63c14f09657202cec3bd13a6ee81bcbd1007c5c"
        );
        let transcript = Transcript {
            invited: false,
            version: 1,
            transport: Transport::Tls,
            cluster: "test",
            role: Role::Worker,
            client: "w-1",
            server: "ctl-1",
            client_nonce: &counting(0),
            server_nonce: &counting(0x20),
            kdf: secret.kdf(),
            binding: &counting(0x40),
        };
        assert_eq!(
            hex(&transcript.digest()),
            "d6e414d2b9deb3eb6568f9e13ad57e189e9f3992412fd1cbc0374a3d486125c6"
        );
        assert_eq!(
            hex(&transcript.client_proof(secret.key())),
            "6e92c01d31989d7d121d86ba5f1021e783dad20505b0fcc0cb138275c73eb941"
        );
        assert_eq!(
            hex(&transcript.server_proof(secret.key())),
            "a5acb4fe17352c7c5dce56631abfa5fb7e8566ccee199fd566ed2099767e9d6b"
        );
    }

    #[test]
    fn every_part_of_the_transcript_counts() {
        let base_nonce = counting(0);
        let base = Transcript {
            invited: false,
            version: 1,
            transport: Transport::Tls,
            cluster: "c",
            role: Role::Worker,
            client: "ab",
            server: "c",
            client_nonce: &base_nonce,
            server_nonce: &[1; 32],
            kdf: &Kdf::None,
            binding: &[2; 32],
        };
        let stretched = Kdf::Pbkdf2 { iterations: ITERATIONS, salt: b"x".to_vec() };
        let others = [
            Transcript { version: 2, ..base.clone() },
            Transcript { transport: Transport::Wss, ..base.clone() },
            Transcript { cluster: "d", ..base.clone() },
            Transcript { role: Role::Control, ..base.clone() },
            Transcript { client: "a", server: "bc", ..base.clone() },
            Transcript { client: "c", server: "ab", ..base.clone() },
            Transcript { client_nonce: &[1; 32], server_nonce: &base_nonce, ..base.clone() },
            Transcript { kdf: &stretched, ..base.clone() },
            Transcript { binding: &[0; 32], ..base.clone() },
        ];
        let mut digests: Vec<_> = others.iter().map(Transcript::digest).collect();
        digests.push(base.digest());
        let count = digests.len();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), count);
    }

    #[test]
    fn no_proof_holds_for_another_side_or_direction() {
        let transcript = Transcript {
            invited: false,
            version: 1,
            transport: Transport::Tls,
            cluster: "c",
            role: Role::Worker,
            client: "w-1",
            server: "ctl-1",
            client_nonce: &counting(0),
            server_nonce: &counting(0x20),
            kdf: &Kdf::None,
            binding: &counting(0x40),
        };
        let invited = Transcript { invited: true, ..transcript.clone() };
        assert_eq!(transcript.digest(), invited.digest(), "the keyed part tells them apart");
        let key = Key::new([9; 32]);
        let mut proofs = [
            transcript.client_proof(&key),
            transcript.server_proof(&key),
            invited.client_proof(&key),
            invited.server_proof(&key),
        ];
        assert_eq!(
            hex(&proofs[2]),
            "c2f21ddb126300f37d60a093737aa9270740c016a5fb7e8bc924f75de4302bee"
        );
        assert_eq!(
            hex(&proofs[3]),
            "8d288252c87fd1c0537d45b8d455ac73c5e842a2f0be5d343202bfc8eff7f035"
        );
        proofs.sort_unstable();
        assert!(proofs.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
