//! Frames as bytes, good and bad.

use super::*;

#[test]
fn a_header_reads_as_it_was_written() {
    let header = Header { length: 7, kind: Kind::Open, flags: 0b101, stream: 0x0102_0304 };
    let mut bytes = Vec::new();
    header.write(&mut bytes);
    assert_eq!(bytes, [0, 0, 0, 7, 1, 0b101, 1, 2, 3, 4]);
    assert_eq!(Header::read(bytes.first_chunk().expect("whole")), Ok(header));
}

#[test]
fn the_first_bytes_are_checked() {
    let cases: &[([u8; HEADER], FrameError)] = &[
        ([0, 1, 0, 1, 2, 0, 0, 0, 0, 1], FrameError::TooLong(65_537)),
        ([255, 255, 255, 255, 2, 0, 0, 0, 0, 1], FrameError::TooLong(u32::MAX)),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 1], FrameError::UnknownKind(0)),
        ([0, 0, 0, 0, 8, 0, 0, 0, 0, 1], FrameError::UnknownKind(8)),
        ([0, 0, 0, 0, 2, 2, 0, 0, 0, 1], FrameError::UnknownFlags(2, 2)),
        ([0, 0, 0, 0, 2, 0, 0, 0, 0, 0], FrameError::WrongStream(2, 0)),
        ([0, 0, 0, 8, 5, 0, 0, 0, 0, 1], FrameError::WrongStream(5, 1)),
    ];
    for (bytes, error) in cases {
        assert_eq!(Header::read(bytes), Err(*error));
    }
    assert!(Header::read(&[0, 1, 0, 0, 2, 1, 0, 0, 0, 1]).is_ok(), "64 KiB are allowed");
}

#[test]
fn texts_are_cut_between_characters() {
    let text = "ü".repeat(600);
    assert_eq!(cut_text(&text).len(), 1024);
    let shifted = format!("x{text}");
    assert_eq!(cut_text(&shifted).len(), 1023);
    assert_eq!(cut_text("short"), "short");
}
