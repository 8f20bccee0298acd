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

    /// Changes the labels; they are on disk when this returns. Those that would be too many are
    /// refused, and nothing changes.
    pub(crate) async fn change(&self, change: impl FnOnce(&mut Labels)) -> Result<Labels, Failure> {
        let _one_at_a_time = self.changing.lock().await;
        let mut labels = self.get();
        change(&mut labels);
        // More than that, and neither the next boot nor a control node could read them.
        labels.check().map_err(|error| {
            Failure::invalid(format!("the node would have too many labels: {error}"))
                .code("too_many_labels")
                .hint(
                    "take some away first; an option of one label may change as often as it likes",
                )
        })?;
        let saved = Change::meta(KEY, encode(&labels).to_vec());
        self.store.write(vec![saved]).await.map_err(StoreError::into_failure)?;
        self.current.send_replace(labels.clone());
        Ok(labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn labels_that_could_not_be_read_again_are_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("worker.redb");
        let (store, loaded) = Store::open(&path).await.expect("opens");
        let book = LabelBook::open(Labels::default(), &loaded, store.clone()).expect("opens");
        let add = |number: usize| {
            let more: Labels = format!("label-{number}").parse().expect("a label");
            move |labels: &mut Labels| labels.update(&more)
        };
        for number in 0..256 {
            book.change(add(number)).await.expect("not too many yet");
        }
        let refused = book.change(add(256)).await.expect_err("one too many");
        assert_eq!(refused.code, "too_many_labels");
        assert_eq!(book.get().len(), 256);
        store.close().await;
        let (store, loaded) = Store::open(&path).await.expect("opens");
        let book = LabelBook::open(Labels::default(), &loaded, store).expect("readable");
        assert_eq!(book.get().len(), 256);
    }
}
