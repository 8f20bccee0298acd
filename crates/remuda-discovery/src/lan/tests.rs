//! What is said, and what is believed of it.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::{
    datagram::{Datagram, open, write},
    table::{MAX_NEIGHBOURS, Table},
    *,
};

const NOW_S: u64 = 1_800_000_000;

fn announcement(node: &str) -> Announcement {
    Announcement {
        cluster: "00000000000000000000000001".parse().expect("a cluster id"),
        name: "herd".to_owned(),
        node: node.parse().expect("a name"),
        addresses: vec!["remuda://10.0.0.9:1973".parse().expect("a URL")],
        interval_s: 3,
        at_s: NOW_S,
    }
}

fn key(byte: u8) -> Key {
    Key::of_secret(&[byte; 32])
}

/// Hears an announcement.
fn hear(table: &mut Table, at: u64, announcement: Announcement, sealed: bool) -> bool {
    let at = Duration::from_secs(at);
    table.heard((at, NOW_S), announcement, (HOME, false), sealed)
}

/// Where [`hear`] hears from.
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));

fn nodes(table: &Table) -> Vec<(String, bool)> {
    let neighbours = table.neighbours().into_iter();
    neighbours.map(|neighbour| (neighbour.node.to_string(), neighbour.verified)).collect()
}

#[test]
fn the_bytes_of_an_announcement_do_not_change() {
    let bytes = write(Datagram::Here(announcement("c1")), &[key(7)]);
    let shown = bytes.escape_ascii().to_string();
    assert_eq!(
        shown,
        r"rmdlan\x01B\x01\x1a00000000000000000000000001\x04herd\x02c1\x01\x16remuda://10.0.0.9:1973\x03\x80\xa4\xa7\xda\x06\x01.4\x1c\xe1\x97\xb4\xf7\x0cXK\x85`\x80h\x15#"
    );
}

