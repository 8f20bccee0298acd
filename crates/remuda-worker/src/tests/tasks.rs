//! Tasks: starts, commands, stops, restarts.

use std::time::Duration;

use remuda_link::Priority;
use remuda_model::{
    ClassName, Epoch, ErrorKind, EventBody, Failure, NodeStatus, TaskEnd, TaskId, TaskRecord,
    TaskState,
};
use remuda_plugin::{Input, JobClass, RequestContext, Running, Task, erase};
use remuda_wire::message::{
    OUTPUT,
    output::{Chunk, Follow, Source},
    work::{Done, Op},
};
use serde_json::json;

use super::{
    class::TestCommand,
    cluster::{Node, Owner, refused, within},
};

async fn record(owner: &Owner, task: &str) -> Option<TaskRecord> {
    match owner.call(Op::Task { task: task.parse().unwrap() }).await {
        Ok(Done::Task(record)) => Some(*record),
        Ok(other) => panic!("no task: {other:?}"),
        Err(failure) => {
            assert_eq!(failure.kind, ErrorKind::NotFound);
            None
        }
    }
}

async fn stop(owner: &Owner, task: &str, grace_ms: u64) {
    let done = owner.call(Op::Stop { task: task.parse().unwrap(), grace_ms }).await;
    assert_eq!(done.expect("accepted"), Done::Accepted);
}

async fn ended(owner: &mut Owner, task: &str) -> TaskEnd {
    let is_end = |event: &remuda_model::Event| matches!(&event.body, EventBody::TaskEnded { task: id, .. } if id.as_str() == task);
    match owner.events_until(is_end).await.pop().map(|event| event.body) {
        Some(EventBody::TaskEnded { end, .. }) => end,
        other => panic!("no end: {other:?}"),
    }
}

/// Follows a task to its end.
async fn follow(owner: &Owner, task: &str) -> Vec<Chunk> {
    let mut stream = owner.link.open(OUTPUT, Priority::Bulk).await.expect("opens");
    let task = task.parse().unwrap();
    let header = Follow { epoch: Epoch(owner.epoch), task, offset: 0, follow: true };
    stream.send(&header).await.expect("sends");
    let mut chunks = Vec::new();
    while let Some(chunk) = within(stream.recv(1 << 20)).await.expect("readable") {
        chunks.push(chunk);
    }
    chunks
}

#[tokio::test]
async fn a_task_lives_takes_commands_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, mut owner) = Node::owned(dir.path(), true).await;
    let Ok(Done::Started(started)) = owner.start_task("t1", "", false).await else {
        panic!("it starts");
    };
    assert_eq!((started.state, started.summary.as_str()), (TaskState::Running, "a test task"));
    let again = owner.start_task("t1", "", false).await.expect_err("known");
    assert_eq!((again.kind, again.code.as_str()), (ErrorKind::Exists, "already_started"));

    let said = owner.command("t1", &TestCommand::Say("hi".to_owned())).await;
    assert_eq!(said.expect("answers"), Done::Payload(b"\"hi\"".to_vec()));
    assert_eq!(refused(owner.command("t1", &TestCommand::Refuse).await).message, "no");
    let ignored = refused(owner.command("t1", &TestCommand::Ignore).await);
    assert_eq!(ignored.code, "no_answer");
    let bad = refused(owner.command("t1", &json!("nonsense")).await);
    assert_eq!(bad.kind, ErrorKind::Invalid);
    owner.command("t1", &TestCommand::Finish("42".to_owned())).await.expect("answers");
    assert_eq!(ended(&mut owner, "t1").await, TaskEnd::Finished { result: "42".to_owned() });

    let late = owner.command("t1", &TestCommand::Refuse).await.expect_err("ended");
    assert_eq!(late.code, "task_ended");
    assert_eq!(record(&owner, "t1").await.expect("remembered").state, TaskState::Ended);
    let forgotten = owner.call(Op::Forget { task: "t1".parse().unwrap() }).await;
    assert_eq!(forgotten.expect("forgets"), Done::Accepted);
    assert_eq!(record(&owner, "t1").await, None);
}

#[tokio::test]
async fn starts_that_fail_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, owner) = Node::owned(dir.path(), true).await;
    let no_task = refused(owner.start_task("t1", "refuse", false).await);
    assert_eq!(no_task.kind, ErrorKind::Invalid);
    let panicked = refused(owner.start_task("t1", "panic", false).await);
    assert_eq!(panicked.kind, ErrorKind::Internal);
    assert_eq!(record(&owner, "t1").await, None);
    assert_eq!(owner.call(Op::Tasks).await.expect("lists"), Done::Tasks(Vec::new()));
}

