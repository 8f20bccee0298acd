//! Segment files and the frames in them.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    path::Path,
};

/// The most bytes that one frame, and so one piece of output, carries.
pub const MAX_PIECE: usize = 64 * 1024;

/// Bytes before the payload of a frame.
pub(super) const HEADER: usize = 5;

/// The extension of segment files.
const EXTENSION: &str = ".out";

/// Which of the two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Source {
    // Zero is no source, so that the zeros which a crashed file system may leave are no frame.
    fn to_byte(self) -> u8 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Stdout),
            2 => Some(Self::Stderr),
            _ => None,
        }
    }
}

/// Appends a frame to `out`.
pub(super) fn put_frame(out: &mut Vec<u8>, source: Source, payload: &[u8]) {
    let len = u32::try_from(payload.len()).expect("a frame is at most 64 KiB");
    out.push(source.to_byte());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(payload);
}

/// Reads the header of a frame: its source and the length of its payload. `None` when these bytes
/// begin no frame.
pub(super) fn frame_header(bytes: &[u8]) -> Option<(Source, usize)> {
    let [source, len @ ..] = bytes.first_chunk::<HEADER>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let source = Source::from_byte(*source)?;
    (1..=MAX_PIECE).contains(&len).then_some((source, len))
}

/// The name of the segment that begins at this offset of the record.
pub(super) fn file_name(start: u64) -> String {
    format!("{start:020}{EXTENSION}")
}

/// Where the segments in a folder begin, oldest first. A missing folder has none.
pub(super) fn starts(dir: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut starts = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let start = name.to_str().and_then(|name| name.strip_suffix(EXTENSION));
        starts.extend(start.and_then(|digits| digits.parse::<u64>().ok()));
    }
    starts.sort_unstable();
    Ok(starts)
}

/// The first frame boundary of a segment at or after the position `at`, or the end of its last
/// whole frame when there is none. What follows that end was torn by a crash.
pub(super) fn boundary(file: &File, at: u64) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(MAX_PIECE, file);
    let mut position = 0;
    let mut header = [0; HEADER];
    while position < at && size - position >= HEADER as u64 {
        reader.read_exact(&mut header)?;
        let Some((_, len)) = frame_header(&header) else { break };
        let next = position + (HEADER + len) as u64;
        if next > size {
            break;
        }
        reader.seek_relative(i64::try_from(len).expect("a frame is at most 64 KiB"))?;
        position = next;
    }
    Ok(position)
}

/// How long the record in a folder is, judged by its files: up to the last whole frame.
///
/// # Errors
///
/// When the folder or its last segment cannot be read. A missing folder is an empty record.
pub fn recorded_len(dir: &Path) -> io::Result<u64> {
    let Some(start) = starts(dir)?.pop() else { return Ok(0) };
    let file = File::open(dir.join(file_name(start)))?;
    Ok(start + boundary(&file, u64::MAX)?)
}
