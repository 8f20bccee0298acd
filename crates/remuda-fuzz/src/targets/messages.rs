//! The messages of all protocols of a link, and of the holder's socket.

use bytes::Bytes;
use remuda_model::{Epoch, ErrorKind, Event, Failure, NodeStatus};
use remuda_wire::message::{
    announce::{Announce, Answer, Placement},
    client, control, file, join, output,
    session::{FromOwner, FromWorker},
    trust, work,
};
use serde::{Serialize, de::DeserializeOwned};

use super::samples;

/// What can be read can be written, and is then the same.
fn read<T: Serialize + DeserializeOwned>(input: &[u8]) {
    if let Ok(message) = remuda_wire::decode::<T>(input) {
        let written = remuda_wire::encode(&message);
        let again = remuda_wire::decode::<T>(&written).expect("our own bytes are readable");
        assert_eq!(remuda_wire::encode(&again), written);
    }
}

macro_rules! messages {
    ($($message:ty,)*) => {
        const READERS: &[fn(&[u8])] = &[$(read::<$message>,)*];
    };
}

messages! {
    Announce,
    Answer,
    FromWorker,
    FromOwner,
    work::Call,
    work::Reply,
    output::Follow,
    output::Chunk,
    control::Call,
    control::Reply,
    control::Relay,
    control::RelayUp,
    control::Subscribe,
    Event,
    client::Call,
    client::Reply,
    join::Request,
    join::Answer,
    trust::Call,
    trust::Reply,
    file::Call,
    file::Said,
    file::Head,
}

/// The first byte chooses the message.
pub(super) fn all(input: &[u8]) {
    if let Some((choice, rest)) = input.split_first() {
        READERS[usize::from(*choice) % READERS.len()](rest);
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let failure = || Failure::new(ErrorKind::Conflict, "no").hint("try again");
    let class = || "exec".parse().expect("a class");
    let task = || samples::task().id;
    let op = || work::Op::Start { class: class(), task: task(), spec: vec![1; 9], attached: true };
    let call = work::Call { epoch: Epoch(3), deadline_ms: 9, op: op() };
    let done = || work::Done::Tasks(vec![samples::task(), samples::task()]);
    let hello = FromWorker::Hello {
        announce: Box::new(samples::announce()),
        epoch: Epoch(1),
        status: NodeStatus::Ready,
        running_tasks: 1,
        next_event: 2,
        last_event: 3,
    };
    let url: remuda_model::LinkUrl = "remuda://h:1;transport=ws".parse().expect("a url");
    let moved =
        FromOwner::Moved { epoch: Epoch(2), owner: samples::node(), addresses: vec![url.clone()] };
    let chunk = output::Chunk::Data { source: output::Source::Stderr, bytes: vec![3; 40], next: 7 };
    let enlist = control::Enlist { node: samples::node(), addresses: vec![url.clone()] };
    let credentials = join::Credentials {
        certificate: vec![1; 20],
        ca: vec![2; 20],
        controls: vec![(samples::node(), vec![url])],
        authority: None,
    };
    let redirect: Answer =
        Ok(Placement::Redirect { epoch: Epoch(1), owner: samples::node(), addresses: Vec::new() });
    let trusted = trust::Call { trusted: vec![vec![3; 9]; 2], issuer: [4; 32], renew: false };
    let to = file::Target::Path {
        path: "/srv/".to_owned(),
        name: "file".to_owned(),
        mode: 0o644,
        overwrite: true,
    };
    let digest = "0f".repeat(32).parse().expect("a digest");
    let put = file::Call::Put(file::Put { epoch: Epoch(1), digest, size: 9, to });
    let bytes: Vec<(u8, Bytes)> = vec![
        (0, remuda_wire::encode(&samples::announce())),
        (1, remuda_wire::encode(&redirect)),
        (2, remuda_wire::encode(&hello)),
        (2, remuda_wire::encode(&FromWorker::Events(vec![samples::event(); 3]))),
        (3, remuda_wire::encode(&moved)),
        (4, remuda_wire::encode(&call)),
        (5, remuda_wire::encode::<work::Reply>(&Ok(done()))),
        (5, remuda_wire::encode::<work::Reply>(&Err(failure()))),
        (7, remuda_wire::encode(&chunk)),
        (8, remuda_wire::encode(&control::Call::Enlist(Box::new(enlist)))),
        (8, remuda_wire::encode(&control::Call::Propose(vec![1; 30]))),
        (
            9,
            remuda_wire::encode::<control::Reply>(&Ok(control::Done::Nodes(vec![samples::view()]))),
        ),
        (12, remuda_wire::encode(&control::Subscribe::default())),
        (13, remuda_wire::encode(&samples::event())),
        (14, remuda_wire::encode(&client::Call::Nodes)),
        (16, remuda_wire::encode(&join::Request { csr: vec![1; 50] })),
        (17, remuda_wire::encode::<join::Answer>(&Ok(credentials))),
        (18, remuda_wire::encode(&trusted)),
        (20, remuda_wire::encode(&put)),
        (21, remuda_wire::encode(&file::Said::Failed(failure()))),
    ];
    bytes.into_iter().map(|(choice, bytes)| [&[choice], &bytes[..]].concat()).collect()
}

/// Frames on the socket between an agent and its holder.
pub(super) fn holder(input: &[u8]) {
    remuda_driver_exec::read_frames(input);
}

pub(super) fn holder_seeds() -> Vec<Vec<u8>> {
    let framed = |bodies: &[&[u8]]| {
        let frame = |body: &&[u8]| {
            let length = u32::try_from(body.len()).expect("short").to_be_bytes();
            [&length, *body].concat()
        };
        bodies.iter().flat_map(frame).collect::<Vec<_>>()
    };
    vec![
        framed(&[&[0, 1], b"\x01\x07\x01\x03t-1\x1e", b"\x01\x08\x02\x03t-1\x90\x4e"]),
        framed(&[&[0, 1], b"\x01\x09\x03\x03t-1\x05hello", b"\x01\x0a\x05"]),
        framed(&[&[0, 1], b"\x01\x03t-1\x64", &[2], b"\x03\x07\x00", b"\x04\x03t-1\x65"]),
        vec![0xff, 0xff, 0xff, 0xff, 0],
    ]
}
