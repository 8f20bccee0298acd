//! The spool over restarts.

use std::path::Path;

use remuda_model::{NodeStatus, TaskEnd, TaskRecord, TaskState};

use super::*;
use crate::{boot::LastBoot, tasks::Stored};

async fn start(path: &Path) -> (Spool, Store, CancellationToken, tokio::task::JoinHandle<()>) {
    let (store, loaded) = Store::open(path).await.expect("opens");
    let (spool, actor) =
        open("w1".parse().unwrap(), Generation(1), &loaded, store.clone()).expect("readable");
    let stop = CancellationToken::new();
    let running = tokio::spawn(actor.run(stop.clone()));
    (spool, store, stop, running)
}

fn body() -> EventBody {
    EventBody::NodeStatus { status: NodeStatus::Ready }
}

async fn wait(spool: &Spool, seq: u64) {
    spool.durable().wait_for(|durable| *durable >= seq).await.expect("the spool runs");
}

#[tokio::test]
async fn numbers_go_on_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("worker.redb");
    let (spool, store, stop, running) = start(&path).await;
    for _ in 0..3 {
        spool.emit(body()).await;
    }
    wait(&spool, 3).await;
    spool.acknowledge(2);
    stop.cancel();
    running.await.expect("ends");
    store.close().await;

    let (spool, store, stop, running) = start(&path).await;
    assert_eq!(spool.first(), 3);
    assert_eq!(*spool.durable().borrow(), 3);
    spool.emit(body()).await;
    wait(&spool, 4).await;
    let seqs: Vec<_> = spool.after(0, 10, 1 << 20).iter().map(|event| event.seq).collect();
    assert_eq!(seqs, [3, 4]);
    spool.acknowledge(4);
    stop.cancel();
    running.await.expect("ends");
    store.close().await;

    let (spool, ..) = start(&path).await;
    assert_eq!(spool.first(), 5, "an empty spool remembers its number too");
}

#[tokio::test]
async fn the_end_of_a_task_is_told_once_it_is_on_disk() {
    let dir = tempfile::tempdir().expect("a folder");
    let (spool, ..) = start(&dir.path().join("worker.redb")).await;
    spool.emit(body()).await;
    let task: TaskId = "t1".parse().unwrap();
    let end = TaskEnd::Stopped;
    spool.emit(EventBody::TaskEnded { class: "c".parse().unwrap(), task: task.clone(), end }).await;
    assert_eq!(spool.written().await, [Written::End(task)]);
    assert_eq!(*spool.durable().borrow(), 2);
}

#[tokio::test]
async fn a_crash_between_an_event_and_the_record_of_its_task_tells_nothing_twice() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("worker.redb");
    let (node, class, task): (NodeId, remuda_model::ClassName, TaskId) =
        ("w1".parse().unwrap(), "c".parse().unwrap(), "t1".parse().unwrap());
    let record = TaskRecord {
        id: task.clone(),
        class: class.clone(),
        node: node.clone(),
        generation: Generation(1),
        state: TaskState::Ended,
        end: Some(TaskEnd::Stopped),
        summary: String::new(),
        started_ms: 1,
        ended_ms: Some(2),
    };
    let stored =
        Stored { record, attached: false, start_reported: false, reported: false, output: None };
    let (spool, store, stop, running) = start(&path).await;
    let (key, value) = (task.as_str().as_bytes().to_vec(), encode(&stored).to_vec());
    store.write(vec![Change::Put { table: Table::Tasks, key, value }]).await.expect("written");
    spool.emit(EventBody::TaskStarted { class: class.clone(), task: task.clone() }).await;
    spool.emit(EventBody::TaskEnded { class, task, end: TaskEnd::Stopped }).await;
    wait(&spool, 2).await;
    // Their owner has them, so the spool does not know them any more.
    spool.acknowledge(2);
    stop.cancel();
    running.await.expect("ends");
    store.close().await;

    let (store, loaded) = Store::open(&path).await.expect("opens");
    assert_eq!(loaded.events, []);
    let last = LastBoot::check(&node, dir.path(), &loaded, &store).await.expect("ours");
    let told = Stored { start_reported: true, reported: true, ..stored };
    assert_eq!(last.tasks, std::slice::from_ref(&told));
    store.close().await;

    let (_store, loaded) = Store::open(&path).await.expect("opens");
    assert_eq!(decode::<Stored>(&loaded.tasks[0].1).expect("ours"), told);
    let marks = loaded.meta.iter().filter(|(key, _)| key.starts_with(b"told-"));
    assert_eq!(marks.count(), 0, "a record that says it needs no mark");
}
