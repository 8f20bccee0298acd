//! An owner tells its worker which certificate authorities count.

use remuda_model::Failure;
use serde::{Deserialize, Serialize};

/// What a node has to believe and to show from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The certificates of all CAs that count, DER.
    pub trusted: Vec<Vec<u8>>,
    /// The SHA-256 of the public key of the one that signs: a node whose certificate another one
    /// has signed asks for a new one.
    pub issuer: [u8; 32],
    /// Whether to ask for a new certificate in any case.
    pub renew: bool,
}

/// The answer, once all of that is done.
pub type Reply = Result<Followed, Failure>;

/// What the node shows now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// The number of its certificate.
    pub serial: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_never_change() {
        let call = Call { trusted: vec![vec![1, 2], vec![3]], issuer: [7; 32], renew: true };
        let bytes = crate::encode(&call);
        assert_eq!(bytes[..], [&[2, 2, 1, 2, 1, 3][..], &[7; 32], &[1]].concat());
        let reply: Reply = Ok(Followed { serial: vec![9, 8] });
        assert_eq!(crate::encode(&reply)[..], [0, 2, 9, 8]);
    }
}
