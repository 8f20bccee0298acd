//! Who was heard lately, as a pure table.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use remuda_model::{ClusterId, LinkUrl, NodeId};

use super::datagram::Announcement;

/// Most control nodes that are remembered.
pub(super) const MAX_NEIGHBOURS: usize = 1024;
/// The intervals that are believed, in seconds.
const INTERVALS: std::ops::RangeInclusive<u16> = 1..=60;

/// A control node that was heard on the subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its cluster.
    pub cluster: ClusterId,
    /// How people call the cluster.
    pub name: String,
    /// Its name.
    pub node: NodeId,
    /// Where it can be dialled, as far as it says.
    pub addresses: Vec<LinkUrl>,
    /// Where the announcement came from.
    pub source: IpAddr,
    /// Whether that is this machine.
    pub local: bool,
    /// Whether it bears the seal of the join secret.
    pub verified: bool,
}

#[derive(Debug)]
struct Entry {
    neighbour: Neighbour,
    /// When the announcement was made, as it says.
    at_s: u64,
    heard: Duration,
    expires: Duration,
}

/// The neighbours by cluster, node and the address that they speak from: a node with several subnets
/// says other addresses on each. Who bears a seal and who does not are different neighbours, so that
/// nobody without the secret can change or remove what somebody with it has said.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: BTreeMap<(bool, ClusterId, NodeId, IpAddr), Entry>,
}

impl Table {
    /// Takes note of an announcement, heard at this time of this process and of the wall, from this
    /// address, which may be this machine's own; says whether it is news that can be trusted.
    pub(super) fn heard(
        &mut self,
        (now, wall_s): (Duration, u64),
        announcement: Announcement,
        (source, local): (IpAddr, bool),
        sealed: bool,
    ) -> bool {
        self.expire(now);
        let verified = sealed && announcement.is_recent(wall_s);
        let addresses = announcement.usable_addresses();
        let Announcement { cluster, name, node, interval_s, at_s, .. } = announcement;
        let interval = interval_s.clamp(*INTERVALS.start(), *INTERVALS.end());
        let neighbour = Neighbour {
            name: name.chars().filter(|char| !char.is_control()).take(64).collect(),
            addresses,
            cluster: cluster.clone(),
            node: node.clone(),
            source,
            local,
            verified,
        };
        // As SuperCluster's second generation: two and a half of the sender's intervals.
        let expires = now + Duration::from_secs(interval.into()) * 5 / 2;
        let key = (verified, cluster, node, source);
        let known = self.entries.get(&key);
        if known.is_some_and(|known| verified && known.at_s > at_s) {
            // Somebody repeats what was said before.
            return false;
        }
        let is_news = known.is_none_or(|known| known.neighbour.addresses != neighbour.addresses);
        self.entries.insert(key, Entry { neighbour, at_s, heard: now, expires });
        if self.entries.len() > MAX_NEIGHBOURS {
            self.forget_one();
        }
        verified && is_news
    }

    /// Takes note of a good-bye, unless it is older than the last announcement.
    pub(super) fn gone(
        &mut self,
        (cluster, node): (ClusterId, NodeId),
        source: IpAddr,
        at_s: u64,
        sealed: bool,
    ) {
        let key = (sealed, cluster, node, source);
        if self.entries.get(&key).is_some_and(|known| known.at_s <= at_s) {
            self.entries.remove(&key);
        }
    }

    /// Forgets who was silent too long.
    pub(super) fn expire(&mut self, now: Duration) {
        self.entries.retain(|_, entry| entry.expires > now);
    }

    /// The neighbours, those with a seal first, then by cluster and node.
    pub(super) fn neighbours(&self) -> Vec<Neighbour> {
        let (plain, sealed): (Vec<_>, Vec<_>) =
            self.entries.values().partition(|entry| !entry.neighbour.verified);
        sealed.into_iter().chain(plain).map(|entry| entry.neighbour.clone()).collect()
    }

    /// Forgets the one that was heard longest ago, of those without a seal if there are any.
    fn forget_one(&mut self) {
        let oldest =
            self.entries.iter().min_by_key(|((verified, ..), entry)| (*verified, entry.heard));
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.entries.remove(&key);
        }
    }
}
