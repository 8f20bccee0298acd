//! Short ways to make records in tests.

use std::collections::BTreeMap;

use proptest::prelude::*;
use remuda_model::{
    Generation, Labels, NodeId, Revision, Roles, RunId, ScheduleId, TargetListId, TokenId,
};

use crate::{
    Certificate, Change, Command, NodeRecord, Reached, ScheduleRecord, ScheduleSecrets,
    ScheduleTargets, Scope, Settled, Step, TokenRecord, When,
};

pub(crate) fn id(name: &str) -> NodeId {
    name.parse().expect("a node name")
}

pub(crate) fn ids(names: &[&str]) -> Vec<NodeId> {
    names.iter().map(|name| id(name)).collect()
}

pub(crate) fn node(name: &str, roles: Roles) -> NodeRecord {
    NodeRecord {
        id: id(name),
        roles,
        generation: Generation(1),
        version: "0.1.0".to_owned(),
        addresses: Vec::new(),
        labels: Labels::default(),
        attributes: BTreeMap::new(),
        active: false,
        created: Revision(0),
        modified: Revision(0),
    }
}

/// The node joins by its join token and gets the certificate of this number.
pub(crate) fn joins(name: &str, number: u8) -> Command {
    let certificate = Certificate { serial: vec![number], until_ms: 1_000 };
    Command::once(Change::IssueCertificate { node: id(name), certificate, joins: true, now_ms: 1 })
}

pub(crate) fn token(name: &str) -> TokenRecord {
    TokenRecord {
        id: name.parse::<TokenId>().expect("a token id"),
        name: name.to_owned(),
        scope: Scope::Admin,
        hash: [7; 32],
        created_ms: 1,
        expires_ms: None,
    }
}

pub(crate) fn list(name: &str) -> TargetListId {
    name.parse().expect("a name of a list")
}

pub(crate) fn schedule(name: &str) -> ScheduleId {
    name.parse().expect("a name of a schedule")
}

pub(crate) fn run(name: &str) -> RunId {
    name.parse().expect("an id of a run")
}

/// A schedule that was made at this time.
pub(crate) fn schedule_record(name: &str, created_ms: u64) -> ScheduleRecord {
    ScheduleRecord {
        id: schedule(name),
        when: When::Every { every_ms: 1000 },
        spec: "{}".to_owned(),
        targets: ScheduleTargets { saved: vec![list("l")], ..ScheduleTargets::default() },
        secrets: ScheduleSecrets::new(b"hush".to_vec()),
        overlap: false,
        created_ms,
        created: Revision(0),
    }
}

/// Changes of few lists and schedules at few moments, so that they meet.
pub(crate) fn plan_change() -> impl Strategy<Value = Change> {
    let name = || prop::sample::select(vec!["x", "y"]);
    let runs = || prop::sample::select(vec!["r", "s", "t"]);
    let begin = runs().prop_map(|name| Step::Begin { run: run(name), coordinator: id("a") });
    let step = prop_oneof![3 => begin, 1 => Just(Step::Skip), 1 => Just(Step::Miss)];
    let reach = (name(), 0_u64..40, 0_u64..9, 0_u64..3, step).prop_map(
        |(name, revision, due_ms, missed, step)| {
            Change::ReachSchedule(Box::new(Reached {
                schedule: schedule(name),
                if_revision: Revision(revision),
                due_ms,
                missed,
                step,
            }))
        },
    );
    let settled = prop_oneof![
        Just(Settled::Begun),
        Just(Settled::Failed("full".to_owned())),
        Just(Settled::Ended)
    ];
    let settle = (name(), runs(), settled).prop_map(|(name, of, settled)| Change::SettleSchedule {
        schedule: schedule(name),
        run: run(of),
        settled,
        now_ms: 1,
    });
    prop_oneof![
        1 => (name(), "[a-z]{0,3}").prop_map(|(name, lines)| Change::PutTargets {
            list: list(name),
            lines,
            targets: 1,
            now_ms: 1,
        }),
        1 => name().prop_map(|name| Change::RemoveTargets(list(name))),
        2 => (name(), any::<bool>()).prop_map(|(name, paused)| Change::CreateSchedule {
            record: Box::new(schedule_record(name, 1)),
            paused,
        }),
        1 => name().prop_map(|name| Change::RemoveSchedule(schedule(name))),
        1 => (name(), any::<bool>(), 0_u64..9).prop_map(|(name, paused, now_ms)| {
            Change::PauseSchedule { schedule: schedule(name), paused, now_ms }
        }),
        3 => reach,
        3 => settle,
    ]
}
