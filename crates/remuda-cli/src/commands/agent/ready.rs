//! The ready file: which addresses the node really has, for whoever started it.

use std::{fs, io, net::SocketAddr, path::Path};

use remuda::agent::Agent;
use remuda_model::{ErrorKind, LinkUrl, NodeId};
use serde::{Deserialize, Serialize};

use crate::error::Report;

/// The content of `ready.json` in the data directory of a node that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// The node.
    pub(crate) node: NodeId,
    /// Where its API listens.
    pub(crate) api: Option<SocketAddr>,
    /// Where it answers as REST Commander did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rest_commander: Option<SocketAddr>,
    /// Where it listens for links.
    pub(crate) links: Vec<LinkUrl>,
}

/// Its name in the data directory.
pub(super) const FILE: &str = "ready.json";

impl Ready {
    /// What the node says, once it does.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(dir.join(FILE)).ok()?).ok()
    }
}

/// Says that the node runs. The file appears whole or not at all.
pub(super) fn write(dir: &Path, agent: &Agent) -> Result<(), Report> {
    let ready = Ready {
        node: agent.node().clone(),
        api: agent.api_address(),
        rest_commander: agent.rest_commander_address(),
        links: agent.link_addresses().to_vec(),
    };
    let text = serde_json::to_vec_pretty(&ready).expect("our own types are writable");
    let temporary = dir.join("ready.new");
    let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, dir.join(FILE)));
    written.map_err(|error: io::Error| {
        let path = dir.join(FILE);
        Report::new(ErrorKind::Failed, format!("cannot write `{}`", path.display()))
            .caused_by(&error)
    })
}

/// Takes back what this process said.
pub(super) fn forget(dir: &Path) {
    let _absent = fs::remove_file(dir.join(FILE)).is_err();
}
