//! The writing side, used by whoever holds the process.

use std::{
    collections::VecDeque,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
};

use super::segment::{HEADER, MAX_PIECE, Source, boundary, file_name, put_frame, starts};

/// How much of a record is kept unless said otherwise: 64 MiB.
pub const DEFAULT_MAX_BYTES: u64 = 64 * 1024 * 1024;

const SEGMENT: u64 = 4 * 1024 * 1024;
const FRAME: u64 = (HEADER + MAX_PIECE) as u64;

/// Appends output to a record and drops its oldest segments when it grows too long.
///
/// Blocking, for plain files. Every call writes through to the operating system, so that nothing
/// is lost when the writer is killed; it does not wait for the disk.
#[derive(Debug)]
pub struct OutputWriter {
    dir: PathBuf,
    max_bytes: u64,
    segment_bytes: u64,
    /// Where the segments begin, oldest first.
    segments: VecDeque<u64>,
    /// The newest segment, once something was written to it.
    current: Option<File>,
    len: u64,
    frame: Vec<u8>,
}

impl OutputWriter {
    /// Opens the record in `dir`, which is made when missing (mode 0700), and goes on after its
    /// last whole frame. At most `max_bytes` are kept, and at least 256 KiB.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made or read, or a torn tail cannot be cut off.
    pub fn open(dir: impl Into<PathBuf>, max_bytes: u64) -> io::Result<Self> {
        let dir = dir.into();
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let max_bytes = max_bytes.max(4 * 64 * 1024);
        let segment_bytes = (max_bytes / 4).min(SEGMENT);
        let segments = VecDeque::from(starts(&dir)?);
        let mut writer = Self {
            dir,
            max_bytes,
            segment_bytes,
            segments,
            current: None,
            len: 0,
            frame: Vec::new(),
        };
        if let Some(&start) = writer.segments.back() {
            let path = writer.dir.join(file_name(start));
            let mut file = OpenOptions::new().read(true).write(true).open(path)?;
            let whole = boundary(&file, u64::MAX)?;
            file.set_len(whole)?;
            file.seek(SeekFrom::Start(whole))?;
            writer.current = Some(file);
            writer.len = start + whole;
        }
        Ok(writer)
    }

    /// How long the record is, from the start of the task: the length that readers may read.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends bytes, in as many frames as they need.
    ///
    /// # Errors
    ///
    /// When the disk is full or broken. The record then ends before the frame that failed, and a
    /// later call may succeed.
    pub fn append(&mut self, source: Source, bytes: &[u8]) -> io::Result<()> {
        for payload in bytes.chunks(MAX_PIECE) {
            let size = (HEADER + payload.len()) as u64;
            let used = self.segments.back().map_or(0, |start| self.len - start);
            if self.current.is_none() || used + size > self.segment_bytes.max(FRAME) {
                self.next_segment()?;
            }
            let mut frame = std::mem::take(&mut self.frame);
            frame.clear();
            put_frame(&mut frame, source, payload);
            let written = self.write(&frame);
            // Memory is needed while something is written only: there may be many quiet tasks.
            if frame.capacity() <= 1024 {
                self.frame = frame;
            }
            written?;
            self.len += size;
        }
        Ok(())
    }

    fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let file = self.current.as_mut().expect("a segment was opened");
        let written = file.write_all(frame);
        if written.is_err() {
            // Cuts off what was half written. When that fails too, the next append writes to a
            // segment of its own, and readers skip the torn frame.
            let start = self.segments.back().copied().unwrap_or_default();
            let whole = self.len - start;
            if file.set_len(whole).and_then(|()| file.seek(SeekFrom::Start(whole))).is_err() {
                self.current = None;
            }
        }
        written
    }

    fn next_segment(&mut self) -> io::Result<()> {
        let room = self.max_bytes - self.segment_bytes.min(self.max_bytes);
        while let Some(&oldest) = self.segments.front()
            && self.len - oldest > room
        {
            match fs::remove_file(self.dir.join(file_name(oldest))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.segments.pop_front(),
            };
        }
        let path = self.dir.join(file_name(self.len));
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        if self.segments.back() != Some(&self.len) {
            self.segments.push_back(self.len);
        }
        self.current = Some(file);
        Ok(())
    }
}
