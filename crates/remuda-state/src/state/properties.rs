//! What holds for every history of changes.

use proptest::prelude::*;
use remuda_model::{Generation, Roles};

use super::*;
use crate::{
    Certificate,
    testing::{id, joins, node, token},
};

/// Few names, so that changes meet.
fn name() -> impl Strategy<Value = NodeId> {
    prop::sample::select(vec!["a", "b", "c", "w"]).prop_map(id)
}

fn run_id() -> impl Strategy<Value = RunId> {
    prop::sample::select(vec!["r", "s"]).prop_map(|name| name.parse().expect("a run"))
}

fn change() -> impl Strategy<Value = Change> {
    let roles =
        any::<bool>().prop_map(|control| if control { Roles::CONTROL } else { Roles::WORKER });
    let put = (name(), roles, 0_u64..3, any::<bool>()).prop_map(|(name, roles, boot, active)| {
        let mut record = node(name.as_str(), roles);
        record.generation = Generation(boot);
        record.active = active;
        Change::PutNode(record)
    });
    let labels =
        (name(), "[a-z]{0,2}", prop::option::of(0_u64..20)).prop_map(|(node, labels, revision)| {
            Change::SetLabels {
                node,
                labels: labels.parse().expect("a label"),
                if_revision: revision.map(Revision),
            }
        });
    let token_name = || prop::sample::select(vec!["t", "u"]);
    prop_oneof![
        4 => put,
        1 => labels,
        3 => (name(), any::<bool>()).prop_map(|(node, active)| Change::SetActive { node, active }),
        2 => name().prop_map(|node| Change::RemoveNode { node, now_ms: 1 }),
        1 => token_name().prop_map(|name| Change::CreateToken(token(name))),
        1 => token_name().prop_map(|name| Change::RevokeToken(name.parse().expect("an id"))),
        1 => (name(), any::<u8>()).prop_map(|(node, serial)| Change::Revoke {
            node,
            serial: vec![serial],
        }),
        2 => (name(), any::<u8>(), any::<bool>(), 0_u64..9).prop_map(
            |(node, number, joins, now_ms)| {
                let certificate = Certificate { serial: vec![number], until_ms: now_ms + 5 };
                Change::IssueCertificate { node, certificate, joins, now_ms }
            }
        ),
        2 => (run_id(), name(), prop::option::of(name()), prop::option::of(0_u64..20)).prop_map(
            |(run, coordinator, standby, revision)| Change::PutRun {
                run,
                incarnation: 1,
                coordinator,
                standby,
                if_revision: revision.map(Revision),
            }
        ),
        1 => (run_id(), 0_u64..20).prop_map(|(run, revision)| Change::RemoveRun {
            run,
            if_revision: Revision(revision),
        }),
        1 => (2_u16..4).prop_map(|level| Change::RaiseLevel { level }),
        3 => Just(Change::Init(cluster())),
        6 => crate::testing::plan_change(),
        1 => Just(Change::Unknown { number: 0x8001, fields: vec![1] }),
    ]
}

fn cluster() -> ClusterRecord {
    let id = "0123456789abcdefghjkmnpqrs".parse().expect("a cluster id");
    ClusterRecord { id, name: "c".to_owned(), created_ms: 1 }
}

fn history() -> impl Strategy<Value = Vec<Command>> {
    let id = prop::option::weighted(0.3, (0_u8..4).prop_map(|n| [n; 16]));
    let command = (id, change()).prop_map(|(id, change)| Command { id, change });
    proptest::collection::vec(command, 0..40)
}

fn run(state: &mut ClusterState, history: &[Command]) -> Vec<Applied> {
    // Every third index is one that does not concern the state.
    history
        .iter()
        .map(|command| {
            let index = state.applied() + 1;
            if index.is_multiple_of(3) {
                state.advance(index);
            }
            state.apply(state.applied() + 1, command)
        })
        .collect()
}

