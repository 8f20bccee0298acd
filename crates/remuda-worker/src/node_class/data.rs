//! Small values that users keep on a node.

use std::collections::BTreeSet;

use remuda_model::{ErrorKind, Failure};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::store::{Change, Loaded, Store, StoreError, Table};

const MAX_KEYS: usize = 1_000;
const MAX_KEY: usize = 256;
const MAX_VALUE: usize = 64 << 10;

/// Keys and JSON values on the disk of the node.
#[derive(Debug)]
pub(crate) struct DataBook {
    /// Held while a change is on its way to the disk, so that the bound holds.
    keys: Mutex<BTreeSet<Vec<u8>>>,
    store: Store,
}

impl DataBook {
    /// What the last boot has left.
    pub(crate) fn open(loaded: &Loaded, store: Store) -> Self {
        Self { keys: Mutex::new(loaded.data_keys.iter().cloned().collect()), store }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Value, Failure> {
        let read = self.store.read(Table::Data, key.as_bytes().to_vec()).await;
        let bytes = read.map_err(StoreError::into_failure)?.ok_or_else(|| {
            let shown: String = key.chars().take(80).collect();
            Failure::not_found(format!("this node keeps nothing under `{shown}`"))
                .code("unknown_key")
        })?;
        serde_json::from_slice(&bytes).map_err(|error| Failure::internal(&error))
    }

    pub(super) async fn put(&self, key: &str, value: &Value) -> Result<(), Failure> {
        if !(1..=MAX_KEY).contains(&key.len()) {
            return Err(Failure::invalid(format!("a key has 1 to {MAX_KEY} bytes")));
        }
        let bytes = serde_json::to_vec(value).map_err(|error| Failure::internal(&error))?;
        if bytes.len() > MAX_VALUE {
            let len = bytes.len();
            return Err(Failure::invalid(format!(
                "the value is {len} bytes long; at most {MAX_VALUE} are kept"
            ))
            .code("value_too_large"));
        }
        let key = key.as_bytes().to_vec();
        let mut keys = self.keys.lock().await;
        if keys.len() >= MAX_KEYS && !keys.contains(&key) {
            return Err(Failure::new(
                ErrorKind::NoCapacity,
                format!("this node keeps {MAX_KEYS} keys already"),
            )
            .code("too_many_keys")
            .hint("delete some first"));
        }
        let put = Change::Put { table: Table::Data, key: key.clone(), value: bytes };
        self.store.write(vec![put]).await.map_err(StoreError::into_failure)?;
        keys.insert(key);
        Ok(())
    }

    pub(super) async fn delete(&self, key: &str) -> Result<bool, Failure> {
        let mut keys = self.keys.lock().await;
        if !keys.contains(key.as_bytes()) {
            return Ok(false);
        }
        let delete = Change::Delete { table: Table::Data, key: key.as_bytes().to_vec() };
        self.store.write(vec![delete]).await.map_err(StoreError::into_failure)?;
        Ok(keys.remove(key.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn data_is_bounded_and_survives_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("worker.redb");
        let (store, loaded) = Store::open(&path).await.expect("opens");
        let data = DataBook::open(&loaded, store.clone());
        data.put("a", &json!({"x": 1})).await.expect("fits");
        let long = json!("x".repeat(MAX_VALUE));
        assert_eq!(data.put("b", &long).await.expect_err("too long").code, "value_too_large");
        assert!(data.put("", &json!(1)).await.is_err());
        for n in 1..MAX_KEYS {
            data.keys.lock().await.insert(n.to_string().into_bytes());
        }
        let full = data.put("one more", &json!(1)).await.expect_err("full");
        assert_eq!(full.kind, ErrorKind::NoCapacity);
        data.put("a", &json!(2)).await.expect("a present key may change");
        store.close().await;

        let (store, loaded) = Store::open(&path).await.expect("opens");
        let data = DataBook::open(&loaded, store);
        assert_eq!(data.get("a").await.expect("kept"), json!(2));
        assert!(data.delete("a").await.expect("deletes"));
        assert!(!data.delete("a").await.expect("nothing to delete"));
        assert_eq!(data.get("a").await.expect_err("gone").kind, ErrorKind::NotFound);
    }
}
