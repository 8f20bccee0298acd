//! Steps of a rotation as the state sees them.

use remuda_model::Roles;

use super::*;
use crate::{
    Change, ClusterRecord, Command, decode, encode,
    testing::{id, joins, node},
};

fn founded(level: u16) -> ClusterState {
    let mut state = ClusterState::new();
    let cluster = "0123456789abcdefghjkmnpqrs".parse().expect("a cluster id");
    let cluster = ClusterRecord { id: cluster, name: "c".to_owned(), created_ms: 1 };
    let commands = [
        joins("a", 1),
        Command::once(Change::PutNode(node("a", Roles::CONTROL))),
        Command::once(Change::Init(cluster)),
        Command::once(Change::RaiseLevel { level }),
    ];
    for (command, index) in commands.iter().zip(1..) {
        state.apply(index, command).outcome.expect("applied");
    }
    state
}

fn new(replaces: u64, step: AuthorityStep, trusted: &[u8]) -> NewAuthority {
    NewAuthority {
        replaces: Revision(replaces),
        step,
        trusted: trusted.iter().map(|byte| vec![*byte]).collect(),
        secrets: AuthoritySecrets::new(b"hidden".to_vec()),
        until_ms: 9,
        grace_ms: 5,
    }
}

fn put(state: &mut ClusterState, new: NewAuthority) -> Result<Outcome, Refusal> {
    let index = state.applied() + 1;
    state.apply(index, &Command::once(Change::SetAuthority(Box::new(new)))).outcome
}

fn follow(state: &mut ClusterState, revision: Revision, names: &[&str]) -> Outcome {
    let nodes = names.iter().map(|name| id(name)).collect();
    let index = state.applied() + 1;
    let change = Change::FollowAuthority { revision, nodes };
    state.apply(index, &Command::once(change)).outcome.expect("never refused")
}

#[test]
fn steps_are_taken_one_after_the_other_and_nodes_follow_each() {
    let mut state = founded(2);
    put(&mut state, new(0, AuthorityStep::Announced, &[1, 2])).expect("the first");
    let revision = state.authority().expect("there").revision;
    assert!(matches!(
        put(&mut state, new(0, AuthorityStep::Announced, &[1, 3])),
        Err(Refusal::AuthorityMoved { .. })
    ));
    assert_eq!(follow(&mut state, Revision(1), &["a"]), Outcome::Unchanged, "of another time");
    assert_eq!(follow(&mut state, revision, &["unknown"]), Outcome::Unchanged);
    assert!(matches!(follow(&mut state, revision, &["a"]), Outcome::Changed(_)));
    assert!(state.authority().expect("there").is_followed_by(&id("a")));
    // Another secret asks nothing of anybody; another step does.
    put(&mut state, new(revision.0, AuthorityStep::Announced, &[1, 2])).expect("a new secret");
    let record = state.authority().expect("there");
    assert!(record.is_followed_by(&id("a")));
    let revision = record.revision.0;
    put(&mut state, new(revision, AuthorityStep::Issuing, &[1, 2])).expect("the next step");
    assert!(!state.authority().expect("there").is_followed_by(&id("a")));
    let again: ClusterState = decode(&encode(&state)).expect("readable");
    assert_eq!(again, state);
    assert!(!format!("{state:?}").contains("hidden"));
}

#[test]
fn a_removed_node_has_not_followed() {
    let mut state = founded(2);
    let commands = [joins("b", 2), Command::once(Change::PutNode(node("b", Roles::WORKER)))];
    for command in &commands {
        state.apply(state.applied() + 1, command).outcome.expect("applied");
    }
    put(&mut state, new(0, AuthorityStep::Settled, &[1])).expect("the first");
    let revision = state.authority().expect("there").revision;
    follow(&mut state, revision, &["a", "b"]);
    let remove = Command::once(Change::RemoveNode { node: id("b"), now_ms: 5 });
    state.apply(state.applied() + 1, &remove).outcome.expect("removed");
    let record = state.authority().expect("there");
    assert!(record.is_followed_by(&id("a")) && !record.is_followed_by(&id("b")));
}

#[test]
fn an_old_cluster_has_no_place_for_it() {
    let mut state = founded(1);
    let refused = put(&mut state, new(0, AuthorityStep::Settled, &[1]));
    assert_eq!(refused, Err(Refusal::LevelTooLow { needed: 2, level: 1 }));
    let mut state = founded(2);
    let much =
        NewAuthority { trusted: vec![vec![0; 40_000]], ..new(0, AuthorityStep::Settled, &[1]) };
    assert_eq!(put(&mut state, much), Err(Refusal::TooMuch(Limit::Authority)));
    put(&mut state, new(0, AuthorityStep::Settled, &[1])).expect("small enough");
    let raise = Command::once(Change::RaiseLevel { level: 3 });
    state.apply(state.applied() + 1, &raise).outcome.expect("raised");
    assert_eq!(state.level(), 3);
    assert!(state.authority().is_some(), "kept");
}
