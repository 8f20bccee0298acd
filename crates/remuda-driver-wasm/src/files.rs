//! Small files that are either whole or not there.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use remuda_model::Chain;
use serde::{Serialize, de::DeserializeOwned};

/// Writes a file beside its place, and puts it there when it is on disk.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = dir.join(format!(".{name}.new"));
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(dir)?.sync_all()
}

pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    write(path, &serde_json::to_vec(value)?)
}

/// Reads a file. A damaged one is put aside, so that somebody can look at it.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "a file cannot be read");
            return None;
        }
    };
    let read = serde_json::from_slice(&bytes);
    read.inspect_err(|error| {
        let error = Chain(error);
        tracing::error!(path = %path.display(), %error, "a file is damaged and put aside");
        if let Err(error) = fs::rename(path, path.with_extension("damaged")) {
            tracing::error!(path = %path.display(), %error, "a damaged file cannot be put aside");
        }
    })
    .ok()
}

/// Removes a file or a folder, if it is there.
pub(crate) fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a file cannot be removed");
    }
}

/// The bytes in a folder, counted until they are more than `enough`. Links are not followed.
pub(crate) fn size(dir: &Path, enough: u64) -> u64 {
    let mut sum = 0_u64;
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            // A file costs something even when it is empty.
            sum = sum.saturating_add(metadata.len().max(256));
            if sum > enough {
                return sum;
            }
            if metadata.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    sum
}
