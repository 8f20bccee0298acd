//! Connections of agents: who may speak, and in which order answers leave.

use std::{collections::BTreeMap, io};

use remuda_model::TaskId;
use rustix::process::geteuid;
use tokio::{
    io::AsyncWriteExt,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Event, growth::Growth};
use crate::protocol::{self, FromAgent, FromHolder, GREETING_LIMIT, PROTOCOL};

/// How many messages may wait for an agent. One that lets more pile up is disconnected; when it
/// comes back, it learns the state of all tasks anew.
const QUEUE: usize = 4096;

/// Counts connections.
pub(super) type ConnectionId = u64;

/// Serves connections.
#[derive(Debug, Default)]
pub(super) struct Connections {
    last: ConnectionId,
}

impl Connections {
    /// Serves one more, if its user may speak here.
    pub(super) fn serve(
        &mut self,
        stream: UnixStream,
        growth: Growth,
        events: mpsc::Sender<Event>,
    ) {
        self.last += 1;
        let id = self.last;
        let own = geteuid().as_raw();
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == own || peer.uid() == 0 => {
                tokio::spawn(converse(id, stream, growth, events));
            }
            Ok(peer) => tracing::warn!(uid = peer.uid(), "another user was refused"),
            Err(error) => tracing::warn!(%error, "a connection without a known user was refused"),
        }
    }
}

/// The agent that is connected now: the way to speak to it.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) id: ConnectionId,
    queue: mpsc::Sender<Vec<FromHolder>>,
    /// Dropped with the agent, which ends its connection.
    connection: tokio_util::sync::DropGuard,
}

/// Answers one call, now or later.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    queue: mpsc::Sender<Vec<FromHolder>>,
    call: u32,
}

impl Answer {
    /// Sends the answer; an agent that has gone or does not listen gets none.
    pub(super) fn send(self, result: Result<(), remuda_model::Failure>) {
        drop(self.queue.try_send(vec![FromHolder::Reply { id: self.call, result }]));
    }
}

impl Agent {
    /// Says some things, in this order. Tells whether there was room.
    pub(super) fn say(&self, messages: Vec<FromHolder>) -> bool {
        self.queue.try_send(messages).is_ok()
    }

    /// The way to answer a call.
    pub(super) fn answer(&self, call: u32) -> Answer {
        Answer { queue: self.queue.clone(), call }
    }

    /// Ends the connection after all that was said.
    pub(super) fn replace(self) {
        // When there is no room, dropping the agent ends the connection at once.
        if self.queue.try_send(vec![FromHolder::Replaced]).is_ok() {
            drop(self.connection.disarm());
        }
    }
}

async fn converse(
    id: ConnectionId,
    stream: UnixStream,
    growth: Growth,
    events: mpsc::Sender<Event>,
) {
    let (mut reader, writer) = stream.into_split();
    let hello = timeout(GREETING_LIMIT, protocol::read(&mut reader)).await;
    let Ok(Ok(Some(FromAgent::Hello { protocol }))) = hello else { return };
    let (queue, messages) = mpsc::channel(QUEUE);
    let welcome = FromHolder::Welcome { protocol: protocol.min(PROTOCOL) };
    drop(queue.try_send(vec![welcome]));
    let ended = CancellationToken::new();
    let agent = Agent { id, queue, connection: ended.clone().drop_guard() };
    if events.send(Event::Hello(agent)).await.is_err() {
        return;
    }
    tokio::select! {
        () = ended.cancelled() => {}
        () = listen(id, reader, &events) => {}
        _ = speak(writer, messages, growth) => {}
    }
    drop(events.send(Event::Gone(id)).await);
}

async fn listen(id: ConnectionId, mut reader: OwnedReadHalf, events: &mpsc::Sender<Event>) {
    loop {
        match protocol::read(&mut reader).await {
            Ok(Some(message)) => {
                if events.send(Event::Said(id, message)).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the agent says what cannot be understood");
                return;
            }
        }
    }
}

async fn speak(
    mut writer: OwnedWriteHalf,
    mut messages: mpsc::Receiver<Vec<FromHolder>>,
    growth: Growth,
) -> io::Result<()> {
    loop {
        let batch = tokio::select! {
            biased;
            batch = messages.recv() => match batch {
                Some(batch) => batch,
                None => return Ok(()),
            },
            lengths = growth.take() => grown(lengths),
        };
        let last = matches!(batch.last(), Some(FromHolder::Replaced));
        let mut frames = Vec::new();
        for message in &batch {
            protocol::put(&mut frames, message).map_err(io::Error::other)?;
        }
        writer.write_all(&frames).await?;
        if last {
            return writer.shutdown().await;
        }
    }
}

fn grown(lengths: BTreeMap<TaskId, u64>) -> Vec<FromHolder> {
    lengths.into_iter().map(|(task, len)| FromHolder::Output { task, len }).collect()
}
