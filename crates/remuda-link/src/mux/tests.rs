//! A link whose other end is in the hands of the test.

use std::time::Duration;

use bytes::Bytes;
use remuda_model::{Generation, NodeId, Role, Transport};
use remuda_wire::{
    handshake::Method,
    mux::{Config, Priority, ProtocolError, Side},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::{CallError, CloseReason, Link, Peer, StreamError};

fn link(io: DuplexStream) -> Link {
    let peer = Peer {
        node: NodeId::random(),
        role: Role::Worker,
        generation: Generation(1),
        version: "1".to_owned(),
        protocol: remuda_model::Release::CURRENT.protocol,
        transport: Transport::Mem,
        remote: "test".to_owned(),
        addresses: Vec::new(),
        dialled: true,
        authenticated_by: Method::Certificate,
        issuers: Vec::new(),
    };
    Link::start_mux(io, Side::Dialer, peer, Config::default())
}

async fn call(link: &Link) -> Result<Bytes, CallError> {
    let deadline = Duration::from_secs(100);
    link.call("p", Priority::Calls, Bytes::from_static(b"hi"), deadline).await
}

const PING: &[u8] = b"\0\0\0\x08\x05\0\0\0\0\0\0\0\0\0\0\0\0\x01";

async fn expect(io: &mut DuplexStream, bytes: &[u8]) {
    let mut came = vec![0; bytes.len()];
    io.read_exact(&mut came).await.expect("it is sent");
    assert_eq!(came, bytes);
}

#[tokio::test]
async fn a_call_is_one_frame_each_way() {
    let (here, mut there) = duplex(1000);
    let link = link(here);
    let answering = async {
        expect(&mut there, PING).await;
        expect(&mut there, b"\0\0\0\x04\x01\x03\0\0\0\x01\x01phi").await;
        there.write_all(b"\0\0\0\x03\x02\x01\0\0\0\x01yes").await.expect("open");
    };
    let (answer, ()) = tokio::join!(call(&link), answering);
    assert_eq!(answer.expect("an answer"), "yes");
}

#[tokio::test]
async fn an_answer_is_one_frame() {
    let (here, mut there) = duplex(1000);
    let link = link(here);
    expect(&mut there, PING).await;
    there.write_all(b"\0\0\0\x04\x01\x03\0\0\0\x02\x01phi").await.expect("open");
    let mut stream = link.accept().await.expect("a stream").stream;
    assert_eq!(stream.read_to_end(10).await.expect("bytes"), "hi");
    stream.finish_with(Bytes::from_static(b"yes")).await.expect("open");
    expect(&mut there, b"\0\0\0\x03\x02\x01\0\0\0\x02yes").await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_noticed() {
    let (here, _there) = duplex(1000);
    let link = link(here);
    assert_eq!(call(&link).await, Err(CallError::Lost));
    assert_eq!(link.closed().await, CloseReason::Silent);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_but_does_not_read_is_noticed() {
    let (here, mut there) = duplex(1000);
    let link = link(here);
    let mut stream = link.open("p", Priority::Bulk).await.expect("open");
    stream.write(vec![0; 100_000].into()).await.expect("there is room here");
    let sending = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if there.write_all(PING).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        reason = link.closed() => assert_eq!(reason, CloseReason::Silent),
        () = sending => (),
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_stays() {
    let (here, mut there) = duplex(1000);
    let link = link(here);
    for second in 0..100 {
        let mut ping = [0; 18];
        there.read_exact(&mut ping).await.expect("a ping");
        ping[4] = 6;
        there.write_all(&ping).await.expect("open");
        assert!(!link.is_closed(), "after {second} pings");
    }
    assert!(link.rtt().is_some());
}

#[tokio::test]
async fn whoever_breaks_the_protocol_hears_it() {
    let (here, mut there) = duplex(1000);
    let link = link(here);
    expect(&mut there, PING).await;
    there.write_all(b"\0\0\0\x01\x02\0\0\0\0\x09x").await.expect("open");
    let never = ProtocolError::NeverOpened(9);
    assert_eq!(link.closed().await, CloseReason::Protocol(never));
    let mut rest = Vec::new();
    there.read_to_end(&mut rest).await.expect("an orderly end");
    assert_eq!(rest[..14], *b"\0\0\0\x1D\x07\0\0\0\0\0\0\0\0\x07");
    assert_eq!(&rest[14..], never.to_string().as_bytes());
}

#[tokio::test]
async fn a_peer_that_hangs_up_is_noticed() {
    let (here, there) = duplex(1000);
    let link = link(here);
    let mut stream = link.open("p", Priority::Calls).await.expect("open");
    let (answer, read, ()) = tokio::join!(call(&link), stream.read_chunk(), async { drop(there) });
    assert!(matches!(answer, Err(CallError::Lost | CallError::NotSent(_))));
    assert!(matches!(read, Err(StreamError::Closed(CloseReason::Lost(_)))));
}

#[tokio::test(start_paused = true)]
async fn calls_that_never_left_are_told_so() {
    // The peer takes 20 bytes and no more: the ping and the start of the first call.
    let (here, _there) = duplex(20);
    let link = link(here);
    let (first, second, ()) = tokio::join!(call(&link), call(&link), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let late = tokio::spawn({
            let link = link.clone();
            async move { call(&link).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        link.close("enough");
        let late = late.await.expect("no panic");
        assert!(matches!(late, Err(CallError::NotSent(_))), "{late:?}");
    });
    assert_eq!((first, second), (Err(CallError::Lost), Err(CallError::Lost)));
}

#[tokio::test(start_paused = true)]
async fn a_farewell_does_not_wait_for_ever() {
    let (here, mut there) = duplex(20);
    let link = link(here);
    let calling = tokio::spawn({
        let link = link.clone();
        async move { call(&link).await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    link.close("enough");
    assert_eq!(calling.await.expect("no panic"), Err(CallError::Lost));
    assert!(link.is_closed());
    // The driver lets go of the connection although the peer has not read everything.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut rest = Vec::new();
    there.read_to_end(&mut rest).await.expect("the connection ends");
    assert_eq!(rest.len(), 20);
}

#[tokio::test]
async fn a_link_that_nobody_holds_is_closed() {
    let (here, mut there) = duplex(1000);
    let link = link(here);
    let mut stream = link.open("p", Priority::Calls).await.expect("open");
    drop(link);
    stream.finish_with(Bytes::from_static(b"hi")).await.expect("its streams hold it");
    expect(&mut there, PING).await;
    expect(&mut there, b"\0\0\0\x04\x01\x03\0\0\0\x01\x01phi").await;
    there.write_all(b"\0\0\0\x03\x02\x01\0\0\0\x01yes").await.expect("open");
    assert_eq!(stream.read_to_end(10).await.expect("bytes"), "yes");
    drop(stream);
    let mut rest = Vec::new();
    there.read_to_end(&mut rest).await.expect("an orderly end");
    assert!(rest.ends_with(b"nobody holds the link any more"));
}
