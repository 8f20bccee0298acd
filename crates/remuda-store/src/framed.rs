//! Small files that are written whole and checked when read.
//!
//! Layout: 8 bytes that name the kind, format version (u32), CRC-32C of what follows it (u32),
//! length of the body (u64), body; numbers little endian.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use crate::{
    OpenError,
    disk::{self, Files},
};

const HEADER: usize = 24;

/// A kind of file, and its format: the one to write, or the newest one to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    magic: [u8; 8],
    format: u32,
}

impl Form {
    /// The first format of a kind.
    pub(crate) const fn first(magic: [u8; 8]) -> Self {
        Self { magic, format: 1 }
    }

    /// The format of this number.
    pub(crate) fn at(self, format: u16) -> Self {
        Self { format: format.into(), ..self }
    }
}

fn checksum(length: [u8; 8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length), body)
}

/// Writes the file so that after a crash either the old or the new one is there, whole.
pub(crate) fn write_in(files: &Files, path: &Path, form: Form, body: &[u8]) -> io::Result<()> {
    match files {
        Files::System => write(path, form, body),
        Files::Simulated(to) => {
            let length = u64::try_from(body.len()).map_err(io::Error::other)?.to_le_bytes();
            let check = checksum(length, body).to_le_bytes();
            let format = form.format.to_le_bytes();
            let parts: [&[u8]; 5] = [&form.magic, &format, &check, &length, body];
            to.replace(&disk::name(path), parts.concat())
        }
    }
}

/// As [`write_in`], in a directory.
pub(crate) fn write(path: &Path, form: Form, body: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| io::Error::other("a file has a directory"))?;
    let temporary = path.with_extension("tmp");
    let length = u64::try_from(body.len()).map_err(io::Error::other)?.to_le_bytes();
    let mut file = File::create(&temporary)?;
    file.write_all(&form.magic)?;
    file.write_all(&form.format.to_le_bytes())?;
    file.write_all(&checksum(length, body).to_le_bytes())?;
    file.write_all(&length)?;
    file.write_all(body)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_dir(dir)
}

/// Makes renames and new files in the directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Reads the body; `None` when there is no such file.
pub(crate) fn read_in(
    files: &Files,
    path: &Path,
    form: Form,
) -> Result<Option<Vec<u8>>, OpenError> {
    let Files::Simulated(disk) = files else { return read(path, form) };
    let bytes = disk.read(&disk::name(path));
    let bytes = bytes.map_err(|source| OpenError::Io { path: path.into(), source })?;
    bytes.map(|bytes| body(path, form, bytes)).transpose()
}

/// As [`read_in`], from a directory.
pub(crate) fn read(path: &Path, form: Form) -> Result<Option<Vec<u8>>, OpenError> {
    match fs::read(path) {
        Ok(bytes) => body(path, form, bytes).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenError::Io { path: path.into(), source }),
    }
}

/// Checks the bytes of a whole file and leaves its body.
fn body(path: &Path, form: Form, mut bytes: Vec<u8>) -> Result<Vec<u8>, OpenError> {
    let corrupt = |what: &str| OpenError::Corrupt { file: path.into(), what: what.to_owned() };
    let header: [u8; HEADER] = bytes
        .get(..HEADER)
        .and_then(|header| header.try_into().ok())
        .ok_or_else(|| corrupt("it is too short"))?;
    let (kind, rest) = header.split_at(8);
    if kind != form.magic {
        return Err(corrupt("it is no file of this kind"));
    }
    let number = |at: usize| {
        rest.iter().skip(at).take(4).rev().fold(0_u32, |value, byte| value << 8 | u32::from(*byte))
    };
    let version = number(0);
    let body = bytes.split_off(HEADER);
    let length = u64::try_from(body.len()).unwrap_or(u64::MAX).to_le_bytes();
    if rest.get(8..) != Some(length.as_slice()) {
        return Err(corrupt("its length is not what it says"));
    }
    if number(4) != checksum(length, &body) {
        return Err(corrupt("its checksum does not match"));
    }
    if !(1..=form.format).contains(&version) {
        return Err(OpenError::Newer { file: path.into(), version });
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: Form = Form::first(*b"RMDTEST\0");

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        write(&path, MAGIC, b"some body").expect("written");
        assert_eq!(read(&path, MAGIC).expect("whole"), Some(b"some body".to_vec()));
        let good = fs::read(&path).expect("bytes");
        for at in 0..good.len() {
            fs::write(&path, &good[..at]).expect("cut");
            assert!(matches!(read(&path, MAGIC), Err(OpenError::Corrupt { .. })), "cut at {at}");
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                fs::write(&path, &bad).expect("flipped");
                let newer = (8..12).contains(&at);
                match read(&path, MAGIC) {
                    Err(OpenError::Newer { .. }) if newer => {}
                    Err(OpenError::Corrupt { .. }) if !newer => {}
                    other => panic!("bit {bit} of byte {at}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn older_formats_are_read_and_newer_ones_are_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        for (written, newest, is_read) in [(1, 2, true), (2, 2, true), (2, 1, false)] {
            write(&path, MAGIC.at(written), b"body").expect("written");
            match read(&path, MAGIC.at(newest)) {
                Ok(Some(body)) => assert!(is_read && body == b"body"),
                Err(OpenError::Newer { version, .. }) => assert!(!is_read && version == 2),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_missing_file_is_no_error() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(read(&dir.path().join("file"), MAGIC).expect("absent"), None);
    }
}
