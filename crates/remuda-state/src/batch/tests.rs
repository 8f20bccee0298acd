//! What shares an entry of the log, and its bytes.

use remuda_model::{Revision, Roles};

use super::*;
use crate::{
    Applied, ClusterState, Outcome, Refusal,
    testing::{id, joins, node, token},
};

fn put(name: &str) -> Command {
    Command::once(Change::PutNode(node(name, Roles::WORKER)))
}

fn create(name: &str) -> Command {
    Command::once(Change::CreateToken(token(name)))
}

fn batch(commands: impl IntoIterator<Item = Command>) -> Batch {
    let mut commands = commands.into_iter();
    let mut gather = Gather::new(commands.next().expect("a first"), 1);
    for command in commands {
        assert_eq!(gather.add(command, 1), None);
    }
    gather.finish()
}

#[test]
fn one_command_is_written_as_itself_and_several_as_number_13() {
    let one = batch([create("t")]);
    assert_eq!(codec::encode(&one), codec::encode(&create("t")));
    assert_eq!(codec::decode::<Batch>(&codec::encode(&one)).unwrap(), one);

    let revoke = |name: &str| Command::once(Change::RevokeToken(name.parse().unwrap()));
    let two = batch([revoke("t"), revoke("u")]);
    let written = codec::encode(&two);
    assert_eq!(written, [0, 13, 11, 2, 0, 7, 2, 1, b't', 0, 7, 2, 1, b'u']);
    assert_eq!(codec::decode::<Batch>(&written).unwrap(), two);
    // Who does not know it takes it for a change of a newer version, and stops.
    let unread: Command = codec::decode(&written).unwrap();
    assert_eq!(unread.change.understood_by(1), Err(UnknownChange(13)));
    assert!(codec::decode::<Batch>(&written[..written.len() - 1]).is_err());
}

#[test]
fn a_batch_is_understood_from_its_level_on_when_every_command_is() {
    let two = batch([put("a"), put("b")]);
    assert_eq!(two.understood_by(1), Err(UnknownChange(13)));
    assert_eq!(two.understood_by(2), Ok(()));
    assert_eq!(batch([put("a")]).understood_by(1), Ok(()));
    let nested =
        Batch(vec![put("a"), Command::once(Change::Unknown { number: 13, fields: vec![] })]);
    assert_eq!(nested.understood_by(2), Err(UnknownChange(13)), "never one within another");
}

#[test]
fn what_is_about_the_same_thing_or_about_the_cluster_does_not_share_an_entry() {
    let mut gather = Gather::new(put("a"), 1);
    let labels =
        Change::SetLabels { node: id("a"), labels: "x".parse().unwrap(), if_revision: None };
    let labels = Command::once(labels);
    assert_eq!(
        gather.add(labels.clone(), 1),
        Some(labels),
        "its revision would not tell them apart"
    );
    let raise = Command::once(Change::RaiseLevel { level: 2 });
    assert_eq!(gather.add(raise.clone(), 1), Some(raise.clone()));
    assert_eq!(gather.add(create("t"), 1), None);
    assert_eq!(gather.finish(), Batch(vec![put("a"), create("t")]));
    let mut alone = Gather::new(raise, 1);
    assert_eq!(alone.add(create("t"), 1), Some(create("t")));
}

#[test]
fn an_entry_is_bounded_in_commands_and_bytes() {
    let mut gather = Gather::new(create("t0"), Gather::MAX_BYTES);
    assert!(gather.add(create("t1"), 1).is_some());
    let mut gather = Gather::new(create("t0"), 1);
    for n in 1..Gather::MAX_COMMANDS {
        assert_eq!(gather.add(create(&format!("t{n}")), 1), None);
    }
    assert!(gather.add(create("one-more"), 1).is_some());
}

#[test]
fn commands_of_one_entry_happen_one_after_the_other() {
    let mut state = ClusterState::new();
    let mut first = joins("a", 1);
    first.id = Some([1; 16]);
    let again = Batch(vec![first.clone(), create("t"), first, create("t")]);
    let changed = |index| Applied { outcome: Ok(Outcome::Changed(Revision(index))) };
    let unchanged = Applied { outcome: Ok(Outcome::Unchanged) };
    let done = state.apply_batch(7, &again);
    assert_eq!(done[1..3], [changed(7), done[0].clone()], "a repeated id changes nothing");
    assert_eq!((done.len(), &done[3]), (4, &unchanged));
    assert_eq!(state.applied(), 7);
    let old = state.apply_batch(7, &batch([create("u")]));
    assert_eq!(old[0].outcome, Err(Refusal::OldIndex { index: 7, applied: 7 }));
    assert_eq!(state.tokens().count(), 1);
}
