//! What a peer sends on an open link.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use remuda_wire::mux::{Batch, Config, Mux, Priority, Side};

/// Bytes of a peer, in pieces, to a side that reads, answers and opens streams meanwhile.
pub(super) fn frames(input: &[u8]) {
    let mut mux = Mux::new(Side::Listener, Config::default());
    let mut out = Batch::new(1024);
    let mut buffer = BytesMut::new();
    let ours = mux.open("remuda/work/1", Priority::Calls).expect("a name");
    mux.enqueue(ours, Bytes::from_static(b"call")).expect("open");
    let mut held = Vec::new();
    let mut now = Duration::ZERO;
    // The length of a piece depends on its first byte, so that frames are cut anywhere.
    let mut rest = input;
    while let Some(first) = rest.first() {
        let (piece, after) = rest.split_at(rest.len().min(1 + usize::from(*first)));
        rest = after;
        buffer.extend_from_slice(piece);
        now += Duration::from_millis(10);
        if mux.receive(now, &mut buffer).is_err() {
            return;
        }
        while let Some(accepted) = mux.accept() {
            held.push(accepted.key);
        }
        for key in &held {
            drop(mux.read(*key));
        }
        if let Some(key) = held.pop() {
            drop(mux.enqueue(key, Bytes::from_static(b"answer")));
            drop(mux.finish(key));
            mux.release_send(key);
            mux.release_recv(key);
        }
        while mux.poll_event().is_some() {}
        mux.poll_transmit(now, &mut out, 16 * 1024);
        mux.tick(now);
    }
}

/// What a peer sends that dials and calls.
pub(super) fn frames_seeds() -> Vec<Vec<u8>> {
    let mut mux = Mux::new(Side::Dialer, Config::default());
    let mut out = Batch::new(usize::MAX);
    let mut seeds = Vec::new();
    let mut take = |mux: &mut Mux| {
        use bytes::Buf as _;
        mux.poll_transmit(Duration::ZERO, &mut out, 64 * 1024);
        out.copy_to_bytes(out.remaining()).to_vec()
    };
    let key = mux.open("remuda/work/1", Priority::Calls).expect("a name");
    mux.enqueue(key, Bytes::from_static(b"hello")).expect("open");
    mux.finish(key).expect("open");
    let call = take(&mut mux);
    let bulk = mux.open("remuda/output/1", Priority::Bulk).expect("a name");
    mux.enqueue(bulk, vec![7; 3000].into()).expect("open");
    let data = take(&mut mux);
    mux.reset(bulk, 3, "gone");
    let reset = take(&mut mux);
    mux.close(1, "bye");
    let farewell = take(&mut mux);
    seeds.push([call.clone(), data.clone(), reset, farewell].concat());
    seeds.push(call);
    seeds.push(data);
    // A ping, a pong and credit for a stream of ours.
    seeds.push(b"\0\0\0\x08\x05\0\0\0\0\x0012345678\0\0\0\x08\x06\0\0\0\0\x0012345678".to_vec());
    seeds.push(b"\0\0\0\x04\x03\0\0\0\0\x02\0\x01\0\0".to_vec());
    seeds
}
