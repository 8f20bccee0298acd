//! Performs what the core of the tasks decides.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use remuda_model::{ClassName, EventBody, Failure, NodeStatus, TaskEnd, TaskId, TaskRecord};
use remuda_plugin::{Class, ClassTable, EventSink, RawInput, RawTask, Running};
use remuda_runtime::{CancellationToken, Supervisor, wall_ms};
use remuda_wire::encode;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Found, Output, Setup, Stored,
    core::{About, Answer, CallId, Core, Effect, Input, Now},
    live::{self, Live, Way},
};
use crate::{
    caught::caught,
    spool::{Spool, Written},
    status::{Connection, Wanted},
    store::{Change, Pending, StoreError, Table},
    told,
};

/// How long works have to come to an end by themselves when the agent shuts down.
const LEAVE_LIMIT: Duration = Duration::from_secs(3);
/// How long a class may take to forget a task, or to tidy up before recovery.
const TIDY_LIMIT: Duration = Duration::from_secs(30);

/// Where the wish for a status is kept.
pub(crate) const WANTED_KEY: &str = "wanted";

pub(super) type ReplyTo = oneshot::Sender<Result<Answer, Failure>>;

/// What the actor is told.
pub(super) enum Message {
    Start { class: Arc<dyn Class>, id: TaskId, spec: Vec<u8>, attached: bool, reply: ReplyTo },
    Stop { id: TaskId, grace: Duration, reply: ReplyTo },
    Forget { id: TaskId, reply: ReplyTo },
    Want { wanted: Wanted, reply: ReplyTo },
    Find { id: TaskId, follow: bool, reply: oneshot::Sender<Option<Box<Found>>> },
    List { reply: oneshot::Sender<Vec<TaskRecord>> },
    Unfollow { id: TaskId, to_end: bool },
    Connection(Connection, oneshot::Sender<()>),
    Drain,
    Begun { id: TaskId, outcome: Result<Running, Failure> },
    Inner(Input),
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

/// The other end of the handle.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(super) messages: mpsc::Sender<Message>,
    pub(super) receiver: mpsc::Receiver<Message>,
    pub(super) status: watch::Sender<NodeStatus>,
    pub(super) running: watch::Sender<u32>,
}

/// Owns the tasks.
pub(crate) struct Actor {
    core: Core,
    started: Instant,
    setup: Setup,
    classes: ClassTable,
    spool: Spool,
    supervisor: Supervisor,
    inbox: Inbox,
    live: BTreeMap<TaskId, Live>,
    /// Works that run.
    works: usize,
    /// Marks that go away with the next record.
    struck: Vec<Change>,
    replies: BTreeMap<CallId, ReplyTo>,
    next_call: CallId,
}

impl Actor {
    /// Takes up the tasks of the last boot.
    pub(crate) async fn start(
        setup: Setup,
        inbox: Inbox,
        classes: ClassTable,
        spool: Spool,
        supervisor: Supervisor,
        last_boot: (Wanted, Vec<Stored>),
    ) -> Self {
        recovering(&classes, &last_boot.1).await;
        let started = Instant::now();
        let now = Now { since_start: Duration::ZERO, wall_ms: wall_ms() };
        let (wanted, stored) = last_boot;
        let (core, effects) = Core::new(setup.node.clone(), setup.generation, wanted, stored, now);
        let mut actor = Self {
            core,
            started,
            setup,
            classes,
            spool,
            supervisor,
            inbox,
            live: BTreeMap::new(),
            works: 0,
            struck: Vec::new(),
            replies: BTreeMap::new(),
            next_call: 0,
        };
        actor.perform(effects).await;
        actor
    }

