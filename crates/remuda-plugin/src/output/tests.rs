//! Writing and reading output records, whole and torn.

use std::{fs, path::Path};

use proptest::prelude::*;
use remuda_model::{ExitStatus, TaskEnd};
use tokio::sync::watch;

use super::{
    segment::{HEADER, file_name, starts},
    *,
};

fn ended() -> TaskEnd {
    TaskEnd::Exited { status: ExitStatus::Code(0), stopped: false, timed_out: false }
}

/// All pieces of a record from an offset on, with the offset before each.
fn read(dir: &Path, offset: u64) -> Vec<(u64, OutputPiece)> {
    let log = OutputLog::left_behind(dir, ended()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut reader = log.read_from(offset, true);
        let mut pieces = Vec::new();
        loop {
            let at = reader.offset();
            match reader.next().await.unwrap() {
                OutputPiece::End(end) => {
                    assert_eq!(end, ended());
                    return pieces;
                }
                piece => pieces.push((at, piece)),
            }
        }
    })
}

/// What was written, frame borders forgotten: runs of bytes of one source.
fn runs(pieces: impl IntoIterator<Item = (Source, Vec<u8>)>) -> Vec<(Source, Vec<u8>)> {
    let mut runs: Vec<(Source, Vec<u8>)> = Vec::new();
    for (source, bytes) in pieces {
        match runs.last_mut() {
            Some((last, run)) if *last == source => run.extend(bytes),
            _ if bytes.is_empty() => {}
            _ => runs.push((source, bytes)),
        }
    }
    runs
}

fn data(pieces: Vec<(u64, OutputPiece)>) -> Vec<(Source, Vec<u8>)> {
    runs(pieces.into_iter().map(|(_, piece)| match piece {
        OutputPiece::Data { source, bytes, .. } => {
            assert!((1..=MAX_PIECE).contains(&bytes.len()));
            (source, bytes)
        }
        other => panic!("only data was expected, not {other:?}"),
    }))
}

fn a_write() -> impl Strategy<Value = (Source, Vec<u8>)> {
    let source = prop_oneof![Just(Source::Stdout), Just(Source::Stderr)];
    let size = prop_oneof![0..40_usize, 0..200_000_usize];
    (source, size, any::<u8>()).prop_map(|(source, size, seed)| {
        let bytes = (0..size).map(|at| seed.wrapping_add(u8::try_from(at % 251).unwrap()));
        (source, bytes.collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read_from_any_offset_that_was_given(
        writes in prop::collection::vec(a_write(), 0..30),
        reopen_at in 0..30_usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = OutputWriter::open(dir.path(), 256 * 1024 * 1024).unwrap();
        for (at, (source, bytes)) in writes.iter().enumerate() {
            if at == reopen_at {
                let before = writer.len();
                writer = OutputWriter::open(dir.path(), 256 * 1024 * 1024).unwrap();
                prop_assert_eq!(writer.len(), before);
            }
            writer.append(*source, bytes).unwrap();
        }
        let pieces = read(dir.path(), 0);
        let offsets: Vec<u64> = pieces.iter().map(|(at, _)| *at).collect();
        for (index, offset) in offsets.iter().enumerate() {
            prop_assert_eq!(data(read(dir.path(), *offset)), data(pieces[index..].to_vec()));
        }
        prop_assert_eq!(data(pieces), runs(writes));
    }

    #[test]
    fn the_newest_output_is_kept_within_the_cap(
        writes in prop::collection::vec(a_write(), 0..40),
        offset in 0..3_000_000_u64,
    ) {
        const CAP: u64 = 512 * 1024;
        let dir = tempfile::tempdir().unwrap();
        let mut writer = OutputWriter::open(dir.path(), CAP).unwrap();
        for (source, bytes) in &writes {
            writer.append(*source, bytes).unwrap();
        }
        let on_disk: u64 =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        prop_assert!(on_disk <= CAP, "{} bytes are kept", on_disk);

        // From the start: at most one gap, then all that is left, which is the end of what was written.
        let mut pieces = read(dir.path(), 0);
        if let Some((_, OutputPiece::Dropped { bytes })) = pieces.first() {
            prop_assert_eq!(*bytes + on_disk, writer.len());
            pieces.remove(0);
        } else {
            prop_assert_eq!(on_disk, writer.len());
        }
        let kept: Vec<u8> = data(pieces).into_iter().flat_map(|(_, bytes)| bytes).collect();
        let written: Vec<u8> = writes.into_iter().flat_map(|(_, bytes)| bytes).collect();
        prop_assert!(written.ends_with(&kept));

        // From anywhere: never an error, and every byte of the record is accounted for.
        let mut at = offset;
        for (before, piece) in read(dir.path(), offset) {
            prop_assert_eq!(before, at);
            at = match piece {
                OutputPiece::Data { next, .. } => next,
                OutputPiece::Dropped { bytes } => at + bytes,
                other => panic!("{other:?}"),
            };
        }
        prop_assert_eq!(at, writer.len().max(offset));
    }

    #[test]
    fn any_bytes_in_a_segment_are_read_without_panic(
        junk in prop::collection::vec(any::<u8>(), 0..400),
        start in prop_oneof![Just(0_u64), 1..50_u64],
        offset in 0..500_u64,
    ) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(file_name(start)), &junk).unwrap();
        let (_state, state) = watch::channel(OutputState { len: 450, end: Some(ended()) });
        let log = OutputLog { dir: dir.path().to_owned(), state };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut reader = log.read_from(offset, false);
            while reader.offset() < 450 {
                let before = reader.offset();
                reader.next().await.unwrap();
                assert!(reader.offset() > before, "a reader makes progress");
            }
        });
        OutputWriter::open(dir.path(), DEFAULT_MAX_BYTES).unwrap().append(Source::Stdout, b"x").unwrap();
    }
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_off_and_written_over() {
    for cut in 0..HEADER + 20 {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = OutputWriter::open(dir.path(), DEFAULT_MAX_BYTES).unwrap();
        writer.append(Source::Stdout, b"whole").unwrap();
        let whole = writer.len();
        writer.append(Source::Stderr, &[7; 20]).unwrap();
        drop(writer);
        let segment =
            fs::OpenOptions::new().write(true).open(dir.path().join(file_name(0))).unwrap();
        segment.set_len(whole + cut as u64).unwrap();

        assert_eq!(recorded_len(dir.path()).unwrap(), whole);
        assert_eq!(data(read(dir.path(), 0)), [(Source::Stdout, b"whole".to_vec())]);
        let mut writer = OutputWriter::open(dir.path(), DEFAULT_MAX_BYTES).unwrap();
        assert_eq!(writer.len(), whole);
        writer.append(Source::Stdout, b" again").unwrap();
        assert_eq!(data(read(dir.path(), 0)), [(Source::Stdout, b"whole again".to_vec())]);
    }
}

