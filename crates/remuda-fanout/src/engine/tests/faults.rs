//! What breaks a run, and what it leaves behind.

use remuda_link::{Priority, code};
use remuda_model::{Epoch, ErrorKind, Role};
use remuda_wire::message::{
    RUN,
    run::{Given, ToWorker},
};
use tokio::time::Duration;

use super::world::{World, hosts, open, share, until, within};

const FIXED: &str = r#","limits":{"adaptive":false}"#;

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_drops_everything_of_its_run() {
    let world = World::new(50);
    let mut run = world.run(FIXED, share(50)).await;
    run.give(0, &hosts("stuck", 50)).await;
    until(|| world.targets.in_flight("stuck") == 50).await;
    run.send.reset(code::CANCELLED, "cancelled");
    until(|| world.targets.in_flight("stuck") == 0).await;
    // The slots are free again.
    world.run(FIXED, share(50)).await.all(&hosts("slow", 50)).await;
    assert_eq!(world.targets.most("slow"), 50);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_closes_drops_everything_too() {
    let world = World::new(50);
    let mut run = world.run(FIXED, share(50)).await;
    run.give(0, &hosts("stuck", 50)).await;
    // The reading side has ended before: only writing can tell.
    run.say(&ToWorker::Finish).await;
    run.send.finish().expect("open");
    until(|| world.targets.in_flight("stuck") == 50).await;
    world.link.close("the end");
    until(|| world.targets.in_flight("stuck") == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_control_node_that_ends_without_a_word_has_gone() {
    let world = World::new(50);
    let mut run = world.run(FIXED, share(50)).await;
    run.give(0, &hosts("stuck", 50)).await;
    until(|| world.targets.in_flight("stuck") == 50).await;
    run.send.finish().expect("open");
    until(|| world.targets.in_flight("stuck") == 0).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_stops_drops_everything_and_says_so() {
    let world = World::new(50);
    let mut run = world.run(FIXED, share(50)).await;
    run.give(0, &hosts("stuck", 10)).await;
    until(|| world.targets.in_flight("stuck") == 10).await;
    let ended = world.supervisor.shutdown(Duration::from_mins(1));
    let (ended, failure) = tokio::join!(ended, run.failure());
    assert!(ended, "every task has ended");
    assert_eq!((failure.kind, failure.code.as_str()), (ErrorKind::Unavailable, "shutting_down"));
    assert_eq!(world.targets.in_flight("stuck"), 0);
}

#[tokio::test(start_paused = true)]
async fn records_that_are_there_are_sent_when_the_agent_stops() {
    let world = World::new(50);
    let mut run = world.run(FIXED, share(50)).await;
    run.give(0, &hosts("ok", 10)).await;
    until(|| world.targets.begun("ok") == 10).await;
    // Every task has its turn, so the attempts have ended.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let ended = world.supervisor.shutdown(Duration::from_mins(1));
    let (ended, records) = tokio::join!(ended, run.records());
    assert!(ended && records.len() == 10);
}

#[tokio::test(start_paused = true)]
async fn more_targets_than_were_asked_for_end_the_stream() {
    let world = World::new(50);
    let mut run = world.run(FIXED, share(50)).await;
    while run.wanted == 0 {
        run.hear().await;
    }
    let given = |index| Given { index, host: "ok".to_owned(), vars: Vec::new() };
    run.say(&ToWorker::Targets((0..=run.wanted).map(given).collect())).await;
    let failure = run.failure().await;
    assert_eq!((failure.kind, failure.code.as_str()), (ErrorKind::Invalid, "protocol_violation"));
    assert_eq!(world.targets.begun("ok"), 0);
}

#[tokio::test(start_paused = true)]
async fn targets_after_their_end_end_the_stream() {
    let world = World::new(50);
    let mut run = world.run(FIXED, share(50)).await;
    run.give(0, &hosts("stuck", 1)).await;
    run.say(&ToWorker::Finish).await;
    run.say(&ToWorker::Targets(Vec::new())).await;
    assert_eq!(run.failure().await.code, "protocol_violation");
    until(|| world.targets.in_flight("stuck") == 0).await;
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_message_end_the_stream() {
    for bytes in [&b"\0\0\0\x01\x77"[..], b"\xff\xff\xff\xff"] {
        let world = World::new(50);
        let mut run = world.run(FIXED, share(50)).await;
        run.give(0, &hosts("stuck", 1)).await;
        within(run.send.write(bytes.to_vec().into())).await.expect("open");
        let failure = run.failure().await;
        assert_eq!(failure.code, "protocol_violation", "{failure}");
        until(|| world.targets.in_flight("stuck") == 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_opening_ends_the_stream() {
    let world = World::new(50);
    let mut run = world.run(FIXED, share(50)).await;
    run.say(&ToWorker::Open(open("", share(1)))).await;
    assert_eq!(run.failure().await.code, "protocol_violation");
}

#[tokio::test(start_paused = true)]
async fn the_first_message_must_open_the_run() {
    let world = World::new(50);
    let stream = world.link.open(RUN, Priority::Bulk).await.expect("open");
    let (mut send, mut recv) = stream.split();
    within(send.send(&ToWorker::Finish)).await.expect("open");
    let said = within(recv.recv(1 << 20)).await.expect("an answer").expect("an answer");
    let remuda_wire::message::run::FromWorker::Failed(failure) = said else { panic!("{said:?}") };
    assert_eq!(failure.code, "protocol_violation");
}

#[tokio::test(start_paused = true)]
async fn an_owner_of_the_past_is_refused() {
    let world = World::new(50);
    let mut open = open("", share(1));
    open.epoch = Epoch(4);
    let failure = world.open(&open).await.failure().await;
    assert_eq!(failure.kind, ErrorKind::Conflict);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_refused_without_showing_it() {
    let world = World::new(50);
    let mut unreadable = open("", share(1));
    unreadable.secrets = br#"{"password":"hunter2","x":"hunter2"}"#.to_vec();
    let failure = world.open(&unreadable).await.failure().await;
    assert_eq!((failure.kind, failure.code.as_str()), (ErrorKind::Invalid, "bad_run"));
    assert!(!format!("{failure:?}").contains("hunter2"));
    let failure = world.open(&open(r#","new":1"#, share(1))).await.failure().await;
    assert!(failure.message.contains("spec"), "{failure}");
    let failure = world.open(&open(r#","name":"bad""#, share(1))).await.failure().await;
    assert_eq!(failure.message, "it is bad");
}

#[tokio::test(start_paused = true)]
async fn workers_command_no_workers() {
    let world = World::with(50, Role::Worker);
    let stream = world.link.open(RUN, Priority::Bulk).await.expect("open");
    let (mut send, mut recv) = stream.split();
    // It may be reset before.
    drop(within(send.send(&ToWorker::Open(open("", share(1))))).await);
    let refused = within(recv.recv::<ToWorker>(1 << 20)).await;
    assert!(refused.is_err(), "{refused:?}");
}
