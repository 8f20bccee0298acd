//! The labels of the node: configured ones until people change them, saved ones from then on.

use remuda_model::{Failure, Labels};
use remuda_wire::{decode, encode};
use tokio::sync::{Mutex, watch};

use crate::store::{Change, Loaded, Store, StoreError};

const KEY: &str = "labels";

/// The labels, kept on disk once changed.
#[derive(Debug)]
pub(crate) struct LabelBook {
    current: watch::Sender<Labels>,
    store: Store,
    changing: Mutex<()>,
}

impl LabelBook {
    /// The saved labels, or else the configured ones.
    pub(crate) fn open(
        configured: Labels,
        loaded: &Loaded,
        store: Store,
    ) -> Result<Self, remuda_wire::DecodeError> {
        let saved = loaded.meta(KEY).map(decode).transpose()?;
        let current = watch::Sender::new(saved.unwrap_or(configured));
        Ok(Self { current, store, changing: Mutex::new(()) })
    }

    /// The labels now.
    pub(crate) fn get(&self) -> Labels {
        self.current.borrow().clone()
    }

    /// The labels now and later.
    pub(crate) fn watch(&self) -> watch::Receiver<Labels> {
        self.current.subscribe()
    }

    /// Changes the labels; they are on disk when this returns.
    pub(crate) async fn change(&self, change: impl FnOnce(&mut Labels)) -> Result<Labels, Failure> {
        let _one_at_a_time = self.changing.lock().await;
        let mut labels = self.get();
        change(&mut labels);
        let saved = Change::meta(KEY, encode(&labels).to_vec());
        self.store.write(vec![saved]).await.map_err(StoreError::into_failure)?;
        self.current.send_replace(labels.clone());
        Ok(labels)
    }
}
