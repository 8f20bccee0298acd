//! Notices the death of the parent: it holds the other end of the standard input.

use std::{io::Read as _, pin::pin};

use tokio::sync::oneshot;

/// Whether the parent still lives, when anybody wants to know.
#[derive(Debug)]
pub(super) struct Parent {
    gone: Option<oneshot::Receiver<()>>,
}

impl Parent {
    pub(super) fn watch(wanted: bool) -> Self {
        if !wanted {
            return Self { gone: None };
        }
        let (tell, gone) = oneshot::channel();
        // A thread of its own, since a blocking read cannot be cancelled; it ends with the process.
        let watcher = std::thread::Builder::new().name("parent".to_owned()).spawn(move || {
            let mut stdin = std::io::stdin().lock();
            while !matches!(stdin.read(&mut [0; 256]), Ok(0) | Err(_)) {}
            // Nobody listens any more when the agent ends by itself.
            let _ended = tell.send(()).is_err();
        });
        // Without the thread its end of the channel is gone, which counts as the parent's death.
        drop(watcher);
        Self { gone: Some(gone) }
    }

    /// Waits for its death; for ever when nobody wants to know. Cancel safe.
    pub(super) async fn gone(&mut self) {
        match &mut self.gone {
            Some(gone) => {
                let _told = pin!(gone).await.is_ok();
                self.gone = None;
            }
            None => std::future::pending().await,
        }
    }
}
