//! Who is there, as a pure table.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{MAX_HOSTS, MAX_OF_ONE, MAX_PACKET};

/// The intervals that are believed.
const INTERVALS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// The interval of a packet that says none.
const USUAL: Duration = Duration::from_secs(3);
/// The longest name or id.
const MAX_NAME: usize = 128;

/// What somebody says of itself, in the words of `SuperCluster`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// `master` or `worker`, unless `data.role` says which.
    pub name: String,
    /// Which one of the hosts of this address; `SuperCluster` has none, and its hosts differ by port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Milliseconds until the next packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<u64>,
    /// Anything; `role` and `port` are understood.
    #[serde(default)]
    pub data: Map<String, Value>,
    /// Takes the host from the board when it is `false`.
    #[serde(default = "yes")]
    pub available: bool,
}

fn yes() -> bool {
    true
}

/// One host on the board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Where its packets come from.
    pub addr: IpAddr,
    /// What it says is its port; 0 when it says none.
    #[serde(default)]
    pub port: u16,
    /// What it says of itself.
    #[serde(default)]
    pub data: Map<String, Value>,
}

/// The list of a tracker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosts {
    /// Those that others look for: control nodes.
    #[serde(default)]
    pub masters: Vec<Host>,
    /// The others.
    #[serde(default)]
    pub workers: Vec<Host>,
}

/// A packet that is not pinned up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Neither the name nor `data.role` is one of the two.
    #[error("`name` or `data.role` must be `master` or `worker`")]
    Role,
    /// The name or the id has no or too many characters.
    #[error("`{0}` must have 1 to 128 bytes")]
    Length(&'static str),
    /// The port is no number from 0 to 65535.
    #[error("`data.port` must be a number from 0 to 65535")]
    Port,
    /// It says more of itself than the board has room for.
    #[error("`data` must have at most {MAX_PACKET} bytes")]
    TooLong,
    /// One address has as many hosts as it may.
    #[error("there are {MAX_OF_ONE} hosts of this address already")]
    TooMany,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Master,
    Worker,
}

#[derive(Debug)]
struct Entry {
    role: Role,
    host: Host,
    heard: Duration,
    expires: Duration,
}

/// The board. Times are those of the caller's clock since some beginning.
#[derive(Debug, Default)]
pub struct Board {
    /// By address and by what tells hosts of one address apart.
    entries: BTreeMap<(IpAddr, String), Entry>,
}

impl Board {
    /// Pins up what a packet says, in place of what the same host has said before.
    ///
    /// When the board is full, the host that has been silent longest goes.
    ///
    /// # Errors
    ///
    /// [`Refused`], and nothing changes.
    pub fn announce(&mut self, now: Duration, from: IpAddr, packet: Packet) -> Result<(), Refused> {
        self.expire(now);
        let Packet { name, id, interval, data, available } = packet;
        for (what, text) in [("name", Some(&name)), ("id", id.as_ref())] {
            if text.is_some_and(|text| text.is_empty() || text.len() > MAX_NAME) {
                return Err(Refused::Length(what));
            }
        }
        let role = data.get("role").and_then(Value::as_str).unwrap_or(&name);
        let role = match role {
            "master" => Role::Master,
            "worker" => Role::Worker,
            _ => return Err(Refused::Role),
        };
        let port = match data.get("port") {
            None => 0,
            Some(port) => {
                let port = port.as_u64().and_then(|port| u16::try_from(port).ok());
                port.ok_or(Refused::Port)?
            }
        };
        // Numbers can grow when they are written again.
        if serde_json::to_vec(&data).is_ok_and(|written| written.len() > MAX_PACKET) {
            return Err(Refused::TooLong);
        }
        let key = (from, id.unwrap_or_else(|| format!("{name}:{port}")));
        if !available {
            self.entries.remove(&key);
            return Ok(());
        }
        let of_one = self.entries.keys().filter(|(ip, _)| network(*ip) == network(from));
        if !self.entries.contains_key(&key) && of_one.count() >= MAX_OF_ONE {
            return Err(Refused::TooMany);
        }
        let interval =
            interval.map_or(USUAL, Duration::from_millis).clamp(INTERVALS.0, INTERVALS.1);
        let host = Host { addr: from, port, data };
        let expires = now + interval * 5 / 2;
        self.entries.insert(key, Entry { role, host, heard: now, expires });
        if self.entries.len() > MAX_HOSTS {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.heard);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                self.entries.remove(&key);
            }
        }
        Ok(())
    }

    /// Who was heard lately.
    pub fn hosts(&mut self, now: Duration) -> Hosts {
        self.expire(now);
        let of = |role| {
            let entries = self.entries.values().filter(move |entry| entry.role == role);
            entries.map(|entry| entry.host.clone()).collect()
        };
        Hosts { masters: of(Role::Master), workers: of(Role::Worker) }
    }

    fn expire(&mut self, now: Duration) {
        self.entries.retain(|_, entry| entry.expires > now);
    }
}

/// What counts as one address: over IPv6, whoever has one has 2⁶⁴.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}
