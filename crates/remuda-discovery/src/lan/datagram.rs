//! What stands in a datagram.
//!
//! ```text
//! datagram = "rmdlan" version body-and-seals     ; postcard of (body, seals)
//! seal     = first 16 bytes of HMAC-SHA256(key, body)
//! key      = HMAC-SHA256(join secret, "remuda announcement 1")
//! ```
//!
//! A seal shows that whoever announces knows the secret with which a node of some role joins. It
//! orders proposals and proves nothing more: anybody may repeat a datagram.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use remuda_model::{ClusterId, LinkUrl, NodeId, Transport};
use remuda_wire::{decode, encode};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

use super::MAX_DATAGRAM;

const MAGIC: &[u8] = b"rmdlan\x01";
const PURPOSE: &[u8] = b"remuda announcement 1";
/// One for each role that joins with a secret of its own, and one for a secret that is being
/// exchanged.
const MAX_SEALS: usize = 4;

/// Most addresses that are taken from one control node.
const MAX_ADDRESSES: usize = 8;
/// How far apart clocks may be, in seconds.
const MAX_AGE_S: u64 = 600;

type Seal = [u8; 16];

/// Seals announcements, and knows those that were sealed with the same join secret.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// That of a join secret.
    pub fn of_secret(secret: &[u8; 32]) -> Self {
        Self(mac(secret, PURPOSE))
    }

    fn seal(&self, body: &[u8]) -> Seal {
        let whole = mac(&self.0, body);
        std::array::from_fn(|at| whole[at])
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(***)")
    }
}

fn mac(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256>>::new_from_slice(key).expect("HMAC takes any key length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// Where a control node can be dialled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Its cluster.
    pub cluster: ClusterId,
    /// How people call the cluster.
    pub name: String,
    /// The control node.
    pub node: NodeId,
    /// Its addresses. Those without a host to dial (`0.0.0.0`, `::`) are not used: a seal is worth
    /// something only for what it covers, and not for where a datagram comes from.
    pub addresses: Vec<LinkUrl>,
    /// Seconds until its next announcement.
    pub interval_s: u16,
    /// When it was made, in seconds since 1970.
    pub at_s: u64,
}

impl Announcement {
    /// Whether it was made within the last minutes. What is older may be somebody's repetition.
    pub(crate) fn is_recent(&self, wall_s: u64) -> bool {
        self.at_s.abs_diff(wall_s) <= MAX_AGE_S
    }

    /// The addresses that can be dialled.
    pub(crate) fn usable_addresses(&self) -> Vec<LinkUrl> {
        let mut usable: Vec<LinkUrl> = Vec::new();
        for url in &self.addresses {
            let has_host = !url.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
            let can_be_dialled = has_host && url.transport != Transport::Mem && url.port != 0;
            if can_be_dialled && usable.len() < MAX_ADDRESSES && !usable.contains(url) {
                usable.push(url.clone());
            }
        }
        usable
    }

    /// As it is sent, with a seal of each key.
    pub fn to_datagram(&self, keys: &[Key]) -> Vec<u8> {
        write(Datagram::Here(self.clone()), keys)
    }

    /// Reads one, and says whether it bears the seal of the key; nothing when the bytes are no
    /// announcement.
    pub fn from_datagram(bytes: &[u8], key: Option<&Key>) -> Option<(Self, bool)> {
        match open(bytes, key)? {
            Opened { datagram: Datagram::Here(here), sealed } => Some((here, sealed)),
            Opened { .. } => None,
        }
    }
}

/// What is said on the subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Datagram {
    /// Control nodes of this cluster, or of any, shall announce themselves.
    Look(Option<ClusterId>),
    /// Here is one.
    Here(Announcement),
    /// It ends.
    Gone { cluster: ClusterId, node: NodeId, at_s: u64 },
}

/// Asks control nodes of a cluster, or of any, to announce themselves.
pub fn question(cluster: Option<&ClusterId>) -> Vec<u8> {
    write(Datagram::Look(cluster.cloned()), &[])
}

/// A datagram that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) datagram: Datagram,
    /// Whether it bears a seal of the key.
    pub(super) sealed: bool,
}

/// Writes a datagram with a seal of each key.
///
/// What makes an announcement longer than [`MAX_DATAGRAM`] is left out: its last addresses.
pub(super) fn write(mut datagram: Datagram, keys: &[Key]) -> Vec<u8> {
    loop {
        let body = encode(&datagram);
        let seals: Vec<Seal> = keys.iter().take(MAX_SEALS).map(|key| key.seal(&body)).collect();
        let bytes = [MAGIC, &encode(&(&body[..], seals))].concat();
        match &mut datagram {
            Datagram::Here(here) if bytes.len() > MAX_DATAGRAM && !here.addresses.is_empty() => {
                here.addresses.pop();
            }
            _ => return bytes,
        }
    }
}

/// Reads a datagram; nothing when it is none of ours.
pub(super) fn open(bytes: &[u8], key: Option<&Key>) -> Option<Opened> {
    if bytes.len() > MAX_DATAGRAM {
        return None;
    }
    let (body, seals): (Vec<u8>, Vec<Seal>) = decode(bytes.strip_prefix(MAGIC)?).ok()?;
    if seals.len() > MAX_SEALS {
        return None;
    }
    let datagram = decode(&body).ok()?;
    let good = key.map(|key| key.seal(&body));
    let sealed = good.is_some_and(|good| seals.iter().any(|seal| seal.ct_eq(&good).into()));
    Some(Opened { datagram, sealed })
}
