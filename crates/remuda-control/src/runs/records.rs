//! The file of a run's records: appended to in compressed blocks, read from the start.
//!
//! A block is its compressed length, its plain length (both u32, little endian), the CRC-32C of the
//! compressed bytes, and these bytes (LZ4), which are records in postcard's form, one after the
//! other. A block that was cut off by a crash ends the file.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use remuda_model::run::Record;

const HEADER: usize = 12;
/// The longest block that is believed: some records and one of the largest.
const MAX_BLOCK: u32 = 128 << 20;

/// Appends to the file.
#[derive(Debug)]
pub(super) struct RecordsWriter {
    file: File,
    length: u64,
    synced: bool,
}

impl RecordsWriter {
    /// Opens the file for more, after the blocks that are whole.
    pub(super) fn open(path: &Path, length: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.set_len(length)?;
        Ok(Self { file, length, synced: true })
    }

    /// How many bytes are whole blocks.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Adds a block, or nothing.
    pub(super) fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let mut plain = Vec::new();
        for record in records {
            plain = postcard::to_extend(record, plain).map_err(io::Error::other)?;
        }
        let packed = lz4_flex::block::compress(&plain);
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(io::Error::other);
        let mut block = Vec::with_capacity(HEADER + packed.len());
        block.extend(length(&packed)?.to_le_bytes());
        block.extend(length(&plain)?.to_le_bytes());
        block.extend(crc32c::crc32c(&packed).to_le_bytes());
        block.extend(packed);
        let written = io::Seek::seek(&mut self.file, io::SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(&block));
        if let Err(error) = written {
            // Half a block would hide those that come after it.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += block.len() as u64;
        self.synced = false;
        Ok(())
    }

    /// Makes what was added survive a loss of power.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if !self.synced {
            self.file.sync_data()?;
            self.synced = true;
        }
        Ok(())
    }
}

/// Reads the file, block by block, as far as it is whole.
#[derive(Debug)]
pub(super) struct RecordsReader {
    path: PathBuf,
    file: Option<BufReader<File>>,
    length: u64,
}

impl RecordsReader {
    /// Nothing is read yet; the file may not be there yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None, length: 0 }
    }

    /// How many bytes were read as whole blocks.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The records of the next block below `end`, or `None` when there is no whole one (yet).
    pub(super) fn next(&mut self, end: u64) -> io::Result<Option<Vec<Record>>> {
        if self.length + HEADER as u64 > end {
            return Ok(None);
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => match File::open(&self.path) {
                Ok(file) => self.file.insert(BufReader::with_capacity(256 << 10, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let mut header = [0; HEADER];
        if !read_all(file, &mut header)? {
            return Ok(None);
        }
        let number = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let (packed_length, plain_length, check) = (number(0), number(4), number(8));
        let left = end - self.length - HEADER as u64;
        if u64::from(packed_length) > left || plain_length > MAX_BLOCK {
            return Ok(None);
        }
        let mut packed = vec![0; packed_length as usize];
        if !read_all(file, &mut packed)? || crc32c::crc32c(&packed) != check {
            return Ok(None);
        }
        let plain = lz4_flex::block::decompress(&packed, plain_length as usize);
        let plain = plain.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.length += HEADER as u64 + u64::from(packed_length);
        let mut rest = plain.as_slice();
        let mut records = Vec::new();
        while !rest.is_empty() {
            let (record, after) = postcard::take_from_bytes(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            records.push(record);
            rest = after;
        }
        Ok(Some(records))
    }
}

/// Whether there was enough.
fn read_all(file: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use remuda_model::run::{Outcome, Trouble, TroubleKind};

    use super::*;

    fn record(index: u32) -> Record {
        let trouble = Trouble::new(TroubleKind::Refused, "nobody listens");
        Record::without_answer(index, Outcome::Failed, trouble)
    }

    fn read(path: &Path) -> (Vec<u32>, u64) {
        let end = fs::metadata(path).map_or(0, |meta| meta.len());
        let mut reader = RecordsReader::new(path.to_owned());
        let mut indices = Vec::new();
        while let Some(records) = reader.next(end).expect("it is readable") {
            indices.extend(records.iter().map(|record| record.index));
        }
        (indices, reader.length())
    }

    #[test]
    fn a_block_that_was_cut_off_is_written_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("records");
        assert_eq!(read(&path), (vec![], 0));
        let mut writer = RecordsWriter::open(&path, 0).expect("it opens");
        writer.append(&[record(0), record(1)]).expect("it is written");
        let one = writer.length();
        writer.append(&[record(2)]).expect("it is written");
        writer.sync().expect("it is synced");
        assert_eq!(read(&path).0, [0, 1, 2]);
        let whole = fs::read(&path).expect("it is there");
        for cut in usize::try_from(one).expect("small")..whole.len() {
            fs::write(&path, &whole[..cut]).expect("it is written");
            assert_eq!(read(&path), (vec![0, 1], one), "cut at {cut}");
        }
        let mut damaged = whole.clone();
        *damaged.last_mut().expect("bytes") ^= 1;
        fs::write(&path, damaged).expect("it is written");
        assert_eq!(read(&path), (vec![0, 1], one));
        let mut writer = RecordsWriter::open(&path, one).expect("it opens");
        writer.append(&[record(3)]).expect("it is written");
        assert_eq!(read(&path).0, [0, 1, 3]);
    }
}
