//! Bytes, messages and calls.

use bytes::Bytes;
use remuda_link::{Link, LinkError, Priority, StreamError};

use super::{accept, echo, echo_call, pattern};

pub(crate) async fn bytes_arrive_in_order(dialler: Link, listener: Link) {
    const TOTAL: usize = 3_000_000;
    let mut sender = dialler.open("p", Priority::Bulk).await.expect("open");
    let sending = tokio::spawn(async move {
        let (mut sent, mut step) = (0, 1);
        while sent < TOTAL {
            let length = step.min(TOTAL - sent);
            sender.write(pattern(sent, length)).await.expect("the peer reads");
            sent += length;
            step = step * 7 % 100_003;
        }
        sender.finish().expect("open");
        sender
    });
    let mut receiver = accept(&listener).await;
    let mut received = 0;
    while let Some(bytes) = receiver.read_chunk().await.expect("bytes") {
        assert_eq!(bytes, pattern(received, bytes.len()));
        received += bytes.len();
    }
    assert_eq!(received, TOTAL);
    drop(sending.await.expect("no panic"));
}

pub(crate) async fn directions_end_separately(dialler: Link, listener: Link) {
    let mut here = dialler.open("p", Priority::Calls).await.expect("open");
    here.write(Bytes::from_static(b"question")).await.expect("sent");
    here.finish().expect("open");
    let mut there = accept(&listener).await;
    assert_eq!(there.read_to_end(100).await.expect("bytes"), "question");
    for part in ["a", "b", "c"] {
        there.write(Bytes::from_static(part.as_bytes())).await.expect("still open");
    }
    there.finish().expect("open");
    assert_eq!(here.read_to_end(100).await.expect("bytes"), "abc");
    let late = here.write(Bytes::from_static(b"late")).await;
    assert!(matches!(late, Err(StreamError::Finished)));
}

pub(crate) async fn messages_are_framed(dialler: Link, listener: Link) {
    let mut here = dialler.open("p", Priority::Events).await.expect("open");
    for number in 0..200_u32 {
        here.send(&(number, "x".repeat(number as usize))).await.expect("sent");
    }
    here.send(&"too long for the reader").await.expect("sent");
    let mut there = accept(&listener).await;
    for number in 0..200_u32 {
        let message = there.recv::<(u32, String)>(1000).await.expect("a message");
        assert_eq!(message, Some((number, "x".repeat(number as usize))));
    }
    let error = there.recv::<String>(10).await.expect_err("too long");
    assert!(matches!(error, StreamError::TooLarge { max: 10 }));

    let mut here = dialler.open("p", Priority::Events).await.expect("open");
    here.write(Bytes::from_static(&[0, 0, 0, 9, 1])).await.expect("sent");
    here.finish().expect("open");
    let error = accept(&listener).await.recv::<String>(10).await.expect_err("cut off");
    assert!(matches!(error, StreamError::Truncated));

    let mut here = dialler.open("p", Priority::Events).await.expect("open");
    here.finish().expect("open");
    let nothing = accept(&listener).await.recv::<String>(10).await.expect("an orderly end");
    assert_eq!(nothing, None);
}

pub(crate) async fn a_message_of_16_mib_arrives(dialler: Link, listener: Link) {
    tokio::spawn(echo(listener));
    let body = pattern(0, 16 << 20);
    assert!(echo_call(&dialler, body.clone()).await == body);
}

pub(crate) async fn many_calls_at_a_time(dialler: Link, listener: Link) {
    tokio::spawn(echo(listener));
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..5_000_usize {
        let link = dialler.clone();
        calls.spawn(async move {
            let body = pattern(number, number % 300);
            assert_eq!(echo_call(&link, body.clone()).await, body);
        });
    }
    let mut count = 0;
    while let Some(call) = calls.join_next().await {
        call.expect("an answer");
        count += 1;
    }
    assert_eq!(count, 5_000);
}

pub(crate) async fn calls_from_both_sides(dialler: Link, listener: Link) {
    tokio::spawn(echo(listener.clone()));
    tokio::spawn(echo(dialler.clone()));
    for number in 0..50 {
        let body = pattern(number, 100);
        let (there, back) =
            tokio::join!(echo_call(&dialler, body.clone()), echo_call(&listener, body.clone()));
        assert_eq!((&there, &back), (&body, &body));
    }
}

pub(crate) async fn bad_protocol_names_are_refused(dialler: Link, _listener: Link) {
    for name in ["", &"x".repeat(256)] {
        let error = dialler.open(name, Priority::Calls).await.expect_err("no name");
        assert!(matches!(error, LinkError::ProtocolName(_)));
    }
}
