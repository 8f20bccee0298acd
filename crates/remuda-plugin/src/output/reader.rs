//! The reading side, used by whoever shows the output.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};

use remuda_model::TaskEnd;
use tokio::sync::watch;

use super::{
    OutputLog, OutputState,
    segment::{HEADER, MAX_PIECE, Source, boundary, file_name, frame_header, starts},
};

/// What a reader meets next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputPiece {
    /// Bytes that the task wrote, at most 64 KiB.
    Data {
        /// Which output.
        source: Source,
        /// The bytes; never empty.
        bytes: Vec<u8>,
        /// The offset after them, from which another reader may go on.
        next: u64,
    },
    /// A part of the record is no longer kept, or was lost in a crash.
    Dropped {
        /// How many bytes of the record.
        bytes: u64,
    },
    /// The task has ended and this was all.
    End(TaskEnd),
    /// All that there is for now. Only said to readers that do not follow.
    UpToDate,
}

/// Reads the output record of a task, piece by piece.
#[derive(Debug)]
pub struct OutputReader {
    dir: Arc<Path>,
    state: watch::Receiver<OutputState>,
    follow: bool,
    offset: u64,
    segment: Option<Segment>,
}

impl OutputReader {
    /// A reader that begins at an offset; 0 is the oldest that is kept. With `follow` it waits for
    /// more until the task has ended.
    pub fn new(log: &OutputLog, offset: u64, follow: bool) -> Self {
        Self {
            dir: log.dir.as_path().into(),
            state: log.state.clone(),
            follow,
            offset,
            segment: None,
        }
    }

    /// Where the next piece begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next piece. Never reads beyond the length that the log says; an offset inside a frame
    /// is taken as the start of the following one.
    ///
    /// # Errors
    ///
    /// When the files cannot be read, or when nobody watches the task any more although it has not
    /// ended, because the agent shuts down.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped: the next call begins at the same offset.
    pub async fn next(&mut self) -> io::Result<OutputPiece> {
        loop {
            let OutputState { len, end } = self.state.borrow_and_update().clone();
            if self.offset < len {
                return self.read(len).await;
            }
            match end {
                Some(end) => return Ok(OutputPiece::End(end)),
                None if !self.follow => return Ok(OutputPiece::UpToDate),
                None => self.state.changed().await.map_err(|_closed| {
                    io::Error::new(io::ErrorKind::BrokenPipe, "the task is not watched any more")
                })?,
            }
        }
    }

    async fn read(&mut self, len: u64) -> io::Result<OutputPiece> {
        let (dir, offset, segment) = (self.dir.clone(), self.offset, self.segment.clone());
        let step = tokio::task::spawn_blocking(move || step(&dir, offset, len, segment));
        match step.await.map_err(io::Error::other)?? {
            Step::Data { source, bytes, next, segment } => {
                self.offset = next;
                self.segment = Some(segment);
                Ok(OutputPiece::Data { source, bytes, next })
            }
            Step::Dropped { next } => {
                let bytes = next - self.offset;
                self.offset = next;
                self.segment = None;
                Ok(OutputPiece::Dropped { bytes })
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Segment {
    start: u64,
    file: Arc<File>,
}

enum Step {
    Data { source: Source, bytes: Vec<u8>, next: u64, segment: Segment },
    Dropped { next: u64 },
}

/// Reads at an offset below the committed length.
fn step(dir: &Path, offset: u64, len: u64, known: Option<Segment>) -> io::Result<Step> {
    // The segment of the last step is a boundary by construction; what it lacks is in the next.
    if let Some(segment) = known
        && let Some(step) = frames(&segment, offset, len)?
    {
        return Ok(step);
    }
    let segments = starts(dir)?;
    let after = segments.partition_point(|&start| start <= offset);
    // What lies between `offset` and the next segment cannot be had.
    let gap = Step::Dropped { next: segments.get(after).copied().unwrap_or(len).min(len) };
    let Some(&start) = after.checked_sub(1).and_then(|at| segments.get(at)) else {
        return Ok(gap);
    };
    let file = match File::open(dir.join(file_name(start))) {
        Ok(file) => Arc::new(file),
        // Dropped by the writer since the folder was listed, as is all before the next segment.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(gap),
        Err(error) => return Err(error),
    };
    let aligned = start + boundary(&file, offset - start)?;
    if aligned > offset {
        return Ok(Step::Dropped { next: aligned.min(len) });
    }
    if aligned < offset {
        return Ok(gap);
    }
    Ok(frames(&Segment { start, file }, offset, len)?.unwrap_or(gap))
}

/// The frames at an offset, joined as long as they are of one source. `None` when the segment has
/// no whole frame there.
fn frames(segment: &Segment, offset: u64, len: u64) -> io::Result<Option<Step>> {
    let room = usize::try_from(len - offset).unwrap_or(usize::MAX).min(HEADER + MAX_PIECE);
    let mut raw = vec![0; room];
    let mut filled = 0;
    while filled < raw.len() {
        let at = offset - segment.start + filled as u64;
        match segment.file.read_at(&mut raw[filled..], at) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    raw.truncate(filled);
    let mut bytes = Vec::new();
    let mut from = None;
    let mut used = 0;
    while let Some((source, size)) = frame_header(&raw[used..])
        && let Some(payload) = raw.get(used + HEADER..used + HEADER + size)
        && *from.get_or_insert(source) == source
    {
        bytes.extend_from_slice(payload);
        used += HEADER + size;
    }
    let next = offset + used as u64;
    Ok((used > 0).then_some(()).and(from).map(|source| Step::Data {
        source,
        bytes,
        next,
        segment: segment.clone(),
    }))
}
