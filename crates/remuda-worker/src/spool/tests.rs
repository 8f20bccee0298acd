//! The spool over restarts.

use std::path::Path;

use remuda_model::NodeStatus;

use super::*;

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
    let end = remuda_model::TaskEnd::Stopped;
    spool.emit(EventBody::TaskEnded { class: "c".parse().unwrap(), task: task.clone(), end }).await;
    assert_eq!(spool.written().await, [Written::End(task)]);
    assert_eq!(*spool.durable().borrow(), 2);
}
