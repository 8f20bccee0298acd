//! Ports that stay the same: a node that was given port 0 takes the port of its last boot again,
//! so that the addresses its peers remember stay true.

use std::{collections::BTreeMap, path::PathBuf};

use super::data_dir::{DataDirError, read_json, write_json};

/// The ports of the last boot, by what they were asked for.
#[derive(Debug)]
pub(crate) struct Ports {
    path: PathBuf,
    known: BTreeMap<String, u16>,
    /// For the first boot.
    preferred: BTreeMap<String, u16>,
}

impl Ports {
    pub(crate) fn open(path: PathBuf) -> Result<Self, DataDirError> {
        let known = read_json(&path)?.unwrap_or_default();
        Ok(Self { path, known, preferred: BTreeMap::new() })
    }

    /// The ports to try for an address asked for as `key`: the one of the last boot first.
    pub(crate) fn candidates(&self, key: &str, port: u16) -> Vec<u16> {
        match self.known.get(key).or_else(|| self.preferred.get(key)) {
            Some(first) if port == 0 => vec![*first, 0],
            _ => vec![port],
        }
    }

    /// The port to try at the first boot.
    pub(crate) fn prefer(&mut self, key: &str, port: u16) {
        self.preferred.insert(key.to_owned(), port);
    }

    /// Keeps the port that was taken.
    pub(crate) fn keep(&mut self, key: &str, port: u16) -> Result<(), DataDirError> {
        if self.known.insert(key.to_owned(), port) == Some(port) {
            return Ok(());
        }
        write_json(&self.path, &self.known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_the_last_boot_is_tried_first() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("ports.json");
        let mut ports = Ports::open(path.clone()).expect("empty");
        assert_eq!(ports.candidates("tls", 0), [0]);
        ports.keep("tls", 4711).expect("written");
        let ports = Ports::open(path).expect("read");
        assert_eq!(ports.candidates("tls", 0), [4711, 0]);
        assert_eq!(ports.candidates("tls", 1973), [1973]);
    }

    #[test]
    fn a_preferred_port_is_no_must_and_gives_way_to_a_kept_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut ports = Ports::open(dir.path().join("ports.json")).expect("empty");
        ports.prefer("api", 44200);
        assert_eq!(ports.candidates("api", 0), [44200, 0]);
        ports.keep("api", 4711).expect("written");
        ports.prefer("api", 44200);
        assert_eq!(ports.candidates("api", 0), [4711, 0]);
    }
}