#[tokio::test]
async fn nobody_knows_what_became_of_a_start_that_the_shutdown_cuts_off() {
    let dir = tempfile::tempdir().unwrap();
    let (node, owner) = Node::owned(dir.path(), true).await;
    let seen = node.seen.clone();
    let (reply, ()) = tokio::join!(owner.start_task("t1", "slow", false), async {
        seen.wait("start t1").await;
        node.stop().await;
    });
    let failure = reply.expect_err("nobody says that it has started");
    assert_eq!(failure.kind, ErrorKind::OutcomeUnknown, "{failure}");
}

#[tokio::test]
async fn a_panic_fails_one_task() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, mut owner) = Node::owned(dir.path(), true).await;
    owner.start_task("t1", "", false).await.expect("starts");
    owner.start_task("t2", "", false).await.expect("starts");
    let unanswered = refused(owner.command("t1", &TestCommand::Panic).await);
    assert_eq!(unanswered.code, "no_answer");
    let end = ended(&mut owner, "t1").await;
    assert!(
        matches!(&end, TaskEnd::Failed { message } if message.contains("on purpose")),
        "{end:?}"
    );
    assert_eq!(record(&owner, "t2").await.expect("lives").state, TaskState::Running);
}

#[tokio::test]
async fn a_stop_is_asked_for_and_then_forced() {
    let dir = tempfile::tempdir().unwrap();
    let (node, mut owner) = Node::owned(dir.path(), true).await;
    owner.start_task("t1", "", false).await.expect("starts");
    stop(&owner, "t1", 7000).await;
    node.seen.wait("stop t1 7000").await;
    assert_eq!(ended(&mut owner, "t1").await, TaskEnd::Stopped);
    stop(&owner, "t1", 0).await;

    owner.start_task("t2", "", false).await.expect("starts");
    owner.command("t2", &TestCommand::Deaf).await.expect("answers");
    stop(&owner, "t2", 0).await;
    assert_eq!(ended(&mut owner, "t2").await, TaskEnd::Stopped);
    let unknown = owner.call(Op::Stop { task: "nosuch".parse().unwrap(), grace_ms: 0 }).await;
    assert_eq!(unknown.expect_err("unknown").code, "task_not_found");
}

#[tokio::test]
async fn an_accepted_stop_outlives_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, owner) = Node::owned(dir.path(), true).await;
    for n in 0..10 {
        let task = format!("t{n}");
        owner.start_task(&task, "", false).await.expect("starts");
        owner.command(&task, &TestCommand::Deaf).await.expect("answers");
        stop(&owner, &task, 60_000).await;
        // What a killed process leaves.
        let after = tempfile::tempdir().unwrap();
        std::fs::copy(dir.path().join("worker.redb"), after.path().join("worker.redb")).unwrap();
        let next = Node::start(after.path(), true, &[]).await;
        next.seen.wait(&format!("stop {task} 10000")).await;
        next.stop().await;
    }
}

#[tokio::test]
async fn a_node_in_standby_takes_attached_tasks_only() {
    let dir = tempfile::tempdir().unwrap();
    let (node, owner) = Node::owned(dir.path(), true).await;
    owner.start_task("t1", "", false).await.expect("starts");
    owner.request("node", &json!({"set_status": "stopped"})).await.expect("answers");
    node.status(NodeStatus::Stopping).await;
    let not_ready = owner.start_task("t2", "", false).await.expect_err("not ready");
    assert_eq!(not_ready.code, "node_not_ready");
    assert!(not_ready.message.contains("stopping"), "{not_ready}");
    assert!(not_ready.hint.expect("a hint").contains("remuda node ready w1"));
    owner.start_task("t3", "", true).await.expect("attached tasks start");
    stop(&owner, "t1", 1000).await;
    node.status(NodeStatus::Stopped).await;
    assert!(node.worker.drain(Duration::ZERO).await);
}

#[tokio::test]
async fn an_attached_task_is_followed_to_its_end_and_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (node, owner) = Node::owned(dir.path(), true).await;
    owner.start_task("t1", "", true).await.expect("starts");
    let (chunks, ()) = tokio::join!(follow(&owner, "t1"), async {
        owner.command("t1", &TestCommand::Finish("7".to_owned())).await.expect("answers");
    });
    assert_eq!(chunks, [Chunk::End(TaskEnd::Finished { result: "7".to_owned() })]);
    node.seen.wait("forget t1").await;
    assert_eq!(record(&owner, "t1").await, None);
    let failed = follow(&owner, "t1").await;
    assert!(
        matches!(failed.as_slice(), [Chunk::Failed(failure)] if failure.code == "task_not_found")
    );
}

