//! Backups come back as they were, and nothing else comes back at all.

use remuda_model::{ClusterId, Roles};
use remuda_state::Scope;

use super::*;
use crate::ApiToken;

fn id(text: &str) -> NodeId {
    text.parse().expect("a node name")
}

/// Two control nodes and a worker.
fn backup() -> Backup {
    let cluster = ClusterId::random();
    let authority = Authority::generate(&cluster).expect("generated");
    let mut state = ClusterState::new();
    let record = |name: &str, roles, active| {
        let mut record = new_record(id(name), Vec::new());
        (record.roles, record.active) = (roles, active);
        record
    };
    let init = ClusterRecord { id: cluster, name: "herd".to_owned(), created_ms: 7 };
    let mut changes = vec![
        Change::Init(init),
        Change::PutNode(record("c1", Roles::CONTROL, true)),
        Change::PutNode(record("c2", Roles::CONTROL, true)),
        Change::PutNode(record("w1", Roles::WORKER, false)),
        Change::CreateToken(ApiToken::random().record("ci", Scope::Operate, None)),
    ];
    for (node, role) in [("c1", Role::Control), ("c2", Role::Control), ("w1", Role::Worker)] {
        let made = authority.certify(&id(node), role).expect("certified");
        let facts = CertificateFacts::read(&made.certificate).expect("readable");
        changes.push(issued(&id(node), facts, false));
    }
    for (index, change) in (1..).zip(changes) {
        state.apply(index, &Command::once(change)).into_result().expect("applied");
    }
    Backup::new(state, authority)
}

fn assert_same(found: &Backup, expected: &Backup) {
    assert_eq!(found.state.hash(), expected.state.hash());
    assert_eq!(found.authority.to_wire(), expected.authority.to_wire());
    assert_eq!((found.made_ms, &found.version), (expected.made_ms, &expected.version));
}

#[test]
fn an_open_backup_comes_back_and_no_other_bytes_are_one() {
    let backup = backup();
    let bytes = backup.to_bytes();
    assert_same(&Backup::from_bytes(&bytes, None).expect("whole"), &backup);
    for at in 0..bytes.len() {
        let cut = Backup::from_bytes(&bytes[..at], None).expect_err("cut");
        let expected = if at < 8 { "no backup" } else { "incomplete" };
        assert!(cut.to_string().contains(expected), "cut at {at}: {cut}");
        let mut changed = bytes.clone();
        changed[at] ^= 0x40;
        Backup::from_bytes(&changed, None).map(drop).expect_err("changed");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(Backup::from_bytes(&longer, None), Err(BackupError::Length { .. })));
    let mut newer = bytes.clone();
    newer[8] = 2;
    assert!(matches!(Backup::from_bytes(&newer, None), Err(BackupError::Newer(2))));
    let mut damaged = bytes;
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    assert!(matches!(Backup::from_bytes(&damaged, None), Err(BackupError::Checksum)));
}

#[test]
fn a_sealed_backup_needs_its_passphrase_and_shows_no_key() {
    let backup = backup();
    let bytes = backup.to_sealed_bytes(b"correct horse");
    assert!(matches!(Backup::from_bytes(&bytes, None), Err(BackupError::Sealed)));
    let wrong = Backup::from_bytes(&bytes, Some(b"battery"));
    assert!(matches!(wrong, Err(BackupError::Passphrase)), "{wrong:?}");
    let found = Backup::from_bytes(&bytes, Some(b"correct horse")).expect("opened");
    assert_same(&found, &backup);
    let wire = backup.authority.to_wire();
    let shows = |secret: &[u8]| bytes.windows(secret.len()).any(|part| part == secret);
    assert!(!shows(&wire.ca_key) && !shows(&wire.control_secret), "sealed");
    let open = backup.to_bytes();
    let shows = |secret: &[u8]| open.windows(secret.len()).any(|part| part == secret);
    assert!(shows(&wire.ca_key), "the open form is what docs/operations.md warns of");
}

#[test]
fn a_successor_is_the_only_control_node_and_beyond_all_epochs() {
    let backup = backup();
    let Succession { state, certificate, removed } = backup.succeed(&id("n1")).expect("succeeds");
    assert_eq!(removed, [id("c1"), id("c2")]);
    assert_eq!(state.controls(), [id("n1")]);
    assert!(state.epoch().0 >= LEAP && state.applied() < 2 * LEAP);
    assert_eq!(state.owner_of(&id("w1")), Some(id("n1")));
    assert_eq!(state.node(&id("w1")), backup.state.node(&id("w1")));
    assert!(state.tokens().eq(backup.state.tokens()));
    for old in ["c1", "c2"] {
        assert!(state.is_removed(&id(old)), "{old} is refused");
    }
    assert!(!state.is_removed(&id("w1")) && !state.is_removed(&id("n1")));
    let facts = CertificateFacts::read(&certificate.certificate).expect("readable");
    assert!(!state.is_revoked(&id("n1"), &facts.serial));
    assert_eq!(state.invariants(), Ok(()));
    // And once more: the indices go on growing.
    let again = Backup { state, ..backup.clone() }.succeed(&id("n2")).expect("succeeds again");
    assert!(again.state.epoch().0 >= 2 * LEAP);
    for taken in ["c1", "w1"] {
        assert_eq!(backup.succeed(&id(taken)).expect_err("taken").code, "name_taken");
    }
}
