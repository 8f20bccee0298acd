//! Two sides joined by a pipe that loses nothing.

mod behaviour;
mod golden;
mod hostile;
mod random;

use bytes::{Buf, BytesMut};

use super::*;

pub(super) const SMALL: Config = Config {
    window: 1000,
    max_window: 4000,
    max_unread: 8000,
    send_buffer: 2000,
    max_unsent: 5000,
    max_streams: 4,
    ping_every: Duration::from_secs(5),
    dead_after: Duration::from_secs(15),
};

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Everything that a side wants to send, pings left out.
pub(super) fn output(mux: &mut Mux) -> Vec<u8> {
    output_at(mux, Duration::ZERO, usize::MAX)
}

pub(super) fn output_at(mux: &mut Mux, now: Duration, limit: usize) -> Vec<u8> {
    let mut batch = Batch::new(64);
    mux.poll_transmit(now, &mut batch, limit);
    batch.copy_to_bytes(batch.remaining()).to_vec()
}

/// A side that has sent its first ping already.
pub(super) fn quiet(side: Side, config: Config) -> Mux {
    let mut mux = Mux::new(side, config);
    let ping = output(&mut mux);
    assert_eq!(ping.len(), 18);
    mux
}

pub(super) fn input(mux: &mut Mux, bytes: &[u8]) -> Result<(), ProtocolError> {
    mux.receive(Duration::ZERO, &mut BytesMut::from(bytes))
}

pub(super) fn pair(config: Config) -> (Mux, Mux) {
    (quiet(Side::Dialer, config), quiet(Side::Listener, config))
}

/// Carries bytes both ways until nobody has anything to say.
pub(super) fn exchange(a: &mut Mux, b: &mut Mux) {
    loop {
        let (there, back) = (output(a), output(b));
        if there.is_empty() && back.is_empty() {
            return;
        }
        input(b, &there).expect("a keeps to the protocol");
        input(a, &back).expect("b keeps to the protocol");
    }
}

pub(super) fn events(mux: &mut Mux) -> Vec<Event> {
    std::iter::from_fn(|| mux.poll_event()).collect()
}

/// Reads what is there: the bytes, and how it ends.
pub(super) fn drain(mux: &mut Mux, key: Key) -> (Vec<u8>, Read) {
    let mut all = Vec::new();
    loop {
        match mux.read(key) {
            Read::Chunk { bytes, last } => {
                assert!(!bytes.is_empty());
                all.extend_from_slice(&bytes);
                if last {
                    return (all, Read::End);
                }
            }
            end => return (all, end),
        }
    }
}

pub(super) fn put(mux: &mut Mux, key: Key, bytes: impl Into<Bytes>) {
    assert_eq!(mux.write(key, &mut bytes.into()), Ok(true));
}

pub(super) fn release(mux: &mut Mux, key: Key) {
    mux.release_send(key);
    mux.release_recv(key);
}
