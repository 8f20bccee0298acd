//! How streams, calls and links end.

use std::time::Duration;

use bytes::Bytes;
use remuda_link::{CallError, CloseReason, Link, Priority, Stream, StreamError, code, splice};
use remuda_model::ErrorKind;

use super::{SOON, accept, echo, echo_call, pattern};

fn reset_code<T: std::fmt::Debug>(result: Result<T, StreamError>) -> u32 {
    match result {
        Err(StreamError::Reset { code, .. }) => code,
        other => panic!("not reset: {other:?}"),
    }
}

async fn two(dialler: &Link, listener: &Link) -> (Stream, Stream) {
    let mut here = dialler.open("p", Priority::Calls).await.expect("open");
    here.write(Bytes::from_static(b"x")).await.expect("sent");
    let mut there = accept(listener).await;
    assert_eq!(there.read_chunk().await.expect("bytes").expect("one byte"), "x");
    (here, there)
}

pub(crate) async fn a_reset_travels(dialler: Link, listener: Link) {
    let (mut here, mut there) = two(&dialler, &listener).await;
    here.reset(300, "enough");
    assert_eq!(reset_code(there.read_chunk().await), 300);
    assert_eq!(reset_code::<()>(Err(there.stopped().await)), 300);
    assert_eq!(reset_code(there.write(Bytes::from_static(b"x")).await), 300);
    tokio::spawn(echo(listener));
    assert_eq!(echo_call(&dialler, Bytes::from_static(b"hi")).await, "hi", "others go on");
}

pub(crate) async fn a_dropped_stream_is_reset(dialler: Link, listener: Link) {
    let (here, mut there) = two(&dialler, &listener).await;
    drop(here);
    assert_eq!(reset_code(there.read_chunk().await), code::CANCELLED);
    assert_eq!(reset_code::<()>(Err(there.stopped().await)), code::CANCELLED);
}

pub(crate) async fn a_cancelled_call_is_reset(dialler: Link, listener: Link) {
    let link = dialler.clone();
    let call = tokio::spawn(async move {
        link.call("p", Priority::Calls, Bytes::from_static(b"x"), SOON).await
    });
    let mut there = accept(&listener).await;
    assert_eq!(there.read_to_end(10).await.expect("a call"), "x");
    call.abort();
    assert_eq!(reset_code::<()>(Err(there.stopped().await)), code::CANCELLED);
}

pub(crate) async fn a_call_with_a_late_answer_times_out(dialler: Link, listener: Link) {
    let limit = Duration::from_millis(50);
    let call = dialler.call("p", Priority::Calls, Bytes::new(), limit);
    let (answer, there) = tokio::join!(call, accept(&listener));
    let error = answer.expect_err("nobody answers");
    assert_eq!(error, CallError::TimedOut);
    assert_eq!(error.into_failure("node `w1`").kind, ErrorKind::TimedOut);
    let mut there = there;
    assert_eq!(reset_code::<()>(Err(there.stopped().await)), code::CANCELLED);
}

pub(crate) async fn both_sides_see_the_close(dialler: Link, listener: Link) {
    let (mut here, mut there) = two(&dialler, &listener).await;
    dialler.close("enough for today");
    assert_eq!(dialler.closed().await, CloseReason::Here("enough for today".to_owned()));
    assert_eq!(listener.closed().await, CloseReason::Peer("enough for today".to_owned()));
    assert!(dialler.is_closed() && listener.is_closed());
    assert!(dialler.accept().await.is_none() && listener.accept().await.is_none());
    assert!(matches!(here.read_chunk().await, Err(StreamError::Closed(_))));
    assert!(matches!(there.read_chunk().await, Err(StreamError::Closed(_))));
    assert!(matches!(there.stopped().await, StreamError::Closed(_)));
}

pub(crate) async fn waiting_calls_hear_of_the_close(dialler: Link, listener: Link) {
    let call = dialler.call("p", Priority::Calls, Bytes::from_static(b"x"), SOON);
    let closing = async {
        let stream = accept(&listener).await;
        listener.close("bye");
        stream
    };
    let (answer, _stream) = tokio::join!(call, closing);
    let error = answer.expect_err("no answer can come");
    assert_eq!(error, CallError::Lost);
    assert_eq!(error.into_failure("node `w1`").kind, ErrorKind::OutcomeUnknown);
}

pub(crate) async fn a_call_on_a_closed_link_is_not_sent(dialler: Link, listener: Link) {
    listener.close("bye");
    dialler.closed().await;
    let call = dialler.call("p", Priority::Calls, Bytes::from_static(b"x"), SOON);
    let error = call.await.expect_err("the link is closed");
    assert!(matches!(error, CallError::NotSent(_)));
    assert_eq!(error.into_failure("node `w1`").kind, ErrorKind::NotConnected);
}

pub(crate) async fn a_too_long_answer_is_refused(dialler: Link, listener: Link) {
    let answering = tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        while stream.write(pattern(0, 100_000)).await.is_ok() {}
        listener
    });
    let answer = dialler.call("p", Priority::Calls, Bytes::new(), SOON).await;
    assert_eq!(answer, Err(CallError::TooLarge));
    drop(answering.await.expect("the answerer hears that nobody reads on"));
}

pub(crate) async fn spliced_streams_are_one(dialler: Link, listener: Link) {
    // Streams of the same link take the place of those of another.
    let (mut front, a) = two(&dialler, &listener).await;
    let (b, mut back) = two(&listener, &dialler).await;
    let passing = tokio::spawn(splice(a, b));
    let body = pattern(0, 1_000_000);
    let (sent, received) = tokio::join!(
        async {
            front.write(body.clone()).await?;
            front.finish()
        },
        back.read_to_end(2_000_000),
    );
    sent.expect("passed on");
    assert!(received.expect("passed on") == body);
    back.finish_with(Bytes::from_static(b"answer")).await.expect("open");
    assert_eq!(front.read_to_end(100).await.expect("passed back"), "answer");
    passing.await.expect("no panic").expect("an orderly end");
}

pub(crate) async fn resets_travel_through_a_splice(dialler: Link, listener: Link) {
    let (mut front, a) = two(&dialler, &listener).await;
    let (b, mut back) = two(&listener, &dialler).await;
    let passing = tokio::spawn(splice(a, b));
    back.reset(300, "no");
    assert_eq!(reset_code(front.read_chunk().await), 300);
    assert_eq!(reset_code::<()>(Err(front.stopped().await)), 300);
    assert_eq!(reset_code(passing.await.expect("no panic")), 300);
}
