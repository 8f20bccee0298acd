//! Keeps the conversation with the holder going, whoever of the two restarts.

use std::{collections::BTreeMap, time::Duration};

use remuda_model::{ErrorKind, Failure, TaskId};
use remuda_plugin::output::OutputState;
use remuda_runtime::Backoff;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{sleep, timeout},
};

use super::{
    Answer, Ask, Progress, busy,
    connect::{Connection, Place},
    outcome,
};
use crate::{
    protocol::{self, FromAgent, FromHolder, Op},
    record::Exit,
};

/// How long the actor waits for the answer to its farewell.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

/// Whose call is answered.
#[derive(Debug)]
enum Pending {
    Spawn(TaskId, Answer<Progress>),
    Call(Answer<()>),
}

/// Owns the connection, and what is known about tasks.
#[derive(Debug)]
pub(super) struct Actor {
    place: Place,
    asks: mpsc::Receiver<Ask>,
    /// Those whose progress somebody wants to know, as long as they run.
    watched: BTreeMap<TaskId, watch::Sender<OutputState>>,
    pending: BTreeMap<u32, Pending>,
    /// Those that run though nobody has waited for their start to the end, each with whether the
    /// holder was asked to stop it.
    abandoned: BTreeMap<TaskId, bool>,
    calls: u32,
    /// Whether another agent has taken over.
    replaced: bool,
}

enum Happened {
    Asked(Option<Ask>),
    Said(Option<FromHolder>),
}

impl Actor {
    pub(super) fn new(place: Place, asks: mpsc::Receiver<Ask>) -> Self {
        Self {
            place,
            asks,
            watched: BTreeMap::new(),
            pending: BTreeMap::new(),
            abandoned: BTreeMap::new(),
            calls: 0,
            replaced: false,
        }
    }