proptest! {
    #[test]
    fn replaying_gives_the_same_state_and_outcomes(history in history()) {
        let (mut one, mut two) = (ClusterState::new(), ClusterState::new());
        prop_assert_eq!(run(&mut one, &history), run(&mut two, &history));
        prop_assert_eq!(one.hash(), two.hash());
        prop_assert_eq!(one, two);
    }

    #[test]
    fn a_restored_state_goes_on_like_the_original(before in history(), after in history()) {
        let mut original = ClusterState::new();
        run(&mut original, &before);
        let mut restored: ClusterState = codec::decode(&codec::encode(&original)).expect("written");
        prop_assert_eq!(&restored, &original);
        prop_assert_eq!(run(&mut restored, &after), run(&mut original, &after));
        prop_assert_eq!(restored.hash(), original.hash());
    }

    #[test]
    fn invariants_hold_and_a_refusal_changes_nothing(history in history()) {
        let mut state = ClusterState::new();
        for command in &history {
            let mut before = state.clone();
            let index = state.applied() + 1;
            let applied = state.apply(index, command);
            prop_assert_eq!(state.invariants(), Ok(()));
            if applied.outcome.is_err() || applied.outcome == Ok(Outcome::Unchanged) {
                before.advance(index);
                before.seen = state.seen.clone();
                prop_assert_eq!(&before, &state);
            }
        }
    }

    #[test]
    fn every_worker_has_one_owner_and_it_moves_only_with_the_epoch(history in history()) {
        let mut state = ClusterState::new();
        let workers = ["a", "w", "x", "y"].map(id);
        for command in &history {
            let before = state.clone();
            state.apply(state.applied() + 1, command);
            for worker in &workers {
                let owner = state.owner_of(worker);
                prop_assert_eq!(owner.is_some(), !state.controls().is_empty());
                prop_assert!(owner.iter().all(|owner| state.controls().contains(owner)));
                prop_assert!(owner == before.owner_of(worker) || state.epoch() > before.epoch());
            }
            prop_assert_eq!(
                state.epoch() == before.epoch(),
                state.controls() == before.controls()
            );
        }
    }

    #[test]
    fn a_removed_node_leaves_nothing_that_its_successor_would_inherit(history in history()) {
        let mut state = ClusterState::new();
        run(&mut state, &history);
        let index = state.applied() + 1;
        let command = Command::once(Change::RemoveNode { node: id("a"), now_ms: 1 });
        if state.apply(index, &command).outcome.is_ok() {
            let mut fresh = node("a", Roles::WORKER);
            fresh.generation = Generation(0);
            state.apply(index + 1, &joins("a", 0));
            let index = state.applied() + 1;
            let put = state.apply(index, &Command::once(Change::PutNode(fresh.clone())));
            prop_assert_eq!(put.outcome, Ok(Outcome::Changed(Revision(index))));
            (fresh.created, fresh.modified) = (Revision(index), Revision(index));
            prop_assert_eq!(state.node(&id("a")), Some(&fresh));
        }
    }

    #[test]
    fn a_removed_node_stays_out_until_it_joins_anew(before in history(), after in history()) {
        let mut state = ClusterState::new();
        run(&mut state, &before);
        let held: Vec<u8> = (0..=255).filter(|number| !state.is_revoked(&id("a"), &[*number])).collect();
        let issued = state.certificates.issued_to(&id("a"));
        let remove = Command::once(Change::RemoveNode { node: id("a"), now_ms: 1 });
        if state.apply(state.applied() + 1, &remove).outcome.is_ok() {
            let mut back = false;
            for command in &after {
                let outcome = state.apply(state.applied() + 1, command).outcome;
                back |= matches!(
                    &command.change,
                    Change::IssueCertificate { node, joins: true, .. } if *node == id("a")
                ) && outcome.is_ok();
                prop_assert!(back || state.node(&id("a")).is_none());
                for serial in &issued {
                    prop_assert!(state.is_revoked(&id("a"), serial));
                }
                prop_assert!(back || held.iter().all(|one| state.is_revoked(&id("a"), &[*one])));
            }
        }
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(state) = codec::decode::<ClusterState>(&bytes) {
            // What can be read can be judged.
            drop(state.invariants());
        }
        drop(codec::decode::<Command>(&bytes));
    }
}