#[test]
fn zeros_that_a_crash_left_are_no_output() {
    let dir = tempfile::tempdir().unwrap();
    OutputWriter::open(dir.path(), DEFAULT_MAX_BYTES)
        .unwrap()
        .append(Source::Stdout, b"a")
        .unwrap();
    let segment = fs::OpenOptions::new().write(true).open(dir.path().join(file_name(0))).unwrap();
    segment.set_len(4096).unwrap();
    assert_eq!(recorded_len(dir.path()).unwrap(), HEADER as u64 + 1);
}

#[test]
fn a_folder_that_does_not_exist_is_a_task_without_output() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(read(&dir.path().join("none"), 0), []);
}

#[test]
fn a_lost_segment_in_the_middle_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = OutputWriter::open(dir.path(), 1024 * 1024).unwrap();
    for _ in 0..12 {
        writer.append(Source::Stdout, &vec![1; MAX_PIECE]).unwrap();
    }
    let segments = starts(dir.path()).unwrap();
    fs::remove_file(dir.path().join(file_name(segments[1]))).unwrap();
    let dropped: Vec<u64> = read(dir.path(), 0)
        .into_iter()
        .filter_map(|(_, piece)| match piece {
            OutputPiece::Dropped { bytes } => Some(bytes),
            _ => None,
        })
        .collect();
    assert_eq!(dropped, [segments[2] - segments[1]]);
}

#[tokio::test]
async fn a_reader_sees_only_what_is_committed_and_follows() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = OutputWriter::open(dir.path(), DEFAULT_MAX_BYTES).unwrap();
    let (sender, state) = watch::channel(OutputState::default());
    let log = OutputLog { dir: dir.path().to_owned(), state };

    writer.append(Source::Stdout, b"one").unwrap();
    let one = writer.len();
    writer.append(Source::Stdout, b"two").unwrap();
    let mut once = log.read_from(0, false);
    assert_eq!(once.next().await.unwrap(), OutputPiece::UpToDate);
    sender.send_modify(|state| state.len = one);
    let mut follower = log.read_from(0, true);
    let piece = |bytes: &[u8], next| OutputPiece::Data {
        source: Source::Stdout,
        bytes: bytes.to_vec(),
        next,
    };
    assert_eq!(once.next().await.unwrap(), piece(b"one", one));
    assert_eq!(follower.next().await.unwrap(), piece(b"one", one));

    let waiting = tokio::spawn(async move {
        let piece = follower.next().await.unwrap();
        (piece, follower)
    });
    sender.send_modify(|state| state.len = writer.len());
    let (next, mut follower) = waiting.await.unwrap();
    assert_eq!(next, piece(b"two", writer.len()));
    sender.send_modify(|state| state.end = Some(ended()));
    assert_eq!(follower.next().await.unwrap(), OutputPiece::End(ended()));

    let (sender, state) = watch::channel(OutputState::default());
    let mut orphan = OutputLog { dir: dir.path().to_owned(), state }.read_from(0, true);
    drop(sender);
    assert_eq!(orphan.next().await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_slow_reader_learns_what_was_dropped_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = OutputWriter::open(dir.path(), 256 * 1024).unwrap();
    let (sender, state) = watch::channel(OutputState::default());
    let mut reader = OutputLog { dir: dir.path().to_owned(), state }.read_from(0, true);
    let mut total = 0;
    for round in 0..40_u8 {
        writer.append(Source::Stdout, &vec![round; 30_000]).unwrap();
        sender.send_modify(|state| state.len = writer.len());
        // Reads one piece of each three that are written.
        if round % 3 == 0 {
            match reader.next().await.unwrap() {
                OutputPiece::Data { .. } => {}
                OutputPiece::Dropped { bytes } => total += bytes,
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(total > 0);
    assert!(reader.offset() <= writer.len());
}
