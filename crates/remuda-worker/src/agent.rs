//! What all parts of a worker share.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use remuda_model::{EventBody, Generation, LinkUrl, NodeId, NodeStats, Roles};
use remuda_plugin::ClassTable;
use remuda_runtime::CancellationToken;
use remuda_wire::message::announce::Announce;
use tokio::sync::mpsc;

use crate::{
    epoch::EpochGate,
    files::Files,
    labels::LabelBook,
    node_class::{self, Slot},
    spool::Spool,
    store::Store,
    tasks::Tasks,
};

/// What all parts of a worker share.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) node: NodeId,
    pub(crate) generation: Generation,
    pub(crate) version: &'static str,
    pub(crate) roles: Roles,
    pub(crate) data_dir: PathBuf,
    pub(crate) attributes: BTreeMap<String, String>,
    /// Where this node can be dialled.
    pub(crate) addresses: Mutex<Vec<LinkUrl>>,
    pub(crate) labels: Arc<LabelBook>,
    pub(crate) classes: ClassTable,
    pub(crate) tasks: Tasks,
    pub(crate) files: Files,
    pub(crate) gate: EpochGate,
    pub(crate) spool: Spool,
    pub(crate) events: mpsc::Sender<EventBody>,
    pub(crate) store: Store,
    /// See [`Announce::boot`].
    pub(crate) boot: u64,
    /// When this process began to be a node.
    pub(crate) since: Instant,
    pub(crate) diagnosis: Slot,
    /// Cancelled when the agent shuts down.
    pub(crate) stop: CancellationToken,
}

impl Agent {
    /// How this worker presents itself.
    pub(crate) fn announce(&self, unreachable: Vec<NodeId>) -> Announce {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Announce {
            node: self.node.clone(),
            generation: self.generation,
            boot: self.boot,
            roles: self.roles,
            version: self.version.to_owned(),
            addresses,
            labels: self.labels.get(),
            attributes: self.attributes.clone(),
            epoch: self.gate.highest(),
            unreachable,
        }
    }

    /// What this node measures now.
    pub(crate) async fn measure(&self) -> NodeStats {
        node_class::measure(self.data_dir.clone()).await
    }
}