#[tokio::test]
async fn output_is_sent_in_order_and_kept_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let output = tempfile::tempdir().unwrap();
    let (node, mut owner) = Node::owned(dir.path(), true).await;
    let spec = output.path().to_str().expect("plain");
    owner.start_task("t1", spec, false).await.expect("starts");
    ended(&mut owner, "t1").await;
    let chunks = follow(&owner, "t1").await;
    let texts: Vec<_> = chunks
        .iter()
        .filter_map(|chunk| match chunk {
            Chunk::Data { source, bytes, .. } => Some((*source, bytes.as_slice())),
            _ => None,
        })
        .collect();
    assert_eq!(texts, [(Source::Stdout, &b"out"[..]), (Source::Stderr, &b"err"[..])]);
    let end = TaskEnd::Finished { result: "1".to_owned() };
    assert_eq!(chunks.last(), Some(&Chunk::End(end)));
    node.stop().await;

    let mut node = Node::start(dir.path(), true, &[1]).await;
    let owner = node.adopt(6).await;
    assert_eq!(follow(&owner, "t1").await, chunks);
}

#[tokio::test]
async fn output_is_for_every_epoch_and_moves_none() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, mut owner) = Node::owned(dir.path(), true).await;
    let output = tempfile::tempdir().unwrap();
    let spec = output.path().to_str().expect("plain");
    owner.start_task("t1", spec, false).await.expect("starts");
    for epoch in [4, 99] {
        owner.epoch = epoch;
        let chunks = follow(&owner, "t1").await;
        assert!(matches!(chunks.last(), Some(Chunk::End(_))), "{epoch}: {chunks:?}");
    }
    owner.epoch = 5;
    assert!(record(&owner, "t1").await.is_some(), "the owner is still obeyed");
}

#[tokio::test]
async fn tasks_are_taken_up_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (node, mut owner) = Node::owned(dir.path(), true).await;
    owner.start_task("t1", "", false).await.expect("starts");
    owner.start_task("t2", "", false).await.expect("starts");
    owner.command("t2", &TestCommand::Finish(String::new())).await.expect("answers");
    ended(&mut owner, "t2").await;
    let seen = node.seen.clone();
    node.stop().await;
    seen.wait("left t1").await;

    let mut node = Node::start(dir.path(), true, &[1]).await;
    let owner = node.adopt(6).await;
    node.seen.wait("recover t1").await;
    assert_eq!(node.seen.all()[0], "recovering t1");
    let kept = record(&owner, "t1").await.expect("kept");
    assert_eq!((kept.state, kept.end), (TaskState::Running, None));
    assert!(record(&owner, "t2").await.expect("remembered").end.is_some());
    let said = owner.command("t1", &TestCommand::Say("still here".to_owned())).await;
    assert!(said.is_ok());
}

#[tokio::test]
async fn a_task_that_cannot_be_taken_up_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (node, owner) = Node::owned(dir.path(), true).await;
    owner.start_task("t1", "", false).await.expect("starts");
    node.stop().await;
    let mut node = Node::start(dir.path(), false, &[1]).await;
    let mut owner = node.adopt(6).await;
    let end = ended(&mut owner, "t1").await;
    assert_eq!(end, TaskEnd::Lost { message: "nothing is left".to_owned() });
}

/// A class that is loaded while the node runs.
struct Late(&'static str);

impl JobClass for Late {
    const NAME: &'static str = "late";
    type Request = ();
    type Reply = &'static str;
    type Spec = ();
    type Command = ();
    type CommandReply = &'static str;
    type Event = ();

    async fn request(&self, _: RequestContext, (): ()) -> Result<&'static str, Failure> {
        Ok(self.0)
    }

    async fn start(&self, mut task: Task<Self>, (): ()) -> Result<Running, Failure> {
        let text = self.0;
        Ok(Running::new(text, async move {
            while let Some(Input::Command(command)) = task.next().await {
                command.reply.send(Ok(text));
            }
            TaskEnd::Stopped
        }))
    }
}

#[tokio::test]
async fn a_class_may_be_replaced_and_removed_while_its_tasks_run() {
    let dir = tempfile::tempdir().unwrap();
    let (node, mut owner) = Node::owned(dir.path(), true).await;
    let said = |text: &str| Ok(Done::Payload(serde_json::to_vec(text).unwrap()));
    let (class, id): (ClassName, TaskId) = ("late".parse().unwrap(), "t1".parse().unwrap());

    node.classes.put(erase(Late("one"))).expect("loaded");
    let spec = b"null".to_vec();
    let start = Op::Start { class: class.clone(), task: id.clone(), spec, attached: false };
    assert!(matches!(owner.call(start).await, Ok(Done::Started(_))));
    node.classes.put(erase(Late("two"))).expect("replaced");
    assert_eq!(owner.request("late", &json!(null)).await, said("two"));
    assert_eq!(owner.command("t1", &json!(null)).await, said("one"));

    assert!(node.classes.remove(&class));
    let unknown = owner.request("late", &json!(null)).await.expect_err("it is gone");
    assert_eq!(unknown.code, "unknown_class");
    assert_eq!(owner.command("t1", &json!(null)).await, said("one"));
    stop(&owner, "t1", 1000).await;
    assert_eq!(ended(&mut owner, "t1").await, TaskEnd::Stopped);
}
