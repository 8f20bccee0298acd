//! What holds for every history of a schedule, whoever leads and whoever is away.

use std::collections::BTreeMap;

use proptest::prelude::*;
use remuda_model::Revision;

use super::*;
use crate::{
    Change, ClusterRecord, Command,
    testing::{id, run, schedule, schedule_record},
};

/// What some control node does, by a copy of the state that may be old.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// It looks.
    Look,
    /// It says that a time has come, by what it saw when it looked last.
    Reach,
    /// It begins what it saw as its own, and says so.
    Begin,
}

fn acts() -> impl Strategy<Value = Vec<(usize, Act)>> {
    let act = prop_oneof![Just(Act::Look), Just(Act::Reach), Just(Act::Begin)];
    proptest::collection::vec((0_usize..3, act), 0..60)
}

fn apply(state: &mut ClusterState, change: Change) -> bool {
    state.apply(state.applied() + 1, &Command::once(change)).outcome.is_ok()
}

proptest! {
    /// Three control nodes that all believe to lead, with copies of any age: each run is created by
    /// one of them, under one id for each moment, and moments come in order.
    #[test]
    fn each_moment_has_one_run_at_one_control_node(acts in acts()) {
        let mut state = ClusterState::new();
        let cluster = "0123456789abcdefghjkmnpqrs".parse().expect("a cluster id");
        let cluster = ClusterRecord { id: cluster, name: "c".to_owned(), created_ms: 1 };
        apply(&mut state, Change::Init(cluster));
        apply(&mut state, Change::RaiseLevel { level: 2 });
        let record = Box::new(schedule_record("s", 0));
        apply(&mut state, Change::CreateSchedule { record, paused: false });
        let mut seen = vec![state.clone(); 3];
        let names = ["a", "b", "c"].map(id);
        // Which runs each control node has on its disk.
        let mut created: BTreeMap<String, usize> = BTreeMap::new();
        let mut last_due = 0;
        for (who, act) in acts {
            let (_, standing) = seen[who].schedule(&schedule("s")).expect("there");
            let standing = standing.clone();
            match act {
                Act::Look => seen[who] = state.clone(),
                Act::Reach => {
                    let due_ms = standing.after_ms + 1000;
                    let of = run(&format!("s-{due_ms}"));
                    let step = Step::Begin { run: of, coordinator: names[who].clone() };
                    let if_revision: Revision = standing.modified;
                    let schedule = schedule("s");
                    let reached = Reached { schedule, if_revision, due_ms, missed: 0, step };
                    if apply(&mut state, Change::ReachSchedule(Box::new(reached))) {
                        prop_assert!(due_ms > last_due);
                        last_due = due_ms;
                    }
                }
                Act::Begin => {
                    let mine = standing.pending.filter(|firing| firing.coordinator == names[who]);
                    if let Some(firing) = mine {
                        let at = created.entry(firing.run.to_string()).or_insert(who);
                        prop_assert_eq!(*at, who, "{} was created at two nodes", firing.run);
                        let settled = Settled::Begun;
                        let (schedule, run) = (schedule("s"), firing.run);
                        apply(&mut state, Change::SettleSchedule { schedule, run, settled, now_ms: 1 });
                    }
                }
            }
            prop_assert_eq!(state.invariants(), Ok(()));
        }
        let (_, standing) = state.schedule(&schedule("s")).expect("there");
        prop_assert!(standing.begun <= created.len() as u64);
        prop_assert_eq!(last_due, standing.after_ms);
        // Every moment was begun, missed, or is still to begin.
        let pending = u64::from(standing.pending.is_some());
        prop_assert_eq!(standing.begun + standing.missed + pending, standing.after_ms / 1000);
    }
}
