//! Golden bytes: what is on disks and on links never changes.

use remuda_model::{Revision, Roles};

use super::*;
use crate::{
    AuthoritySecrets, AuthorityStep, ScheduleSecrets, ScheduleTargets, Step, When,
    testing::{id, node, token},
};

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// A node that has something in every field.
fn full_node() -> NodeRecord {
    NodeRecord {
        addresses: vec!["remuda://h:1;transport=tcp".parse().unwrap()],
        labels: "core".parse().unwrap(),
        attributes: [("os".to_owned(), "linux".to_owned())].into(),
        active: true,
        created: Revision(5),
        modified: Revision(300),
        ..node("a", Roles::CONTROL)
    }
}

/// Every variant, with its bytes.
fn golden() -> Vec<(Change, String)> {
    let cluster = ClusterRecord {
        id: "0123456789abcdefghjkmnpqrs".parse().unwrap(),
        name: "c".to_owned(),
        created_ms: 300,
    };
    let labels = Change::SetLabels {
        node: id("a"),
        labels: "core".parse().unwrap(),
        if_revision: Some(Revision(7)),
    };
    let url = hex(b"remuda://h:1;transport=tcp");
    let texts = |texts: [&str; 3]| texts.map(|text| hex(text.as_bytes()));
    let [core, os, linux] = texts(["core", "os", "linux"]);
    let [version, cluster_id, c] = texts(["0.1.0", cluster.id.as_str(), "c"]);
    let token_bytes = format!("06270174017402{}0100", "07".repeat(32));
    let node_bytes =
        format!("023b01610200010105{version}011a{url}04{core}0102{os}05{linux}0105ac02");
    vec![
        (Change::Init(cluster), format!("011f1a{cluster_id}01{c}ac02")),
        (Change::PutNode(full_node()), node_bytes),
        (labels, format!("0309016104{core}0107")),
        (Change::SetActive { node: id("a"), active: true }, "0403016101".to_owned()),
        (Change::RemoveNode { node: id("a"), now_ms: 300 }, "05040161ac02".to_owned()),
        (Change::CreateToken(token("t")), token_bytes),
        (Change::RevokeToken("t".parse().unwrap()), "07020174".to_owned()),
        (Change::Revoke { node: id("a"), serial: vec![1, 2] }, "08050161020102".to_owned()),
        (
            Change::IssueCertificate {
                node: id("a"),
                certificate: Certificate { serial: vec![1, 2], until_ms: 300 },
                joins: true,
                now_ms: 5,
            },
            "09090161020102ac020105".to_owned(),
        ),
        (Change::RaiseLevel { level: 300 }, "0a02ac02".to_owned()),
        (
            Change::SetAuthority(Box::new(NewAuthority {
                replaces: Revision(3),
                step: AuthorityStep::Issuing,
                trusted: vec![vec![1, 2], vec![4]],
                secrets: AuthoritySecrets::new(vec![5]),
                until_ms: 6,
                grace_ms: 7,
            })),
            "0b0c030202020102010401050607".to_owned(),
        ),
        (
            Change::FollowAuthority { revision: Revision(7), nodes: vec![id("a")] },
            "0c0407010161".to_owned(),
        ),
        (
            Change::PutRun {
                run: "r".parse().unwrap(),
                incarnation: 300,
                coordinator: id("a"),
                standby: Some(id("b")),
                if_revision: Some(Revision(300)),
            },
            "0e0c0172ac02016101016201ac02".to_owned(),
        ),
        (
            Change::RemoveRun { run: "r".parse().unwrap(), if_revision: Revision(7) },
            "0f03017207".to_owned(),
        ),
    ]
    .into_iter()
    .chain(golden_plans())
    .chain([(Change::Unknown { number: 0x8001, fields: vec![9] }, "8180020109".to_owned())])
    .collect()
}

