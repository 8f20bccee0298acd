//! A peer that does not keep to the protocol.

use proptest::prelude::*;

use super::*;
use crate::frame::FrameError;

fn listener() -> Mux {
    quiet(Side::Listener, SMALL)
}

fn after(bytes: &[&[u8]]) -> ProtocolError {
    let mut mux = listener();
    let (last, first) = bytes.split_last().expect("something comes");
    for part in first {
        input(&mut mux, part).expect("so far so good");
    }
    input(&mut mux, last).expect_err("this is too much")
}

const OPEN: &[u8] = b"\0\0\0\x02\x01\0\0\0\0\x01\x01x";

#[test]
fn every_breach_has_a_name() {
    let data: &dyn Fn(&[u8; 10], usize) -> Vec<u8> =
        &|header, length| [&header[..], &vec![0; length]].concat();
    let cases: &[(&[&[u8]], ProtocolError)] = &[
        (&[b"\0\x01\0\x01\x02\0\0\0\0\x01"], FrameError::TooLong(65_537).into()),
        (&[b"\0\0\0\0\x09\0\0\0\0\x01"], FrameError::UnknownKind(9).into()),
        (&[b"\0\0\0\0\x02\x80\0\0\0\x01"], FrameError::UnknownFlags(2, 0x80).into()),
        (&[b"\0\0\0\0\x02\0\0\0\0\0"], FrameError::WrongStream(2, 0).into()),
        (&[b"\0\0\0\x02\x01\0\0\0\0\x02\x01x"], ProtocolError::WrongSide(2)),
        (&[OPEN, OPEN], ProtocolError::OpenedTwice(1)),
        (&[b"\0\0\0\x02\x01\0\0\0\0\x05\x01x", OPEN], ProtocolError::OpenedTwice(1)),
        (&[b"\0\0\0\x01\x02\0\0\0\0\x01x"], ProtocolError::NeverOpened(1)),
        (&[b"\0\0\0\x01\x02\0\0\0\0\x02x"], ProtocolError::NeverOpened(2)),
        (
            &[OPEN, b"\0\0\0\0\x02\x01\0\0\0\x01", b"\0\0\0\x01\x02\0\0\0\0\x01x"],
            ProtocolError::AfterEnd(1),
        ),
        (&[OPEN, &data(b"\0\0\x03\xE9\x02\0\0\0\0\x01", 1001)], ProtocolError::BeyondCredit(1)),
        (
            &[&data(b"\0\0\x03\xEB\x01\0\0\0\0\x01", 0), &[1, b'x'], &[0; 1001]],
            ProtocolError::BeyondCredit(1),
        ),
        (&[OPEN, b"\0\0\0\0\x02\0\0\0\0\x01"], ProtocolError::Payload(1)),
        (&[OPEN, b"\0\0\0\x04\x03\0\0\0\0\x01\xFF\xFF\xFF\xFF"], ProtocolError::CreditOverflow(1)),
        (&[OPEN, b"\0\0\0\x04\x03\0\0\0\0\x01\0\0\0\0"], ProtocolError::Payload(1)),
        (&[OPEN, b"\0\0\0\x03\x03\0\0\0\0\x01\0\0\0"], ProtocolError::Payload(1)),
        (&[OPEN, b"\0\0\0\x04\x04\0\0\0\0\x01\0\0\0\x01"], ProtocolError::Payload(1)),
        (&[OPEN, b"\0\0\0\x03\x04\x03\0\0\0\x01\0\0\0"], ProtocolError::Payload(1)),
        (&[OPEN, b"\0\0\0\x05\x04\x03\0\0\0\x01\0\0\0\x01\xFF"], ProtocolError::Payload(1)),
        (&[OPEN, &data(b"\0\0\x04\x05\x04\x03\0\0\0\x01", 1029)], ProtocolError::Payload(1)),
        (&[b"\0\0\0\0\x01\0\0\0\0\x01"], ProtocolError::Payload(1)),
        (&[b"\0\0\0\x01\x01\0\0\0\0\x01\0"], ProtocolError::Payload(1)),
        (&[b"\0\0\0\x02\x01\0\0\0\0\x01\x02x"], ProtocolError::Payload(1)),
        (&[b"\0\0\0\x02\x01\0\0\0\0\x01\x01\xFF"], ProtocolError::Payload(1)),
        (&[b"\0\0\0\x01\x05\0\0\0\0\0x"], ProtocolError::Payload(0)),
    ];
    for (number, (bytes, error)) in cases.iter().enumerate() {
        // Whole cases in one piece: parts that are no whole frames follow each other.
        let joined = bytes.concat();
        assert_eq!(after(&[&joined]), *error, "case {number}");
    }
}

