//! The replicated state and the authority of a cluster in one file, from which a new first control
//! node can be made.
//!
//! What a cluster restored from it keeps: its identity, nodes, labels, API tokens, revocations and
//! certificates. What it loses: the control nodes, whose certificates it revokes, so that none of
//! them can take part with a log that is not that of the new one.

mod disk;
mod file;
mod seal;

use std::fmt;

use remuda_link::{Authority, CertificateFacts, NodeCertificate};
use remuda_model::{Chain, ErrorKind, Failure, NodeId, Role, VERSION};
use remuda_runtime::wall_ms;
use remuda_state::{Change, ClusterRecord, ClusterState, Command};

pub use self::{
    disk::{SalvageError, plant, salvage},
    file::BackupError,
};
use crate::{
    Control, authority::Keys, cluster::no_cluster, handlers::issued, membership::new_record,
    proposals::READ,
};

/// The indices of a restored cluster begin at the next multiple of this. So they are beyond all that
/// the lost one used after the backup, and workers obey the new owners.
const LEAP: u64 = 1 << 40;

/// A backup in memory.
#[derive(Clone)]
pub struct Backup {
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// The version that made it.
    pub version: String,
    /// The replicated state.
    pub state: ClusterState,
    /// The certificate authority and the join secrets.
    pub authority: Authority,
}

impl fmt::Debug for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backup")
            .field("made_ms", &self.made_ms)
            .field("version", &self.version)
            .field("applied", &self.state.applied())
            .finish_non_exhaustive()
    }
}

/// What a new first control node begins with.
#[derive(Debug)]
pub struct Succession {
    /// The state, in which it is the only control node.
    pub state: ClusterState,
    /// Its key and certificate.
    pub certificate: NodeCertificate,
    /// The control nodes that there were; they are removed.
    pub removed: Vec<NodeId>,
}

impl Backup {
    /// A backup of this state and authority, made now.
    pub fn new(state: ClusterState, authority: Authority) -> Self {
        Self { made_ms: wall_ms(), version: VERSION.to_owned(), state, authority }
    }

    /// The cluster.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) when the state is of no cluster.
    pub fn cluster(&self) -> Result<&ClusterRecord, Failure> {
        self.state.cluster().ok_or_else(|| Failure::invalid("the state belongs to no cluster"))
    }

    /// The file, readable for everybody who has it; it contains the key of the cluster's authority.
    pub fn to_bytes(&self) -> Vec<u8> {
        file::write(self, None)
    }

    /// The file, readable for whoever knows the passphrase.
    pub fn to_sealed_bytes(&self, passphrase: &[u8]) -> Vec<u8> {
        file::write(self, Some(passphrase))
    }

    /// Reads a file, with the passphrase if it needs one.
    ///
    /// # Errors
    ///
    /// [`BackupError`] says whether it is damaged, foreign, newer, or the passphrase wrong.
    pub fn from_bytes(bytes: &[u8], passphrase: Option<&[u8]>) -> Result<Self, BackupError> {
        file::read(bytes, passphrase)
    }

    /// Makes `node` the only control node: with a certificate of its own, indices and an ownership
    /// beyond all that the lost control nodes can have used, and these removed.
    ///
    /// # Errors
    ///
    /// [`Exists`](ErrorKind::Exists) when the name is taken or was that of a removed node.
    pub fn succeed(&self, node: &NodeId) -> Result<Succession, Failure> {
        self.cluster()?;
        if self.state.node(node).is_some() || self.state.is_removed(node) {
            let message = format!("`{node}` is or was a node of this cluster");
            return Err(Failure::new(ErrorKind::Exists, message)
                .code("name_taken")
                .hint("give the new control node a name that no node has had"));
        }
        let internal = |error: &(dyn std::error::Error + 'static)| {
            Failure::new(ErrorKind::Internal, Chain(error).to_string())
        };
        let certificate =
            self.authority.certify(node, Role::Control).map_err(|error| internal(&error))?;
        let facts =
            CertificateFacts::read(&certificate.certificate).map_err(|error| internal(&error))?;
        let mut me = new_record(node.clone(), Vec::new());
        me.active = true;
        VERSION.clone_into(&mut me.version);
        let old = self.state.nodes().filter(|node| node.roles.is_control());
        let removed: Vec<NodeId> = old.map(|node| node.id.clone()).collect();
        let now_ms = wall_ms();
        let removals = removed.iter().map(|node| Change::RemoveNode { node: node.clone(), now_ms });
        // The new one first: there is always one that owns workers.
        let changes = [Change::PutNode(me), issued(node, facts, false)].into_iter().chain(removals);
        let mut state = self.state.clone();
        let first = (state.applied() / LEAP + 1).saturating_mul(LEAP);
        for (index, change) in (first..).zip(changes) {
            state.apply(index, &Command::once(change)).into_result()?;
        }
        Ok(Succession { state, certificate, removed })
    }
}

/// The authority that signs, where the state keeps it: once it was exchanged.
fn signing(state: &ClusterState) -> Result<Option<Authority>, Failure> {
    state.authority().map(|record| Ok(Keys::of(record)?.signs)).transpose()
}

impl Control {
    /// A backup that contains everything that was acknowledged before the call.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) without a leader, or when this node has no authority.
    pub async fn backup(&self) -> Result<Backup, Failure> {
        self.catch_up(READ).await?;
        let state = self.shared.replica.state();
        if state.cluster().is_none() {
            return Err(no_cluster());
        }
        let authority = match signing(&state)? {
            Some(authority) => authority,
            None => self.shared.authority()?,
        };
        Ok(Backup::new((*state).clone(), authority))
    }
}

#[cfg(test)]
mod tests;