    /// Runs until all handles are gone.
    pub(super) async fn run(mut self) {
        let mut connection: Option<Connection> = None;
        let seed = u64::from(std::process::id());
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5), seed);
        loop {
            if let Some(open) = &mut connection {
                let happened = tokio::select! {
                    ask = self.asks.recv() => Happened::Asked(ask),
                    message = open.incoming.recv() => Happened::Said(message),
                };
                match happened {
                    Happened::Asked(Some(ask)) => self.ask(open, ask),
                    Happened::Asked(None) => return farewell(self.calls, open).await,
                    Happened::Said(Some(message)) => self.said(open, message),
                    Happened::Said(None) => {
                        self.lost();
                        connection = None;
                    }
                }
            } else if self.watched.is_empty() && self.abandoned.is_empty() {
                let Some(ask) = self.asks.recv().await else { return };
                connection = self.first(ask).await;
            } else {
                match self.place.attach(false).await {
                    Ok(open) => {
                        backoff.reset();
                        self.settle(open.as_ref()).await;
                        connection = open;
                    }
                    Err(failure) => {
                        tracing::warn!(%failure, "the holder hangs");
                        let pause = backoff.next_delay();
                        tokio::select! {
                            () = sleep(pause) => {}
                            ask = self.asks.recv() => match ask {
                                Some(ask) => refuse(ask, &failure),
                                None => return,
                            },
                        }
                    }
                }
            }
        }
    }

    /// Serves somebody who comes while there is no connection.
    async fn first(&mut self, ask: Ask) -> Option<Connection> {
        if self.replaced {
            refuse(ask, &taken_over());
            return None;
        }
        match self.place.attach(matches!(ask, Ask::Spawn(..))).await {
            Ok(Some(mut connection)) => {
                self.ask(&mut connection, ask);
                Some(connection)
            }
            Ok(None) => {
                match ask {
                    Ask::Adopt(_, answer) => drop(answer.send(Ok(None))),
                    Ask::Running(answer) => drop(answer.send(Ok(Vec::new()))),
                    Ask::Spawn(..) | Ask::Call(..) => refuse(ask, &not_running()),
                }
                None
            }
            Err(failure) => {
                refuse(ask, &failure);
                None
            }
        }
    }

    fn ask(&mut self, connection: &mut Connection, ask: Ask) {
        match ask {
            Ask::Running(answer) => {
                drop(answer.send(Ok(connection.running.keys().cloned().collect())));
            }
            Ask::Adopt(task, answer) => {
                drop(answer.send(Ok(self.watch(connection, &task))));
            }
            Ask::Call(op, answer) => self.call(connection, op, Pending::Call(answer)),
            Ask::Spawn(spawn, answer) => {
                let task = spawn.task.clone();
                if connection.running.contains_key(&task) || self.watched.contains_key(&task) {
                    let message = format!("task `{task}` runs already");
                    drop(answer.send(Err(Failure::new(ErrorKind::Exists, message))));
                    return;
                }
                connection.running.insert(task.clone(), 0);
                self.watched.insert(task.clone(), watch::Sender::default());
                let before = self.pending.len();
                self.call(connection, Op::Spawn(spawn), Pending::Spawn(task.clone(), answer));
                if self.pending.len() == before {
                    self.forget(connection, &task);
                }
            }
        }
    }

    fn watch(&mut self, connection: &Connection, task: &TaskId) -> Option<Progress> {
        if let Some(sender) = self.watched.get(task) {
            return Some(sender.subscribe());
        }
        let len = *connection.running.get(task)?;
        let (sender, progress) = watch::channel(OutputState { len, end: None });
        self.watched.insert(task.clone(), sender);
        Some(progress)
    }

    fn forget(&mut self, connection: &mut Connection, task: &TaskId) {
        connection.running.remove(task);
        self.watched.remove(task);
    }

    /// Sends a call, or answers it at once.
    fn call(&mut self, connection: &Connection, op: Op, pending: Pending) {
        self.calls = self.calls.wrapping_add(1);
        let id = self.calls;
        let mut frame = Vec::new();
        let failure = match protocol::put(&mut frame, &FromAgent::Call { id, op }) {
            Err(_) => Failure::invalid("argv, env and stdin are too long together")
                .hint("hand over at most 1 MiB; bring more with stdin commands or by a file"),
            Ok(()) if connection.outgoing.try_send(frame).is_err() => busy(),
            Ok(()) => {
                self.pending.insert(id, pending);
                return;
            }
        };
        match pending {
            Pending::Spawn(_, answer) => drop(answer.send(Err(failure))),
            Pending::Call(answer) => drop(answer.send(Err(failure))),
        }
    }

    fn said(&mut self, connection: &mut Connection, message: FromHolder) {
        match message {
            FromHolder::Reply { id, result } => match self.pending.remove(&id) {
                Some(Pending::Call(answer)) => drop(answer.send(result)),
                Some(Pending::Spawn(task, answer)) => {
                    let progress = result.and_then(|()| {
                        let sender = self.watched.get(&task);
                        sender.map(watch::Sender::subscribe).ok_or_else(not_running)
                    });
                    if progress.is_err() {
                        self.forget(connection, &task);
                    }
                    if let Err(Ok(_nobody_waits)) = answer.send(progress) {
                        self.abandon(task);
                    }
                }
                None => {}
            },
            FromHolder::Output { task, len } => {
                if let Some(known) = connection.running.get_mut(&task) {
                    *known = len.max(*known);
                }
                if let Some(sender) = self.watched.get(&task) {
                    sender.send_if_modified(|state| {
                        let grown = len > state.len;
                        state.len = len.max(state.len);
                        grown
                    });
                }
            }
            FromHolder::Exited { task, exit } => {
                connection.running.remove(&task);
                if self.abandoned.remove(&task).is_some() {
                    let removal = super::remove(self.place.dir.clone(), task.clone());
                    self.place.supervisor.spawn("remove task", removal);
                }
                self.ended(&task, exit);
            }
            FromHolder::Replaced => {
                tracing::warn!("another agent has taken over the holder");
                self.replaced = true;
                self.watched.clear();
                self.abandoned.clear();
            }
            FromHolder::Welcome { .. } | FromHolder::Runs { .. } | FromHolder::Ready => {}
        }
        self.stop_abandoned(connection);
    }

    /// Somebody wanted a task to start and has given up: to everybody else it has not started.
    fn abandon(&mut self, task: TaskId) {
        tracing::warn!(%task, "a task whose start took too long is ended");
        self.watched.remove(&task);
        self.abandoned.insert(task, false);
    }

    fn stop_abandoned(&mut self, connection: &Connection) {
        let unasked = self.abandoned.iter().filter(|(_, asked)| !**asked);
        let unasked: Vec<_> = unasked.map(|(task, _)| task.clone()).collect();
        for task in unasked {
            // That it has ended is what counts.
            let (answer, _nobody_waits) = oneshot::channel();
            let before = self.pending.len();
            let stop = Op::Stop { task: task.clone(), grace_ms: 0 };
            self.call(connection, stop, Pending::Call(answer));
            if self.pending.len() > before {
                self.abandoned.insert(task, true);
            }
        }
    }

    fn ended(&mut self, task: &TaskId, exit: Exit) {
        if let Some(sender) = self.watched.remove(task) {
            sender.send_replace(OutputState { len: exit.output_len, end: Some(exit.into()) });
        }
    }

    /// The connection has ended: nobody will answer.
    fn lost(&mut self) {
        let unknown = if self.replaced { taken_over } else { not_running };
        for pending in std::mem::take(&mut self.pending).into_values() {
            match pending {
                // Whether it was started will show when the tasks are settled.
                Pending::Spawn(task, answer) if answer.is_closed() => self.abandon(task),
                Pending::Spawn(task, answer) => {
                    let progress = self.watched.get(&task).map(watch::Sender::subscribe);
                    drop(answer.send(progress.ok_or_else(unknown)));
                }
                Pending::Call(answer) => {
                    let message = "the holder of the tasks died before it answered";
                    drop(answer.send(Err(Failure::new(ErrorKind::OutcomeUnknown, message))));
                }
            }
        }
    }

    /// Finds out what has become of the watched tasks while there was no connection.
    async fn settle(&mut self, connection: Option<&Connection>) {
        for (task, sender) in std::mem::take(&mut self.watched) {
            let running = connection.and_then(|connection| connection.running.get(&task));
            if let Some(&len) = running {
                sender.send_modify(|state| state.len = len.max(state.len));
                self.watched.insert(task, sender);
            } else {
                sender.send_replace(outcome(self.place.dir.clone(), task).await);
            }
        }
        for (task, _) in std::mem::take(&mut self.abandoned) {
            if connection.is_some_and(|connection| connection.running.contains_key(&task)) {
                self.abandoned.insert(task, false);
            } else {
                drop(outcome(self.place.dir.clone(), task.clone()).await);
                super::remove(self.place.dir.clone(), task).await;
            }
        }
        if let Some(connection) = connection {
            self.stop_abandoned(connection);
        }
    }
}

