//! Control nodes on a board: how they get there, and what is read of them.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use remuda_model::LinkUrl;
use remuda_runtime::{Backoff, Supervisor};
use serde_json::{Map, Value, json};

use super::{Host, Packet, TrackerUrl, announce};
use crate::lan::{Announcement, Announcer, INTERVAL, Key};

/// Where the announcement stands in `data`, in base64.
const FIELD: &str = "remuda";
/// How long the last word may take.
const GOOD_BYE: Duration = Duration::from_millis(500);
/// The shortest pause after a tracker was out of reach.
const SOON: Duration = Duration::from_millis(200);
/// The longest of the random pauses that come on top.
const LATE: Duration = Duration::from_secs(30);

/// Pins a control node up on a tracker every few seconds, and takes it down in the end.
pub fn keep_announced(url: TrackerUrl, announcer: Announcer, supervisor: &Supervisor) {
    let stop = supervisor.token();
    supervisor.spawn("tracker announcements", async move {
        let mut backoff = Backoff::new(SOON, LATE, fastrand::u64(..));
        let mut is_there = true;
        loop {
            let here = packet(&announcer, true);
            let announced = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                announced = announce(&url, &here) => announced,
            };
            let pause = match announced {
                Ok(_) => {
                    backoff.reset();
                    if !std::mem::replace(&mut is_there, true) {
                        tracing::info!(%url, "a tracker is back");
                    }
                    INTERVAL.mul_f64(0.9 + 0.1 * fastrand::f64())
                }
                Err(error) => {
                    if std::mem::take(&mut is_there) {
                        tracing::warn!(error = %remuda_model::Chain(&error), "a tracker is lost");
                    }
                    SOON + backoff.next_delay()
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => (),
            }
        }
        // Nobody is harmed if it fails: the board forgets.
        let good_bye = packet(&announcer, false);
        drop(tokio::time::timeout(GOOD_BYE, announce(&url, &good_bye)).await);
    });
}

fn packet(announcer: &Announcer, available: bool) -> Packet {
    let mut data = Map::new();
    data.insert("role".to_owned(), json!("master"));
    if let Some(url) = announcer.addresses.first() {
        data.insert("port".to_owned(), json!(url.port));
    }
    data.insert("cluster".to_owned(), json!(announcer.cluster));
    data.insert("node".to_owned(), json!(announcer.node));
    let datagram = BASE64_STANDARD_NO_PAD.encode(announcer.to_datagram(None));
    data.insert(FIELD.to_owned(), Value::String(datagram));
    Packet {
        name: "master".to_owned(),
        id: Some(announcer.node.to_string()),
        interval: u64::try_from(INTERVAL.as_millis()).ok(),
        data,
        available,
    }
}

/// What a board says of a control node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What it has announced.
    pub announcement: Announcement,
    /// Its addresses that can be dialled.
    pub addresses: Vec<LinkUrl>,
    /// Whether the announcement is recent and bears the seal of the key.
    pub verified: bool,
}

/// The announcement of a host, if it is a control node.
pub fn told(host: &Host, key: Option<&Key>, wall_s: u64) -> Option<Told> {
    let datagram = BASE64_STANDARD_NO_PAD.decode(host.data.get(FIELD)?.as_str()?).ok()?;
    let (announcement, sealed) = Announcement::from_datagram(&datagram, key)?;
    let addresses = announcement.usable_addresses();
    Some(Told { verified: sealed && announcement.is_recent(wall_s), addresses, announcement })
}