#[test]
fn a_seal_is_known_by_those_who_join_with_the_same_secret() {
    let here = Datagram::Here(announcement("c1"));
    let bytes = write(here.clone(), &[key(1), key(2)]);
    for (key, sealed) in
        [(Some(key(1)), true), (Some(key(2)), true), (Some(key(3)), false), (None, false)]
    {
        let opened = open(&bytes, key.as_ref()).expect("a datagram");
        assert_eq!((opened.datagram, opened.sealed), (here.clone(), sealed));
    }
    let changed: Vec<u8> = {
        let at = bytes.windows(4).position(|word| word == b"herd").expect("the name");
        let mut bytes = bytes.clone();
        bytes[at] = b'n';
        bytes
    };
    assert!(!open(&changed, Some(&key(1))).expect("a datagram").sealed);
    assert_eq!(open(&bytes[1..], None), None);
    assert_eq!(
        open(br#"{"name":"worker","interval":1000,"data":{}}"#, None),
        None,
        "SuperCluster's"
    );
    assert!(!format!("{:?}", key(1)).contains('1'));
}

#[test]
fn no_datagram_is_longer_than_a_packet() {
    let mut long = announcement("c1");
    let url =
        |n: u16| format!("remuda://a-rather-long-name-{n}.example:{n}").parse().expect("a URL");
    long.addresses = (1..=64).map(url).collect();
    let bytes = write(Datagram::Here(long), &[key(1), key(2), key(3)]);
    assert!((1100..=MAX_DATAGRAM).contains(&bytes.len()), "{}", bytes.len());
    assert!(open(&bytes, Some(&key(3))).expect("a datagram").sealed);
    assert_eq!(open(&[bytes, vec![0; MAX_DATAGRAM]].concat(), None), None);
}

#[test]
fn what_cannot_be_dialled_is_left_out() {
    let mut table = Table::default();
    let mut here = announcement("c1");
    here.name = "he\u{1b}[31mrd".to_owned();
    here.addresses =
        ["0.0.0.0:1973", "10.0.0.9:1973", "[::]:7", "h:0", "x:1;transport=mem", "10.0.0.9"]
            .map(|text| text.parse().expect("a URL"))
            .to_vec();
    assert!(hear(&mut table, 0, here.clone(), true));
    assert!(!hear(&mut table, 1, here, true), "no news");
    let [neighbour] = &table.neighbours()[..] else { panic!("{table:?}") };
    assert_eq!(neighbour.addresses, ["10.0.0.9:1973".parse().expect("a URL")]);
    assert_eq!(neighbour.name, "he[31mrd");
}

#[test]
fn what_was_said_before_changes_nothing() {
    let mut table = Table::default();
    let old = announcement("c1");
    let new = Announcement {
        addresses: vec!["10.0.0.8:1973".parse().expect("a URL")],
        at_s: NOW_S + 5,
        ..announcement("c1")
    };
    hear(&mut table, 0, new.clone(), true);
    assert!(!hear(&mut table, 1, old, true));
    assert_eq!(table.neighbours()[0].addresses, new.addresses);
    table.gone((new.cluster.clone(), new.node.clone()), HOME, NOW_S, true);
    assert_eq!(nodes(&table).len(), 1, "a good-bye of an earlier boot");
    table.gone((new.cluster, new.node), HOME, NOW_S + 6, true);
    assert_eq!(nodes(&table), []);
}

#[test]
fn who_is_silent_for_two_and_a_half_intervals_or_says_good_bye_is_forgotten() {
    let mut table = Table::default();
    hear(&mut table, 0, announcement("c1"), true);
    hear(&mut table, 5, announcement("c2"), true);
    table.expire(Duration::from_millis(7400));
    assert_eq!(nodes(&table).len(), 2);
    table.expire(Duration::from_millis(7500));
    assert_eq!(nodes(&table), [("c2".to_owned(), true)]);
    let (cluster, node) = (announcement("c2").cluster, announcement("c2").node);
    table.gone((cluster.clone(), node.clone()), HOME, NOW_S, false);
    assert_eq!(nodes(&table).len(), 1, "only who has the secret ends what was said with it");
    table.gone((cluster, node), HOME, NOW_S, true);
    assert_eq!(nodes(&table), []);
    let greedy = Announcement { interval_s: u16::MAX, ..announcement("c3") };
    hear(&mut table, 10, greedy, false);
    table.expire(Duration::from_secs(160));
    assert_eq!(nodes(&table), [], "nobody is believed for more than two and a half minutes");
}

#[test]
fn a_flood_of_strangers_displaces_nobody_with_a_seal() {
    let mut table = Table::default();
    hear(&mut table, 0, announcement("c1"), true);
    for stranger in 0..3 * MAX_NEIGHBOURS {
        hear(&mut table, 1, announcement(&format!("s{stranger}")), false);
    }
    // The same name without the seal is somebody else.
    hear(&mut table, 1, Announcement { addresses: Vec::new(), ..announcement("c1") }, false);
    let neighbours = table.neighbours();
    assert_eq!(neighbours.len(), MAX_NEIGHBOURS);
    assert!(neighbours[0].verified && !neighbours[0].addresses.is_empty());
}

#[test]
fn what_is_repeated_later_has_no_seal() {
    let mut table = Table::default();
    hear(&mut table, 0, Announcement { at_s: NOW_S - 3600, ..announcement("c1") }, true);
    assert_eq!(nodes(&table), [("c1".to_owned(), false)]);
}

#[test]
fn a_node_is_told_apart_by_where_it_speaks_from() {
    let mut table = Table::default();
    let at = (Duration::ZERO, NOW_S);
    let other = Announcement {
        addresses: vec!["10.1.0.9:1973".parse().expect("a URL")],
        ..announcement("c1")
    };
    let elsewhere = IpAddr::from([10, 1, 0, 9]);
    assert!(hear(&mut table, 0, announcement("c1"), true));
    assert!(table.heard(at, other.clone(), (elsewhere, false), true));
    assert!(!hear(&mut table, 1, announcement("c1"), true), "both stay");
    assert!(!hear(&mut table, 1, announcement("c2"), false), "strangers are no news");
    table.gone((other.cluster, other.node), elsewhere, NOW_S, true);
    assert_eq!(nodes(&table).len(), 2);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_left(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let with_magic = [b"rmdlan\x01".as_slice(), &bytes].concat();
        for bytes in [bytes, with_magic] {
            if let Some(opened) = open(&bytes, Some(&key(1))) {
                prop_assert!(!opened.sealed);
            }
        }
    }
}
