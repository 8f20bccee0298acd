//! The archive of a bug report: a few files, bounded in size, without what looks like a secret.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::logging::redact;

/// The most bytes of all files together, before they are compressed.
const MAX_BYTES: usize = 64 << 20;

/// Files by name.
#[derive(Debug, Default)]
pub(super) struct Archive {
    files: BTreeMap<String, String>,
    bytes: usize,
    left_out: Vec<String>,
}

impl Archive {
    /// Adds a file of text, if there is still room.
    pub(super) fn text(&mut self, name: &str, text: impl AsRef<str>) {
        let text = redact(text.as_ref());
        if self.bytes + text.len() > MAX_BYTES {
            self.left_out.push(name.to_owned());
            return;
        }
        self.bytes += text.len();
        self.files.insert(name.to_owned(), text);
    }

    /// Adds a value as indented JSON.
    pub(super) fn json(&mut self, name: &str, value: &Value) {
        self.text(name, format!("{value:#}\n"));
    }

    /// Writes the archive so that it is there whole or not at all, for its owner only. Tells its
    /// size.
    pub(super) fn write(mut self, path: &Path) -> io::Result<u64> {
        if !self.left_out.is_empty() {
            let names = self.left_out.join("\n");
            self.files.insert("left-out.txt".to_owned(), names);
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let file = NamedTempFile::new_in(parent.unwrap_or(Path::new(".")))?;
        let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::default()));
        for (name, text) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            tar.append_data(&mut header, format!("remuda-debug/{name}"), text.as_bytes())?;
        }
        let mut file = tar.into_inner()?.finish()?;
        file.flush()?;
        let size = file.as_file().metadata()?.len();
        file.persist_noclobber(path).map_err(|error| error.error)?;
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn an_archive_is_bounded_and_has_no_tokens() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("bug.tar.gz");
        let mut archive = Archive::default();
        archive.text("nodes/w1/log.txt", "joined with rmd1.a.b.c");
        archive.text("huge.txt", "x".repeat(MAX_BYTES));
        let size = archive.write(&path).expect("written");
        assert_eq!(size, std::fs::metadata(&path).expect("there").len());
        let mut files = BTreeMap::new();
        let mut read =
            tar::Archive::new(GzDecoder::new(std::fs::File::open(&path).expect("there")));
        for entry in read.entries().expect("an archive") {
            let mut entry = entry.expect("a file");
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("text");
            files.insert(entry.path().expect("a name").display().to_string(), text);
        }
        assert_eq!(files["remuda-debug/nodes/w1/log.txt"], "joined with rmd1.(hidden)");
        assert_eq!(files["remuda-debug/left-out.txt"], "huge.txt");
        assert!(Archive::default().write(&path).is_err(), "nothing is replaced");
    }
}