#[test]
fn a_length_is_refused_before_its_bytes_come() {
    let mut buffer = BytesMut::from(&b"\xFF\xFF\xFF\xFF\x02\0\0\0\0\x01"[..]);
    assert!(listener().receive(Duration::ZERO, &mut buffer).is_err());
    assert!(buffer.capacity() < 1000);
}

#[test]
fn streams_beyond_the_limit_are_refused_and_the_others_go_on() {
    let mut mux = listener();
    for number in [1, 3, 5, 7, 9] {
        input(&mut mux, &[0, 0, 0, 2, 1, 0, 0, 0, 0, number, 1, b'x']).expect("allowed");
    }
    let refusal = output(&mut mux);
    assert_eq!(refusal[..14], *b"\0\0\0\x1E\x04\x03\0\0\0\x09\0\0\0\x02");
    assert_eq!(std::iter::from_fn(|| mux.accept()).count(), 4);
    // What was sent before the refusal arrived is ignored.
    input(&mut mux, b"\0\0\0\x01\x02\0\0\0\0\x09x").expect("late");
}

#[test]
fn opening_and_resetting_without_end_is_a_flood() {
    let mut mux = listener();
    let mut worst = 0;
    let result = (0..1000_u16).try_for_each(|count| {
        let [high, low] = (2 * count + 1).to_be_bytes();
        input(&mut mux, &[0, 0, 0, 2, 1, 0, 0, 0, high, low, 1, b'x'])?;
        worst = worst.max(mux.stream_count());
        input(&mut mux, &[0, 0, 0, 4, 4, 3, 0, 0, high, low, 0, 0, 0, 1])
    });
    assert_eq!(result, Err(ProtocolError::Flood));
    assert!(worst <= SMALL.max_streams);
    assert!(mux.accept().is_none(), "all of them were given up");
    assert_eq!(mux.stream_count(), 0);
}

#[test]
fn pings_without_end_hold_no_memory() {
    let mut mux = listener();
    for _ in 0..1000 {
        input(&mut mux, b"\0\0\0\x08\x05\0\0\0\0\0abcdefgh").expect("a ping");
    }
    assert!(output(&mut mux).len() <= 16 * 18);
}

#[test]
fn nothing_is_understood_after_go_away() {
    let mut mux = listener();
    input(&mut mux, b"\0\0\0\x07\x07\0\0\0\0\0\0\0\0\x06bye").expect("a farewell");
    input(&mut mux, b"nonsense, and more of it").expect("ignored");
    let reason = Reason { code: 6, text: "bye".to_owned() };
    assert_eq!(events(&mut mux), [Event::GoAway(reason)]);
}

fn frame_like() -> impl Strategy<Value = Vec<u8>> {
    (0..80_u16, 0..9_u8, 0..8_u8, 0..12_u8, prop::collection::vec(any::<u8>(), 80)).prop_map(
        |(length, kind, flags, stream, payload)| {
            let [high, low] = length.to_be_bytes();
            let mut bytes = vec![0, 0, high, low, kind, flags, 0, 0, 0, stream];
            bytes.extend_from_slice(&payload[..usize::from(length)]);
            if kind == 1 && length > 0 {
                // Often a valid name, so that streams exist.
                bytes[10] = payload[0] % 4;
                for byte in &mut bytes[11..] {
                    *byte %= 128;
                }
            }
            bytes
        },
    )
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _named = input(&mut listener(), &bytes);
    }

    #[test]
    fn random_frames_never_panic(
        frames in prop::collection::vec((frame_like(), 0..6_u8), 0..60),
    ) {
        let mut mux = listener();
        let mut held = Vec::new();
        let own = mux.open("own", Priority::Bulk).expect("a name");
        mux.enqueue(own, vec![0; 3000].into()).expect("open");
        for (frame, then) in frames {
            if input(&mut mux, &frame).is_err() {
                mux.close(code::PROTOCOL, "");
            }
            match then {
                0 => drop(output(&mut mux)),
                1 => held.extend(mux.accept().map(|accepted| accepted.key)),
                2 => for key in &held { drop(mux.read(*key)) },
                3 => for key in &held { drop(mux.enqueue(*key, Bytes::from_static(b"abc"))) },
                4 => for key in held.drain(..) { release(&mut mux, key) },
                _ => drop(events(&mut mux)),
            }
        }
        for key in held {
            release(&mut mux, key);
        }
        release(&mut mux, own);
        output(&mut mux);
    }
}
