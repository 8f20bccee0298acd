//! Golden bytes of whole states: what stands in snapshots of each level.

use remuda_model::Roles;

use super::*;
use crate::{
    Reached, Settled, Step, decode, encode,
    testing::{id, joins, list, node, run, schedule, schedule_record, token},
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
    // No authority; one run: its id, its incarnation, its coordinator, no second copy, its revision;
    // no lists, no schedules.
    let extended = format!("03{record}02{}", "00010172050161000a000000");
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

/// What follows the cluster and the level in a state with target lists and schedules: no authority,
/// no run, one list, one schedule, how it stands.
const PLANS_BYTES: &str = "\
    00 00 01016c0268 0a01ac020a 010173 0173 01e807 027b7d 00 01016c 00 0468757368 00 e807 0b \
    010173 00 d00f 00 01d00f01720161 01 01000000 00 0d";

#[test]
fn a_state_with_schedules_says_so_where_the_cluster_stands() {
    let mut state = full();
    let first = hex(&encode(&state));
    let reached = |state: &ClusterState| Reached {
        schedule: schedule("s"),
        if_revision: state.schedule(&schedule("s")).expect("made").1.modified,
        due_ms: 2000,
        missed: 0,
        step: Step::Begin { run: run("r"), coordinator: id("a") },
    };
    let list =
        Change::PutTargets { list: list("l"), lines: "h\n".to_owned(), targets: 1, now_ms: 300 };
    let refused = state.clone().apply(9, &Command::once(list.clone())).outcome;
    assert_eq!(refused, Err(Refusal::LevelTooLow { needed: 2, level: 1 }));
    for change in [
        Change::RaiseLevel { level: 2 },
        list,
        Change::CreateSchedule { record: Box::new(schedule_record("s", 1000)), paused: false },
    ] {
        let index = state.applied() + 1;
        state.apply(index, &Command::once(change)).outcome.expect("changed");
    }
    let reach = Change::ReachSchedule(Box::new(reached(&state)));
    state.apply(12, &Command::once(reach)).outcome.expect("changed");
    let settle = Change::SettleSchedule {
        schedule: schedule("s"),
        run: run("r"),
        settled: Settled::Begun,
        now_ms: 1,
    };
    state.apply(13, &Command::once(settle)).outcome.expect("changed");
    assert_eq!((state.level(), state.cluster()), (2, Some(&cluster())));
    let bytes = encode(&state);
    let record = hex(&encode(&cluster()));
    let plans = PLANS_BYTES.replace(' ', "");
    let planned = first.replacen("08", "0d", 1).replacen(
        &format!("01{record}"),
        &format!("03{record}02{plans}"),
        1,
    );
    assert_eq!(hex(&bytes), planned);
    assert_eq!(decode::<ClusterState>(&bytes).expect("readable"), state);
    // The level and the authority keep their places.
    let raise = Command::once(Change::RaiseLevel { level: 3 });
    assert_eq!(state.apply(14, &raise).outcome, Ok(Outcome::Changed(Revision(14))));
    assert_eq!((state.level(), state.schedules().count()), (3, 1));
}
