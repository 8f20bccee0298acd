//! Values that all instances of a class share, kept in one small file.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{bindings::remuda::job::key_value::Error, files};

const MAX_KEY: usize = 256;

/// The values of one class.
#[derive(Debug)]
pub(crate) struct KeyValue {
    path: PathBuf,
    values: Mutex<Values>,
    /// Held while the file is written, so that an older state never replaces a newer one.
    writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Values {
    map: BTreeMap<String, Vec<u8>>,
    bytes: usize,
    changed: bool,
}

impl KeyValue {
    /// Takes up what an earlier boot has left. Blocks. A damaged file is put aside.
    pub(crate) fn open(path: PathBuf) -> Self {
        let texts: BTreeMap<String, String> = files::read_json(&path).unwrap_or_default();
        let decoded = texts.into_iter().map(|(key, text)| Ok((key, BASE64_STANDARD.decode(text)?)));
        let map: Result<BTreeMap<String, Vec<u8>>, base64::DecodeError> = decoded.collect();
        let map = map.unwrap_or_else(|error| {
            tracing::error!(path = %path.display(), %error, "the values of a class are damaged");
            BTreeMap::new()
        });
        let bytes = map.iter().map(|(key, value)| key.len() + value.len()).sum();
        let values = Values { map, bytes, changed: false };
        Self { path, values: Mutex::new(values), writing: Mutex::default() }
    }

    fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.values().map.get(key).cloned()
    }

    pub(super) fn set(&self, key: String, value: Vec<u8>, quota: usize) -> Result<(), Error> {
        if !(1..=MAX_KEY).contains(&key.len()) {
            return Err(Error::BadKey);
        }
        let mut values = self.values();
        let before = values.map.get(&key).map_or(0, |value| key.len() + value.len());
        let bytes = values.bytes - before + key.len() + value.len();
        if bytes > quota {
            return Err(Error::Full);
        }
        values.bytes = bytes;
        values.changed = true;
        values.map.insert(key, value);
        Ok(())
    }

    pub(super) fn delete(&self, key: &str) -> bool {
        let mut values = self.values();
        let Some(value) = values.map.remove(key) else { return false };
        values.bytes -= key.len() + value.len();
        values.changed = true;
        true
    }

    pub(super) fn keys(&self, prefix: &str) -> Vec<String> {
        let values = self.values();
        let from = values
            .map
            .range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// Whether something is not on disk yet.
    pub(crate) fn is_changed(&self) -> bool {
        self.values().changed
    }

    /// Writes what has changed. Blocks.
    pub(crate) fn write(&self) -> io::Result<()> {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let map = {
            let mut values = self.values();
            if !values.changed {
                return Ok(());
            }
            values.changed = false;
            let texts =
                values.map.iter().map(|(key, value)| (key.clone(), BASE64_STANDARD.encode(value)));
            texts.collect::<BTreeMap<_, _>>()
        };
        files::write_json(&self.path, &map).inspect_err(|_| self.values().changed = true)
    }

    /// Forgets everything. Blocks.
    pub(crate) fn purge(&self) -> io::Result<()> {
        *self.values() = Values { changed: true, ..Values::default() };
        self.write()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bounded_and_survive() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("values.json");
        let values = KeyValue::open(path.clone());
        assert_eq!(values.set(String::new(), vec![], 10), Err(Error::BadKey));
        values.set("a".to_owned(), vec![0xff; 4], 10).expect("fits");
        values.set("ab".to_owned(), vec![1; 3], 10).expect("fits");
        assert_eq!(values.set("c".to_owned(), vec![], 10), Err(Error::Full));
        values.set("a".to_owned(), vec![2; 4], 10).expect("takes the place of the other");
        assert!(values.is_changed());
        values.write().expect("written");
        assert!(!values.is_changed());
        let again = KeyValue::open(path.clone());
        assert_eq!(again.get("a"), Some(vec![2; 4]));
        assert_eq!(again.keys("a"), ["a", "ab"]);
        assert!(again.delete("a") && !again.delete("a"));
        again.set("d".to_owned(), vec![1; 4], 10).expect("there is room again");
        again.purge().expect("purged");
        assert!(KeyValue::open(path).keys("").is_empty());
    }
}