    /// Runs until `stop` is cancelled; then lets go of the tasks. What can be recovered keeps its
    /// record as it is.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let wake = self.started + self.core.next_deadline();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(wake.into()) => self.step(Input::Tick).await,
                written = self.spool.written() => {
                    for event in written {
                        self.struck.push(told::strike(&event));
                        let input = match event {
                            Written::Start(id) => Input::StartReported { id },
                            Written::End(id) => Input::Reported { id },
                        };
                        self.step(input).await;
                    }
                    // Those of tasks that need no record of it.
                    let struck = std::mem::take(&mut self.struck);
                    if !struck.is_empty() {
                        drop(self.setup.store.submit(struck).await);
                    }
                }
                Some(message) = self.inbox.receiver.recv() => self.receive(message).await,
            }
        }
        self.leave().await;
    }

    async fn leave(&mut self) {
        for live in self.live.values_mut() {
            live.inbox = None;
        }
        let left = async {
            while self.works > 0 {
                let Some(message) = self.inbox.receiver.recv().await else { return };
                if let Message::Inner(Input::WorkEnded { id, end }) = message {
                    self.works -= 1;
                    // Any other end comes from the shutdown; the next boot finds out.
                    if matches!(end, TaskEnd::Finished { .. } | TaskEnd::Exited { .. }) {
                        self.step(Input::WorkEnded { id, end }).await;
                    }
                }
            }
        };
        // What has not ended is dropped.
        drop(tokio::time::timeout(LEAVE_LIMIT, left).await);
        for live in self.live.values() {
            live.kill.cancel();
        }
    }

    async fn receive(&mut self, message: Message) {
        let input = match message {
            Message::Start { class, id, spec, attached, reply } => {
                let call = self.call(reply);
                let start = Input::Start { call, id: id.clone(), class: class.name(), attached };
                if self.core.is_free(&id) {
                    self.live.insert(id.clone(), Live::new(Some((class, spec))));
                }
                self.step(start).await;
                if self.core.is_free(&id) {
                    // It was refused.
                    self.live.remove(&id);
                }
                return;
            }
            Message::Stop { id, grace, reply } => Input::Stop { call: self.call(reply), id, grace },
            Message::Forget { id, reply } => Input::Forget { call: self.call(reply), id },
            Message::Want { wanted, reply } => {
                let call = self.call(reply);
                let change = Change::meta(WANTED_KEY, encode(&wanted).to_vec());
                let written = self.setup.store.submit(vec![change]).await;
                self.later(async move {
                    let outcome = written.done().await.map_err(StoreError::into_failure);
                    Input::Wish { call, wanted, outcome }
                });
                return;
            }
            Message::Find { id, follow, reply } => {
                let found = self.find(&id);
                let follow = follow && found.is_some();
                // A caller that has gone meanwhile will not unfollow.
                if reply.send(found.map(Box::new)).is_err() || !follow {
                    return;
                }
                Input::Follow { id }
            }
            Message::List { reply } => {
                drop(reply.send(self.core.tasks().cloned().collect()));
                return;
            }
            Message::Unfollow { id, to_end } => Input::Unfollow { id, to_end },
            Message::Connection(connection, done) => {
                self.step(Input::Connection(connection)).await;
                // Whoever said it may not wait.
                let _ = done.send(());
                return;
            }
            Message::Drain => Input::Drain,
            Message::Begun { id, outcome } => {
                let outcome = outcome.map(|running| self.begun(&id, running));
                Input::Started { id, outcome }
            }
            Message::Inner(input) => {
                self.works -= usize::from(matches!(input, Input::WorkEnded { .. }));
                input
            }
        };
        self.step(input).await;
    }

    fn call(&mut self, reply: ReplyTo) -> CallId {
        let call = self.next_call;
        self.next_call += 1;
        self.replies.insert(call, reply);
        call
    }

    fn find(&self, id: &TaskId) -> Option<Found> {
        let record = self.core.task(id)?.clone();
        let live = self.live.get(id);
        let output = match (live.and_then(|live| live.output.clone()), self.core.output_dir(id)) {
            (Some(log), _) => Some(Output::Log(log)),
            (None, Some(dir)) => {
                record.end.clone().map(|end| Output::LeftBehind { dir: dir.to_owned(), end })
            }
            (None, None) => None,
        };
        let ended = live.map_or_else(|| watch::channel(None).1, |live| live.ended.subscribe());
        let ended = match &record.end {
            Some(end) => watch::channel(Some(end.clone())).1,
            None => ended,
        };
        let inbox = live.and_then(|live| live.inbox.clone());
        Some(Found { record, inbox, output, ended })
    }

    fn begun(&mut self, id: &TaskId, running: Running) -> About {
        let about = About {
            summary: running.summary,
            output: running.output.as_ref().map(|output| output.dir.clone()),
        };
        if let Some(live) = self.live.get_mut(id) {
            live.output = running.output;
            live.work = Some(running.work);
        }
        about
    }

    async fn step(&mut self, input: Input) {
        let now = Now { since_start: self.started.elapsed(), wall_ms: wall_ms() };
        let effects = self.core.handle(now, input);
        self.perform(effects).await;
    }

    async fn perform(&mut self, effects: Vec<Effect>) {
        let mut written = None;
        for effect in effects {
            match effect {
                Effect::Record { id, stored, answer: true } => {
                    // Those of an earlier task of this name say nothing about this one.
                    self.struck.extend(told::strike_all(&id));
                    let recorded = self.record(&id, &stored).await;
                    self.later(async move {
                        let outcome = recorded.done().await.map_err(StoreError::into_failure);
                        Input::Recorded { id, outcome }
                    });
                }
                Effect::Record { id, stored, answer: false } => {
                    written = Some(self.record(&id, &stored).await);
                }
                Effect::Erase { id } => {
                    let key = id.as_str().as_bytes().to_vec();
                    let erased = Change::Delete { table: Table::Tasks, key };
                    // A record that stays is taken for an ended or lost task by the next boot.
                    written = Some(self.setup.store.submit(vec![erased]).await);
                }
                Effect::StartClass { id } => {
                    let spec = self.live.get_mut(&id).and_then(|live| live.spec.take());
                    if let Some((class, spec)) = spec {
                        self.begin(id, class, Way::Start(spec));
                    }
                }
                Effect::RecoverClass { id, class } => self.recover(id, &class),
                Effect::Run { id } => self.run_work(id),
                Effect::AskToStop { id, grace } => self.input(&id, RawInput::Stop(grace)),
                Effect::Kill { id } => {
                    if let Some(live) = self.live.get(&id) {
                        live.kill.cancel();
                    }
                }
                Effect::Ended { id, end } => {
                    if let Some(live) = self.live.get_mut(&id) {
                        live.inbox = None;
                        live.ended.send_replace(Some(end));
                    }
                }
                Effect::ForgetClass { id, class } => self.forget(id, &class),
                Effect::Drop { id } => drop(self.live.remove(&id)),
                Effect::Report(body) => self.spool.emit(body).await,
                Effect::Reply { call, outcome } => {
                    if let Some(reply) = self.replies.remove(&call) {
                        // The caller may have stopped waiting.
                        drop(reply.send(outcome));
                    }
                }
                Effect::Accept { call } => {
                    let written = match written.take() {
                        Some(written) => written,
                        // Something like it was accepted before, and is written down before this.
                        None => self.setup.store.submit(Vec::new()).await,
                    };
                    self.accept(call, written);
                }
                Effect::ShowStatus(status) => self.show(status).await,
                Effect::ShowRunning(running) => drop(self.inbox.running.send_replace(running)),
            }
        }
    }

    async fn record(&mut self, id: &TaskId, stored: &Stored) -> Pending {
        let key = id.as_str().as_bytes().to_vec();
        let put = Change::Put { table: Table::Tasks, key, value: encode(stored).to_vec() };
        let mut changes = std::mem::take(&mut self.struck);
        changes.push(put);
        self.setup.store.submit(changes).await
    }

    fn accept(&mut self, call: CallId, written: Pending) {
        let Some(reply) = self.replies.remove(&call) else { return };
        self.supervisor.spawn("task answer", async move {
            let outcome = written.done().await.map_err(StoreError::into_failure);
            // The caller may have stopped waiting.
            drop(reply.send(outcome.map(|()| Answer::Accepted)));
        });
    }

    fn begin(&mut self, id: TaskId, class: Arc<dyn Class>, way: Way) {
        let (inbox, receiver) = mpsc::channel(live::INBOX);
        if let Some(live) = self.live.get_mut(&id) {
            live.inbox = Some(inbox);
        }
        let name = class.name();
        let task = RawTask {
            id: id.clone(),
            class: name.clone(),
            node: self.setup.node.clone(),
            inbox: receiver,
            events: EventSink::new(name, self.setup.events.clone()),
        };
        let (messages, stop) = (self.inbox.messages.clone(), self.supervisor.token());
        self.supervisor.spawn("task start", async move {
            let outcome = tokio::select! {
                outcome = live::begin(class.as_ref(), task, way) => outcome,
                // The next boot finds its record.
                () = stop.cancelled() => return,
            };
            // The actor ends only when the agent does.
            drop(messages.send(Message::Begun { id, outcome }).await);
        });
    }

    fn recover(&mut self, id: TaskId, class: &ClassName) {
        match self.classes.get(class) {
            Ok(class) => {
                self.live.insert(id.clone(), Live::new(None));
                self.begin(id, class, Way::Recover);
            }
            Err(failure) => {
                self.later(async move { Input::Started { id, outcome: Err(failure) } });
            }
        }
    }

    fn run_work(&mut self, id: TaskId) {
        let Some(live) = self.live.get_mut(&id) else { return };
        let Some(work) = live.work.take() else { return };
        let kill = live.kill.clone();
        self.works += 1;
        self.later(async move { Input::WorkEnded { id, end: live::run(work, kill).await } });
    }

    fn input(&self, id: &TaskId, input: RawInput) {
        let inbox = self.live.get(id).and_then(|live| live.inbox.as_ref());
        let Some(inbox) = inbox else { return };
        if let Err(mpsc::error::TrySendError::Full(input)) = inbox.try_send(input) {
            // Many commands wait; nothing else may wait for them.
            let inbox = inbox.clone();
            let stop = self.supervisor.token();
            self.supervisor.spawn("task input", async move {
                tokio::select! {
                    // The task may have ended.
                    sent = inbox.send(input) => drop(sent),
                    () = stop.cancelled() => (),
                }
            });
        }
    }

    fn forget(&self, id: TaskId, class: &ClassName) {
        let Ok(class) = self.classes.get(class) else { return };
        self.supervisor.spawn("task forget", async move {
            let forgotten = tokio::time::timeout(TIDY_LIMIT, class.forget(&id)).await;
            if forgotten.is_err() {
                tracing::warn!(task = %id, "the class takes too long to forget a task");
            }
        });
    }

    async fn show(&mut self, status: NodeStatus) {
        self.inbox.status.send_replace(status);
        self.spool.emit(EventBody::NodeStatus { status }).await;
        for (id, live) in &self.live {
            if live.inbox.is_some() {
                self.input(id, RawInput::Status(status));
            }
        }
    }

    /// Runs something whose end is an input.
    fn later(&self, work: impl Future<Output = Input> + Send + 'static) {
        let messages = self.inbox.messages.clone();
        self.supervisor.spawn("task step", async move {
            let input = work.await;
            // The actor ends only when the agent does.
            drop(messages.send(Message::Inner(input)).await);
        });
    }
}

/// Lets every class end what it still runs and nobody knows.
async fn recovering(classes: &ClassTable, stored: &[Stored]) {
    for (name, class) in classes.all() {
        let known: Vec<_> = stored
            .iter()
            .filter(|stored| {
                !stored.attached && stored.record.end.is_none() && stored.record.class == name
            })
            .map(|stored| stored.record.id.clone())
            .collect();
        let tidied = tokio::time::timeout(TIDY_LIMIT, caught(class.recovering(&known))).await;
        match tidied {
            Ok(Ok(())) => (),
            Ok(Err(panicked)) => tracing::error!(class = %name, "before recovery {panicked}"),
            Err(_late) => tracing::error!(class = %name, "the class takes too long to recover"),
        }
    }
}
