//! The bytes of each kind of frame. They never change within a version of the protocol.

use super::*;

fn dialer() -> Mux {
    quiet(Side::Dialer, Config::default())
}

#[test]
fn ping() {
    let mut mux = Mux::new(Side::Dialer, Config::default());
    assert_eq!(output(&mut mux), *b"\0\0\0\x08\x05\0\0\0\0\0\0\0\0\0\0\0\0\x01");
}

#[test]
fn pong() {
    let mut mux = dialer();
    input(&mut mux, b"\0\0\0\x08\x05\0\0\0\0\0abcdefgh").expect("a ping");
    assert_eq!(output(&mut mux), *b"\0\0\0\x08\x06\0\0\0\0\0abcdefgh");
}

#[test]
fn a_call_is_one_frame_each_way() {
    let (mut a, mut b) = pair(Config::default());
    let call = a.open("p/1", Priority::Calls).expect("a name");
    put(&mut a, call, "hi");
    a.finish(call).expect("open");
    let frame = output(&mut a);
    assert_eq!(frame, *b"\0\0\0\x06\x01\x03\0\0\0\x01\x03p/1hi");
    input(&mut b, &frame).expect("a call");

    let accepted = b.accept().expect("it was opened");
    assert_eq!((accepted.protocol.as_str(), accepted.priority), ("p/1", Priority::Calls));
    assert_eq!(drain(&mut b, accepted.key), (b"hi".to_vec(), Read::End));
    put(&mut b, accepted.key, "yes");
    b.finish(accepted.key).expect("open");
    let frame = output(&mut b);
    assert_eq!(frame, *b"\0\0\0\x03\x02\x01\0\0\0\x01yes");
    input(&mut a, &frame).expect("an answer");
    assert_eq!(drain(&mut a, call), (b"yes".to_vec(), Read::End));
}

#[test]
fn open_carries_each_priority() {
    for (priority, flags) in Priority::ALL.into_iter().zip([0, 2, 4, 6]) {
        let mut mux = quiet(Side::Listener, Config::default());
        mux.open("x", priority);
        assert_eq!(output(&mut mux), [0, 0, 0, 2, 1, flags, 0, 0, 0, 2, 1, b'x']);
    }
}

#[test]
fn data_and_fin() {
    let mut mux = dialer();
    let key = mux.open("x", Priority::Bulk).expect("a name");
    output(&mut mux);
    put(&mut mux, key, "abc");
    assert_eq!(output(&mut mux), *b"\0\0\0\x03\x02\0\0\0\0\x01abc");
    mux.finish(key).expect("open");
    assert_eq!(output(&mut mux), *b"\0\0\0\0\x02\x01\0\0\0\x01");
}

#[test]
fn credit() {
    let mut mux = quiet(Side::Listener, SMALL);
    let mut open = b"\0\0\x01\xF6\x01\x06\0\0\0\x01\x01x".to_vec();
    open.resize(512, 7);
    input(&mut mux, &open).expect("500 bytes");
    let key = mux.accept().expect("it was opened").key;
    drain(&mut mux, key);
    // What was read, and as much again as the window, because the reader keeps up.
    assert_eq!(output(&mut mux), *b"\0\0\0\x04\x03\0\0\0\0\x01\0\0\x05\xDC");
}

#[test]
fn reset() {
    let mut mux = dialer();
    let key = mux.open("x", Priority::Bulk).expect("a name");
    output(&mut mux);
    mux.reset(key, 300, "no");
    assert_eq!(output(&mut mux), *b"\0\0\0\x06\x04\x01\0\0\0\x01\0\0\x01\x2Cno");
    mux.stop(key, 1, "");
    assert_eq!(output(&mut mux), *b"\0\0\0\x04\x04\x02\0\0\0\x01\0\0\0\x01");
}

#[test]
fn both_directions_end_in_one_frame() {
    let mut mux = dialer();
    let key = mux.open("x", Priority::Bulk).expect("a name");
    output(&mut mux);
    mux.reset(key, 9, "no");
    mux.stop(key, 9, "no");
    assert_eq!(output(&mut mux), *b"\0\0\0\x06\x04\x03\0\0\0\x01\0\0\0\x09no");
}

#[test]
fn go_away() {
    let mut mux = dialer();
    mux.close(code::CLOSED, "bye");
    assert_eq!(output(&mut mux), *b"\0\0\0\x07\x07\0\0\0\0\0\0\0\0\x06bye");
    assert_eq!(output(&mut mux), b"");
}
