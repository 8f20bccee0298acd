//! The files of a run as they are copied to its standby: read in pieces, written where they belong.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use remuda_wire::message::copy::{Growing, Whole};

use super::dir::{RunDir, private};

/// How much of a file is read at a time.
const PIECE: usize = 256 << 10;

impl RunDir {
    fn growing(&self, part: Growing) -> PathBuf {
        self.path().join(match part {
            Growing::Targets => "targets",
            Growing::Given => "given",
            Growing::Records => "records",
        })
    }

    fn whole(&self, part: Whole) -> PathBuf {
        self.path().join(match part {
            Whole::Secrets => "secrets.json",
            Whole::State => "run.json",
        })
    }

    /// How long a file is; one that is not there has no bytes.
    pub(super) fn length(&self, part: Growing) -> io::Result<u64> {
        match fs::metadata(self.growing(part)) {
            Ok(meta) => Ok(meta.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// The CRC-32C of the first bytes of a file; `None` when there are fewer.
    pub(super) fn check(&self, part: Growing, length: u64) -> io::Result<Option<u32>> {
        if length == 0 {
            return Ok(Some(0));
        }
        if self.length(part)? < length {
            return Ok(None);
        }
        let mut file = File::open(self.growing(part))?.take(length);
        let (mut sum, mut piece) = (0, vec![0; PIECE]);
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                return Ok(Some(sum));
            }
            sum = crc32c::crc32c_append(sum, &piece[..read]);
        }
    }

    /// What a file has from here on, up to `end` and no more than a piece.
    pub(super) fn piece(&self, part: Growing, offset: u64, end: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(end - offset).unwrap_or(PIECE).min(PIECE);
        let mut bytes = vec![0; length];
        let mut file = File::open(self.growing(part))?;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// All of a file that is written whole; nothing when it is not there.
    pub(super) fn all_of(&self, part: Whole) -> io::Result<Vec<u8>> {
        match fs::read(self.whole(part)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read,
        }
    }

    /// Writes into a file that only grows; what it had from here on is cut off.
    pub(super) fn append(&self, part: Growing, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let path = self.growing(part);
        let mut file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        if file.metadata()?.len() < offset {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a piece is missing before it",
            ));
        }
        file.set_len(offset)?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }

    /// Makes what was appended survive a loss of power.
    pub(super) fn sync(&self) -> io::Result<()> {
        for part in Growing::ALL {
            match File::open(self.growing(part)) {
                Ok(file) => file.sync_data()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        File::open(self.path())?.sync_all()
    }

    /// Writes a file whole; one without content is not there.
    pub(super) fn replace(&self, part: Whole, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return match fs::remove_file(self.whole(part)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            };
        }
        let temporary = self.path().join("copy.tmp");
        let mut file = private(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, self.whole(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_made_in_pieces_and_begun_again_where_it_differs() {
        let home = tempfile::tempdir().expect("a directory");
        let dirs = ["a", "b"].map(|name| RunDir::of(home.path(), &name.parse().expect("an id")));
        for dir in &dirs {
            fs::create_dir(dir.path()).expect("it is made");
        }
        let [from, to] = dirs;
        let bytes: Vec<u8> = (0..=250).cycle().take(PIECE * 2 + 5).collect();
        from.append(Growing::Records, 0, &bytes).expect("it is written");
        let end = from.length(Growing::Records).expect("it is there");
        let mut offset = 0;
        while offset < end {
            let piece = from.piece(Growing::Records, offset, end).expect("it is read");
            to.append(Growing::Records, offset, &piece).expect("it is written");
            offset += piece.len() as u64;
        }
        let check = |dir: &RunDir, length| dir.check(Growing::Records, length).expect("readable");
        assert_eq!(check(&from, end), check(&to, end));
        assert_eq!(check(&to, end + 1), None);
        to.append(Growing::Records, 7, b"other").expect("it is written");
        assert_eq!(to.length(Growing::Records).expect("it is there"), 12);
        assert_ne!(check(&from, 12), check(&to, 12));
        assert_eq!(check(&from, 7), check(&to, 7));
        let gap = to.append(Growing::Records, 13, b"gap").expect_err("a byte is missing");
        assert_eq!(gap.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(to.length(Growing::Given).expect("none is none"), 0);
    }
}
