//! Values of which inputs are made.

use std::collections::BTreeMap;

use remuda_model::{
    ClusterId, Epoch, Event, EventBody, Generation, NodeId, NodeStats, NodeStatus, NodeView,
    Revision, Roles, TaskEnd, TaskId, TaskRecord, TaskState,
};
use remuda_state::{
    Certificate, Change, ClusterRecord, ClusterState, Command, NodeRecord, Scope, TokenRecord,
};
use remuda_wire::message::announce::Announce;

pub(super) fn node() -> NodeId {
    "w-1".parse().expect("a name")
}

pub(super) fn cluster() -> ClusterId {
    "00000000000000000000000001".parse().expect("an id")
}

pub(super) fn announce() -> Announce {
    Announce {
        node: node(),
        generation: Generation(3),
        boot: 7,
        roles: Roles::WORKER,
        version: "0.1.0".to_owned(),
        addresses: vec!["remuda://127.0.0.1:1973".parse().expect("a url")],
        labels: "core;group=a,b".parse().expect("labels"),
        attributes: BTreeMap::from([("os".to_owned(), "linux".to_owned())]),
        epoch: Epoch(9),
        unreachable: vec![node()],
    }
}

pub(super) fn task() -> TaskRecord {
    TaskRecord {
        id: "t-1".parse::<TaskId>().expect("a task id"),
        class: "exec".parse().expect("a class"),
        node: node(),
        generation: Generation(1),
        state: TaskState::Ended,
        end: Some(TaskEnd::Finished { result: "{}".to_owned() }),
        summary: "sleep 1".to_owned(),
        started_ms: 1,
        ended_ms: Some(2),
    }
}

pub(super) fn event() -> Event {
    let body = EventBody::TaskEnded {
        class: "exec".parse().expect("a class"),
        task: "t-1".parse().expect("a task id"),
        end: TaskEnd::Stopped,
    };
    Event { node: node(), seq: 4, generation: Generation(1), time_ms: 5, body }
}

pub(super) fn view() -> NodeView {
    NodeView {
        id: node(),
        roles: Roles::CONTROL,
        status: NodeStatus::Ready,
        version: "0.1.0".to_owned(),
        generation: Generation(1),
        addresses: Vec::new(),
        labels: "a".parse().expect("labels"),
        attributes: BTreeMap::new(),
        stats: Some(NodeStats::default()),
        owner: Some(node()),
        via: None,
        rtt_us: Some(100),
        running_tasks: 1,
    }
}

/// One change of each kind.
pub(super) fn changes() -> Vec<Change> {
    let record = NodeRecord {
        id: node(),
        roles: Roles::CONTROL,
        generation: Generation(1),
        version: "0.1.0".to_owned(),
        addresses: Vec::new(),
        labels: "a;b=c".parse().expect("labels"),
        attributes: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        active: true,
        created: Revision(0),
        modified: Revision(0),
    };
    let token = TokenRecord {
        id: "tok1".parse().expect("a token id"),
        name: "ci".to_owned(),
        scope: Scope::Operate,
        hash: [7; 32],
        created_ms: 1,
        expires_ms: Some(2),
    };
    let certificate = Certificate { serial: vec![1, 2, 3], until_ms: 1000 };
    vec![
        Change::Init(ClusterRecord { id: cluster(), name: "c".to_owned(), created_ms: 1 }),
        Change::IssueCertificate { node: node(), certificate, joins: true, now_ms: 1 },
        Change::PutNode(record),
        Change::SetLabels {
            node: node(),
            labels: "x".parse().expect("labels"),
            if_revision: Some(Revision(3)),
        },
        Change::SetActive { node: node(), active: false },
        Change::CreateToken(token.clone()),
        Change::RevokeToken(token.id),
        Change::Revoke { node: node(), serial: vec![9] },
        Change::RemoveNode { node: node(), now_ms: 5 },
        Change::Unknown { number: 0x8001, fields: vec![1, 2] },
    ]
}

/// A state in which something has happened.
pub(super) fn state() -> ClusterState {
    let mut state = ClusterState::new();
    let commands = changes().into_iter().take(6).map(Command::once);
    commands.zip(1..).for_each(|(command, index)| drop(state.apply(index, &command)));
    state
}
