//! What happens to tasks that nobody waits for any more.

use std::{collections::BTreeMap, fs, path::Path};

use remuda_model::ExitStatus;
use remuda_runtime::Supervisor;

use super::*;
use crate::{launch::Launch, protocol::Spawn, record::task_dir, spec::ExecSpec};

fn task() -> TaskId {
    "t1".parse().unwrap()
}

fn actor(dir: &Path) -> Actor {
    let place =
        Place { dir: dir.into(), program: "/nowhere".into(), supervisor: Supervisor::new() };
    Actor::new(place, mpsc::channel(1).1)
}

fn spawn() -> Box<Spawn> {
    let spec = ExecSpec { argv: vec!["true".to_owned()], ..ExecSpec::default() };
    let launch = Launch::prepare(&spec, &"w1".parse().unwrap(), Some(&task())).unwrap();
    Box::new(Spawn {
        task: task(),
        launch,
        stdin: spec.stdin,
        timeout_ms: None,
        max_output_bytes: 1,
        summary: String::new(),
    })
}

async fn next(frames: &mut mpsc::Receiver<Vec<u8>>) -> Option<(u32, Op)> {
    let frame = frames.try_recv().ok()?;
    match protocol::read(&mut frame.as_slice()).await.unwrap() {
        Some(FromAgent::Call { id, op }) => Some((id, op)),
        other => panic!("no call: {other:?}"),
    }
}

#[tokio::test]
async fn a_task_whose_start_nobody_awaits_any_more_is_stopped_and_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let folder = task_dir(dir.path(), &task());
    fs::create_dir_all(&folder).unwrap();
    let mut actor = actor(dir.path());
    let (mut connection, mut frames) = Connection::played(BTreeMap::new());
    let (answer, waiting) = oneshot::channel();
    actor.ask(&mut connection, Ask::Spawn(spawn(), answer));
    let (id, op) = next(&mut frames).await.expect("it is started");
    assert!(matches!(op, Op::Spawn(_)));
    drop(waiting);
    actor.said(&mut connection, FromHolder::Reply { id, result: Ok(()) });
    let (id, op) = next(&mut frames).await.expect("it is stopped");
    assert!(matches!(op, Op::Stop { task: stopped, grace_ms: 0 } if stopped == task()));
    assert!(actor.watched.is_empty());

    actor.said(&mut connection, FromHolder::Reply { id, result: Ok(()) });
    assert!(next(&mut frames).await.is_none(), "it is stopped once");
    let exit =
        Exit { status: ExitStatus::Signal(9), stopped: true, timed_out: false, output_len: 0 };
    actor.said(&mut connection, FromHolder::Exited { task: task(), exit });
    assert!(actor.abandoned.is_empty());
    assert!(actor.place.supervisor.shutdown(Duration::from_secs(10)).await);
    assert!(!folder.exists());
}

#[tokio::test]
async fn it_is_stopped_also_when_the_connection_was_lost_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let mut actor = actor(dir.path());
    let (mut connection, _frames) = Connection::played(BTreeMap::new());
    let (answer, waiting) = oneshot::channel();
    actor.ask(&mut connection, Ask::Spawn(spawn(), answer));
    drop(waiting);
    actor.lost();
    let (connection, mut frames) = Connection::played(BTreeMap::from([(task(), 0)]));
    actor.settle(Some(&connection)).await;
    let (_, op) = next(&mut frames).await.expect("it is stopped");
    assert!(matches!(op, Op::Stop { grace_ms: 0, .. }));

    actor.lost();
    actor.settle(None).await;
    assert!(actor.abandoned.is_empty(), "it is gone with its holder");
}
