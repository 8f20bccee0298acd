//! Golden bytes of whole states: what stands in snapshots of each level.

use remuda_model::Roles;

use super::*;
use crate::{
    decode, encode,
    testing::{id, joins, node, token},
};

/// The state of version 1, which both the release before and this one read and write.
///
/// In order: applied, epoch, cluster, nodes, active, tokens, certificates, seen commands.
const FIRST: &str = "\
    0804011a3031323334353637383961626364656667686a6b6d6e7071727301630c02016101610200010105302e\
    312e300004636f7265000102050177017701010105302e312e3000000000080801016101017401740174020707\
    0707070707070707070707070707070707070707070707070707070707070100010177010103e8070101610201\
    02ffffffffffffffffff0100060105050505050505050505050505050505000008010805050505050505050505\
    050505050505";

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

fn cluster() -> ClusterRecord {
    let id = "0123456789abcdefghjkmnpqrs".parse().expect("a cluster id");
    ClusterRecord { id, name: "c".to_owned(), created_ms: 12 }
}

/// One of everything.
fn full() -> ClusterState {
    let mut state = ClusterState::new();
    let changes = [
        Change::Init(cluster()),
        Change::PutNode(node("a", Roles::CONTROL)),
        Change::CreateToken(token("t")),
        Change::SetActive { node: id("a"), active: true },
        Change::SetLabels { node: id("a"), labels: "core".parse().unwrap(), if_revision: None },
        Change::Revoke { node: id("a"), serial: vec![1, 2] },
    ];
    for change in changes {
        let index = state.applied() + 1;
        state.apply(index, &Command::once(change)).outcome.expect("changed");
    }
    state.apply(7, &joins("w", 3)).outcome.expect("changed");
    let put = Command::with_id([5; 16], Change::PutNode(node("w", Roles::WORKER)));
    state.apply(8, &put).outcome.expect("changed");
    state
}

#[test]
fn the_bytes_of_a_state_of_level_1_never_change() {
    let state = full();
    assert_eq!(state.level(), 1);
    let bytes = encode(&state);
    assert_eq!(hex(&bytes), FIRST);
    assert_eq!(decode::<ClusterState>(&bytes).expect("readable"), state);
}

#[test]
fn a_raised_state_says_its_level_where_the_cluster_stands() {
    let mut state = full();
    let first = hex(&encode(&state));
    let raise = Command::once(Change::RaiseLevel { level: 2 });
    assert_eq!(state.apply(9, &raise).outcome, Ok(Outcome::Changed(Revision(9))));
    assert_eq!((state.level(), state.cluster()), (2, Some(&cluster())));
    let bytes = encode(&state);
    let record = hex(&encode(&cluster()));
    let raised =
        first.replacen("08", "09", 1).replacen(&format!("01{record}"), &format!("02{record}02"), 1);
    assert_eq!(hex(&bytes), raised);
    assert_eq!(decode::<ClusterState>(&bytes).expect("readable"), state);
    // Version 1 knows two forms of this field, and does not mistake the third one for them.
    assert_eq!(encode(&Identity::None), encode(&None::<ClusterRecord>));
    assert_eq!(encode(&Identity::Founded(cluster())), encode(&Some(cluster())));
    assert!(decode::<Option<ClusterRecord>>(&encode(&state.identity)).is_err());
}

#[test]
fn what_level_2_adds_follows_the_level() {
    let mut state = full();
    state.apply(9, &Command::once(Change::RaiseLevel { level: 2 })).outcome.expect("raised");
    let put = Change::PutRun {
        run: "r".parse().expect("a run"),
        incarnation: 5,
        coordinator: id("a"),
        standby: None,
        if_revision: None,
    };
    state.apply(10, &Command::once(put)).outcome.expect("kept");
    let record = hex(&encode(&cluster()));
    // No authority; one run: its id, its incarnation, its coordinator, no second copy, its revision.
    let extended = format!("03{record}02{}", "00010172050161000a");
    assert_eq!(hex(&encode(&state.identity)), extended);
    assert_eq!(decode::<ClusterState>(&encode(&state)).expect("readable"), state);
}

#[test]
fn a_level_never_goes_back() {
    let mut state = full();
    for (index, level, outcome) in [
        (9, 3, Outcome::Changed(Revision(9))),
        (10, 2, Outcome::Unchanged),
        (11, 3, Outcome::Unchanged),
        (12, 1, Outcome::Unchanged),
    ] {
        let raise = Command::once(Change::RaiseLevel { level });
        assert_eq!(state.apply(index, &raise).outcome, Ok(outcome));
        assert_eq!(state.level(), 3);
    }
}

#[test]
fn a_state_without_a_cluster_has_no_level_to_raise() {
    let mut state = ClusterState::new();
    let raise = Command::once(Change::RaiseLevel { level: 2 });
    assert_eq!(state.apply(1, &raise).outcome, Ok(Outcome::Unchanged));
    assert_eq!(state.level(), 1);
    let forged = ClusterState {
        identity: Identity::Raised { cluster: cluster(), level: 1 },
        ..ClusterState::new()
    };
    assert!(forged.invariants().is_err());
}
