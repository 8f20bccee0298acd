//! A job class whose life the tests can see.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use remuda_model::{ErrorKind, Failure, NodeStatus, TaskEnd, TaskId};
use remuda_plugin::{
    Input, JobClass, RequestContext, Running, Task,
    output::{DEFAULT_MAX_BYTES, OutputLog, OutputState, OutputWriter, Source},
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// What the class was asked, in order.
#[derive(Clone, Debug)]
pub(super) struct Seen(watch::Sender<Vec<String>>);

impl Seen {
    fn say(&self, what: impl Into<String>) {
        self.0.send_modify(|seen| seen.push(what.into()));
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// Waits until the class was asked this.
    pub(super) async fn wait(&self, what: &str) {
        let mut seen = self.0.subscribe();
        let found = seen.wait_for(|seen| seen.iter().any(|said| said == what));
        super::cluster::within(found).await.expect("the class lives");
    }
}

#[derive(Debug)]
pub(super) struct TestClass {
    seen: Seen,
    recovers: bool,
    statuses: Arc<Mutex<Vec<NodeStatus>>>,
}

impl TestClass {
    pub(super) fn new(recovers: bool) -> (Self, Seen) {
        let seen = Seen(watch::Sender::new(Vec::new()));
        (Self { seen: seen.clone(), recovers, statuses: Arc::default() }, seen)
    }

    fn run(&self, mut task: Task<Self>) -> Running {
        let (seen, statuses) = (self.seen.clone(), Arc::clone(&self.statuses));
        Running::new("a test task", async move {
            while let Some(input) = task.next().await {
                match input {
                    Input::Command(command) => match command.body {
                        TestCommand::Say(text) => {
                            task.emit(&text).await;
                            command.reply.send(Ok(text));
                        }
                        TestCommand::Refuse => command.reply.send(Err(Failure::failed("no"))),
                        TestCommand::Ignore => drop(command.reply),
                        TestCommand::Finish(result) => {
                            command.reply.send(Ok(String::new()));
                            return TaskEnd::Finished { result };
                        }
                        TestCommand::Panic => panic!("on purpose"),
                        TestCommand::Deaf => {
                            command.reply.send(Ok(String::new()));
                            std::future::pending::<()>().await;
                        }
                    },
                    Input::Status(status) => statuses.lock().unwrap().push(status),
                    Input::Stop(grace) => {
                        seen.say(format!("stop {} {}", task.id(), grace.as_millis()));
                        return TaskEnd::Stopped;
                    }
                }
            }
            seen.say(format!("left {}", task.id()));
            std::future::pending().await
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum TestRequest {
    Echo(String),
    /// Fails with words that a worker uses when it has done nothing.
    LikeTheGate,
    Panic,
    Forever,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum TestCommand {
    Say(String),
    Refuse,
    Ignore,
    Finish(String),
    Panic,
    Deaf,
}

/// A task that has written something into this folder and finishes at once.
fn talkative(dir: &str) -> Running {
    let end = TaskEnd::Finished { result: "1".to_owned() };
    let mut writer = OutputWriter::open(dir, DEFAULT_MAX_BYTES).expect("opens");
    writer.append(Source::Stdout, b"out").expect("writes");
    writer.append(Source::Stderr, b"err").expect("writes");
    let state = OutputState { len: writer.len(), end: Some(end.clone()) };
    let output = OutputLog { dir: dir.into(), state: watch::channel(state).1 };
    Running { output: Some(output), ..Running::new("talks", std::future::ready(end)) }
}

struct OnDrop(Seen);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.say("dropped");
    }
}

impl JobClass for TestClass {
    const NAME: &'static str = "test";
    type Request = TestRequest;
    type Reply = String;
    type Spec = String;
    type Command = TestCommand;
    type CommandReply = String;
    type Event = String;

    async fn request(&self, _: RequestContext, request: TestRequest) -> Result<String, Failure> {
        match request {
            TestRequest::Echo(text) => Ok(text),
            TestRequest::LikeTheGate => {
                Err(Failure::new(ErrorKind::NotConnected, "another link").code("stale_epoch"))
            }
            TestRequest::Panic => panic!("on purpose"),
            TestRequest::Forever => {
                let _guard = OnDrop(self.seen.clone());
                self.seen.say("forever");
                tokio::time::sleep(Duration::from_hours(1)).await;
                Ok(String::new())
            }
        }
    }

    async fn start(&self, task: Task<Self>, spec: String) -> Result<Running, Failure> {
        self.seen.say(format!("start {}", task.id()));
        match spec.as_str() {
            "refuse" => Err(Failure::invalid("a spec that is refused")),
            "panic" => panic!("on purpose"),
            "slow" => std::future::pending().await,
            dir if dir.starts_with('/') => Ok(talkative(dir)),
            _ => Ok(self.run(task)),
        }
    }

    async fn recovering(&self, known: &[TaskId]) {
        let known: Vec<_> = known.iter().map(TaskId::as_str).collect();
        self.seen.say(format!("recovering {}", known.join(" ")));
    }

    async fn recover(&self, task: Task<Self>) -> Result<Running, Failure> {
        self.seen.say(format!("recover {}", task.id()));
        if self.recovers { Ok(self.run(task)) } else { Err(Failure::failed("nothing is left")) }
    }

    async fn forget(&self, task: &TaskId) {
        self.seen.say(format!("forget {task}"));
    }
}
