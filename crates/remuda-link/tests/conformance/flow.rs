//! Readers that do not keep up.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use remuda_link::{Link, Priority};
use tokio::time::{Duration, timeout};

use super::{accept, echo, echo_call, pattern};

/// More than any window may grow to.
const PLENTY: usize = 16 << 20;

pub(crate) async fn a_slow_reader_bounds_memory(dialler: Link, listener: Link) {
    let mut sender = dialler.open("p", Priority::Bulk).await.expect("open");
    let written = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&written);
    let sending = tokio::spawn(async move {
        while counter.load(Ordering::Relaxed) < PLENTY {
            sender.write(pattern(0, 50_000)).await.expect("the peer is there");
            counter.fetch_add(50_000, Ordering::Relaxed);
        }
        sender.finish().expect("open");
    });
    let mut receiver = accept(&listener).await;
    let mut before = usize::MAX;
    // Until nothing moves any more.
    while written.load(Ordering::Relaxed) != before {
        before = written.load(Ordering::Relaxed);
        drop(timeout(Duration::from_millis(200), std::future::pending::<()>()).await);
    }
    assert!(before < 4 << 20, "{before} bytes were taken although nobody reads");
    let mut received = 0;
    while let Some(bytes) = receiver.read_chunk().await.expect("bytes") {
        received += bytes.len();
    }
    assert!(received >= PLENTY);
    sending.await.expect("no panic");
}

pub(crate) async fn a_stuffed_stream_does_not_slow_another(dialler: Link, listener: Link) {
    let mut stuffed = dialler.open("p", Priority::Calls).await.expect("open");
    let never_read =
        tokio::spawn(async move { while stuffed.write(pattern(0, 60_000)).await.is_ok() {} });
    let unread = accept(&listener).await;
    tokio::spawn(echo(listener));
    for number in 0..200 {
        let body = pattern(number, 70_000);
        assert!(echo_call(&dialler, body.clone()).await == body);
    }
    assert!(!never_read.is_finished());
    drop(unread);
    never_read.await.expect("the writer hears that nobody reads");
}

pub(crate) async fn small_calls_go_beside_bulk(dialler: Link, listener: Link) {
    tokio::spawn(echo(listener));
    let link = dialler.clone();
    let bulk = tokio::spawn(async move {
        let body = pattern(0, 4 << 20);
        for _ in 0..4 {
            let call = link.call("echo", Priority::Bulk, body.clone(), super::SOON);
            assert!(call.await.expect("an answer") == body);
        }
    });
    let mut count = 0;
    while !bulk.is_finished() {
        assert_eq!(echo_call(&dialler, Bytes::from_static(b"hi")).await, "hi");
        count += 1;
    }
    bulk.await.expect("no panic");
    assert!(count > 10, "only {count} calls beside 32 MiB");
}
