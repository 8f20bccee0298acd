//! The links of a node that are open at present.

use std::sync::{Arc, Mutex, PoisonError};

use remuda_link::Link;

/// The links of a node that are open at present; closed ones are forgotten in passing.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveLinks(Arc<Mutex<Vec<Link>>>);

impl LiveLinks {
    pub(crate) fn add(&self, link: Link) {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Not each time: there may be thousands.
        if links.len() == links.capacity() {
            links.retain(|link| !link.is_closed());
        }
        links.push(link);
    }

    pub(crate) fn all(&self) -> Vec<Link> {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| !link.is_closed());
        links.clone()
    }
}