/// Those of target lists and schedules.
fn golden_plans() -> Vec<(Change, String)> {
    let list = || "l".parse().unwrap();
    let schedule = || "s".parse().unwrap();
    let run = || "r".parse().unwrap();
    let record = ScheduleRecord {
        id: schedule(),
        when: When::Cron { expression: "* * * * *".to_owned(), timezone: "UTC".to_owned() },
        spec: "{}".to_owned(),
        targets: ScheduleTargets {
            lines: "h".to_owned(),
            saved: vec![list()],
            nodes: Some("gpu".to_owned()),
        },
        secrets: ScheduleSecrets::new(vec![5]),
        overlap: true,
        created_ms: 300,
        created: Revision(0),
    };
    let (stars, utc) = (hex(b"* * * * *"), hex(b"UTC"));
    let record_bytes = format!("01730009{stars}03{utc}027b7d016801016c0103677075010501ac0200");
    let every = ScheduleRecord { when: When::Every { every_ms: 300 }, ..record.clone() };
    let every_bytes = record_bytes.replacen(&format!("0009{stars}03{utc}"), "01ac02", 1);
    let reached = Reached {
        schedule: schedule(),
        if_revision: Revision(7),
        due_ms: 300,
        missed: 2,
        step: Step::Begin { run: run(), coordinator: id("a") },
    };
    let settle =
        |settled| Change::SettleSchedule { schedule: schedule(), run: run(), settled, now_ms: 300 };
    let (reach, skip) = (reached.clone(), Reached { step: Step::Skip, ..reached.clone() });
    vec![
        (
            Change::PutTargets { list: list(), lines: "h\n".to_owned(), targets: 1, now_ms: 300 },
            "2008016c02680a01ac02".to_owned(),
        ),
        (Change::RemoveTargets(list()), "2102016c".to_owned()),
        (
            Change::CreateSchedule { record: Box::new(record), paused: true },
            format!("2225{record_bytes}01"),
        ),
        (
            Change::CreateSchedule { record: Box::new(every), paused: false },
            format!("2219{every_bytes}00"),
        ),
        (Change::RemoveSchedule(schedule()), "23020173".to_owned()),
        (
            Change::PauseSchedule { schedule: schedule(), paused: true, now_ms: 300 },
            "2405017301ac02".to_owned(),
        ),
        (Change::ReachSchedule(Box::new(reach)), "250b017307ac02020001720161".to_owned()),
        (Change::ReachSchedule(Box::new(skip)), "2507017307ac020201".to_owned()),
        (
            Change::ReachSchedule(Box::new(Reached { step: Step::Miss, ..reached })),
            "2507017307ac020202".to_owned(),
        ),
        (settle(Settled::Begun), "26070173017200ac02".to_owned()),
        (settle(Settled::Failed("x".to_owned())), "260901730172010178ac02".to_owned()),
        (settle(Settled::Ended), "26070173017202ac02".to_owned()),
    ]
}

#[test]
fn the_bytes_of_every_change_never_change() {
    for (change, bytes) in golden() {
        let written = codec::encode(&change);
        assert_eq!(hex(&written), bytes, "{change:?}");
        assert_eq!(codec::decode::<Change>(&written).unwrap(), change);
    }
}

#[test]
fn every_number_is_used_once_and_in_order() {
    let mut numbers: Vec<u16> = golden().iter().map(|(change, _)| change.number()).collect();
    numbers.dedup();
    let known = (1..=12).chain(14..=15).chain(32..=38);
    assert_eq!(numbers, known.chain([0x8001]).collect::<Vec<_>>());
}

#[test]
fn a_change_of_a_newer_version_is_read_and_named() {
    let newer: Change = codec::decode(&[99, 2, 7, 7]).unwrap();
    assert_eq!(newer, Change::Unknown { number: 99, fields: vec![7, 7] });
    assert_eq!(newer.understood(), Err(UnknownChange(99)));
    let may_be_skipped: Change = codec::decode(&codec::encode(&(0x8063_u16, vec![7_u8]))).unwrap();
    assert_eq!(may_be_skipped.understood(), Ok(()));
}

#[test]
fn a_level_that_is_not_spoken_stops_a_replica() {
    let raise = |level| Change::RaiseLevel { level };
    assert_eq!(raise(2).understood_by(1), Err(UnknownChange(10)));
    assert_eq!(raise(2).understood_by(2), Ok(()));
    assert_eq!(raise(Release::CURRENT.protocol).understood(), Ok(()));
    assert_eq!(raise(Release::CURRENT.protocol + 1).understood(), Err(UnknownChange(10)));
    // What version 1 wrote is understood by it.
    for (change, _) in golden().into_iter().filter(|(change, _)| change.number() < 10) {
        assert_eq!(change.understood_by(1), Ok(()), "{change:?}");
    }
}

#[test]
fn fields_must_be_those_of_the_number() {
    // `SetActive` with one byte more.
    assert!(codec::decode::<Change>(&[4, 4, 1, b'a', 1, 0]).is_err());
    assert!(codec::decode::<Change>(&[4, 2, 1, b'a']).is_err());
    // A name that is none.
    assert!(codec::decode::<Change>(&[4, 3, 1, b'/', 1]).is_err());
}

#[test]
fn a_command_says_whether_it_has_an_id() {
    let change = Change::RevokeToken("t".parse().unwrap());
    assert_eq!(hex(&codec::encode(&Command::once(change.clone()))), "0007020174");
    let named = codec::encode(&Command::with_id([5; 16], change));
    assert_eq!(hex(&named), format!("01{}07020174", "05".repeat(16)));
}