fn not_running() -> Failure {
    Failure::new(ErrorKind::Conflict, "the process has ended").code("task_ended")
}

fn taken_over() -> Failure {
    let message = "another agent has taken over the tasks of this node";
    Failure::new(ErrorKind::Unavailable, message)
}

fn refuse(ask: Ask, failure: &Failure) {
    let failure = failure.clone();
    match ask {
        Ask::Spawn(_, answer) => drop(answer.send(Err(failure))),
        Ask::Adopt(_, answer) => drop(answer.send(Err(failure))),
        Ask::Running(answer) => drop(answer.send(Err(failure))),
        Ask::Call(_, answer) => drop(answer.send(Err(failure))),
    }
}

/// Tells the holder that it may end when no task runs.
async fn farewell(calls: u32, connection: &mut Connection) {
    let mut frame = Vec::new();
    let id = calls.wrapping_add(1);
    let put = protocol::put(&mut frame, &FromAgent::Call { id, op: Op::Leave });
    if put.is_err() || connection.outgoing.try_send(frame).is_err() {
        return;
    }
    let answered = async {
        while let Some(message) = connection.incoming.recv().await {
            if matches!(message, FromHolder::Reply { id: answered, .. } if answered == id) {
                break;
            }
        }
    };
    drop(timeout(FAREWELL_LIMIT, answered).await);
}

#[cfg(test)]
mod tests;
