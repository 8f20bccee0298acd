//! Trackers: bulletin boards over HTTP, for networks that carry neither multicast nor broadcast.
//!
//! Their words are those of `SuperCluster`: whoever is somewhere posts a packet every few seconds, and
//! `GET /hostsAvailable` lists who did so lately. Anybody may write on a board and nobody is believed:
//! a control node pins up the same sealed announcement as on a subnet, and the handshake proves who it
//! is.

mod announcements;
mod board;
mod client;
mod server;
#[cfg(test)]
mod tests;
mod url;

use std::time::Duration;

pub use self::{
    announcements::{Told, keep_announced, told},
    board::{Board, Host, Hosts, Packet, Refused},
    client::{TrackerError, announce, fetch},
    server::serve,
    url::{ParseTrackerUrlError, TrackerUrl},
};

/// The port of a tracker when nothing else is said.
pub const PORT: u16 = 44201;
/// Where the list is.
pub const LIST: &str = "/hostsAvailable";
/// Where packets go.
pub const ANNOUNCE: &str = "/announce";
/// Most hosts on a board.
pub const MAX_HOSTS: usize = 1024;
/// Most hosts of one address.
pub const MAX_OF_ONE: usize = 64;
/// The longest packet, in bytes.
pub const MAX_PACKET: usize = 4096;
/// The longest list, in bytes.
const MAX_LIST: usize = 8 * 1024 * 1024;
/// How long a request may take, on either side.
const LIMIT: Duration = Duration::from_secs(3);
