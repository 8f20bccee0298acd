//! What strangers on the subnet say.

use remuda_discovery::lan::{Announcement, Key, question};

fn key() -> Key {
    Key::of_secret(&[7; 32])
}

/// Announcements, with and without a seal.
pub(super) fn announcements(input: &[u8]) {
    let Some((announcement, sealed)) = Announcement::from_datagram(input, Some(&key())) else {
        return;
    };
    if sealed {
        let again = announcement.to_datagram(&[key()]);
        let read = Announcement::from_datagram(&again, Some(&key()));
        assert_eq!(read, Some((announcement, true)));
    }
}

pub(super) fn announcement_seeds() -> Vec<Vec<u8>> {
    let cluster = "00000000000000000000000001".parse().expect("a cluster id");
    let asked = question(Some(&cluster));
    let here = Announcement {
        cluster,
        name: "herd".to_owned(),
        node: "c1".parse().expect("a name"),
        addresses: vec!["remuda://0.0.0.0:1973".parse().expect("a URL")],
        interval_s: 3,
        at_s: 1_800_000_000,
    };
    vec![here.to_datagram(&[]), here.to_datagram(&[key(), key()]), asked, question(None)]
}
