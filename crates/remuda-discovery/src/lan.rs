//! Control nodes on the same subnet: they announce themselves by multicast and broadcast on UDP port
//! 44201, and whoever looks for a cluster listens there.
//!
//! Nothing is ever sent to the address that a datagram seems to come from: who asks is answered by an
//! announcement to the group, at most one in half a second. So a spoofed question makes no traffic
//! elsewhere, and announcements do not leave the subnet (a time to live of 1).
//!
//! Several nodes of one machine share the port. The group and the port are those of `SuperCluster`; its
//! own announcements are no datagrams of this protocol and are ignored.

mod datagram;
mod interfaces;
mod listener;
mod table;
#[cfg(test)]
mod tests;

use std::{net::Ipv4Addr, time::Duration};

pub use self::{
    datagram::{Announcement, Key, question},
    interfaces::own_addresses,
    listener::{Announcer, Lan, LanConfig, Now},
    table::Neighbour,
};

/// The port of announcements.
pub const PORT: u16 = 44201;
/// The group to which they go.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 234);
/// Between two announcements.
pub const INTERVAL: Duration = Duration::from_secs(3);
/// The longest datagram, in bytes.
pub const MAX_DATAGRAM: usize = 1200;
