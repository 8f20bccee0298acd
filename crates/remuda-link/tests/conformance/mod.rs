//! What every link must do, whatever carries it.
//!
//! Each function takes a maker of two ends of a new link, dialler first. [`suite!`] makes the tests
//! of one transport.

#![allow(dead_code, unused_macros, unused_imports, reason = "each test file uses a part")]

mod flow;
mod life;
mod order;
mod routes;

use std::time::Duration;

use bytes::Bytes;
use remuda_link::{Link, Peer, Priority, Stream};
use remuda_model::{Generation, NodeId, Role, Transport};

pub(crate) use self::{flow::*, life::*, order::*, routes::*};

/// Makes one test for each requirement.
macro_rules! suite {
    ($pair:expr) => {
        crate::conformance::suite!(@ $pair,
            bytes_arrive_in_order,
            directions_end_separately,
            messages_are_framed,
            a_message_of_16_mib_arrives,
            many_calls_at_a_time,
            calls_from_both_sides,
            a_slow_reader_bounds_memory,
            a_stuffed_stream_does_not_slow_another,
            small_calls_go_beside_bulk,
            a_reset_travels,
            a_dropped_stream_is_reset,
            a_cancelled_call_is_reset,
            a_call_with_a_late_answer_times_out,
            both_sides_see_the_close,
            waiting_calls_hear_of_the_close,
            a_call_on_a_closed_link_is_not_sent,
            a_too_long_answer_is_refused,
            unknown_protocols_are_refused,
            other_roles_are_refused,
            a_panic_ends_one_call_only,
            spliced_streams_are_one,
            resets_travel_through_a_splice,
            bad_protocol_names_are_refused,
        );
    };
    (@ $pair:expr, $($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let (dialler, listener) = $pair.await;
                let test = $crate::conformance::$name(dialler, listener);
                let limit = std::time::Duration::from_mins(1);
                tokio::time::timeout(limit, test).await.expect("the test takes too long");
            }
        )*
    };
}
pub(crate) use suite;

/// Somebody at the other end.
pub(crate) fn peer(role: Role, dialled: bool) -> Peer {
    Peer {
        node: NodeId::random(),
        role,
        generation: Generation(1),
        version: "1".to_owned(),
        protocol: remuda_model::Release::CURRENT.protocol,
        transport: Transport::Mem,
        remote: "test".to_owned(),
        addresses: Vec::new(),
        dialled,
        authenticated_by: remuda_link::Method::Certificate,
        issuers: Vec::new(),
    }
}

/// Long enough for anything that works.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) async fn accept(link: &Link) -> Stream {
    link.accept().await.expect("the link is open").stream
}

/// Bytes of which each shows its place.
pub(crate) fn pattern(from: usize, length: usize) -> Bytes {
    let byte = |position: usize| u8::try_from(position * 31 % 251).expect("below 251");
    (from..from + length).map(byte).collect::<Vec<_>>().into()
}

/// Answers every stream with what it says.
pub(crate) async fn echo(link: Link) {
    while let Some(incoming) = link.accept().await {
        tokio::spawn(async move {
            let mut stream = incoming.stream;
            if let Ok(bytes) = stream.read_to_end(32 << 20).await {
                stream.finish_with(bytes).await.expect("the caller waits");
            }
        });
    }
}

pub(crate) async fn echo_call(link: &Link, bytes: Bytes) -> Bytes {
    link.call("echo", Priority::Calls, bytes, SOON).await.expect("an answer")
}
