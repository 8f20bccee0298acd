//! Writes to remuda.

use std::time::Duration;

use anyhow::{Result, bail};
use remuda::{
    client::{Client, dto::Scope},
    link::{Link, Priority},
    model::{Generation, Labels, NodeId, Role, Roles, TokenId},
};
use remuda_link::{CertificatesOnly, Endpoint, EndpointConfig, Identity, JoinToken, Limits, join};
use remuda_runtime::Supervisor;
use remuda_state::{Applied, Change, Command, NodeRecord};
use remuda_wire::{
    decode, encode,
    message::{CONTROL, control},
};

use crate::{agents::Cluster, load::Caller};

const PATIENCE: Duration = Duration::from_secs(10);
/// Nodes whose labels are written, in turns.
const NODES: usize = 64;

/// Changes asked of the leader over a link, as control nodes do: the writer has a certificate of
/// one and is none.
#[derive(Clone)]
pub(crate) struct Direct {
    link: Link,
    labels: Labels,
    calls: usize,
}

impl Direct {
    pub(crate) async fn connect(cluster: &Cluster, leader: usize, value: usize) -> Result<Self> {
        let url = cluster.link(leader)?;
        let token: JoinToken = cluster.read("join-token-control")?.parse()?;
        let node: NodeId = "bench-writer".parse()?;
        let (certificate, _) =
            join(std::slice::from_ref(&url), &token, &node, Role::Control).await?;
        let config = EndpointConfig {
            identity: Identity {
                node,
                cluster: token.cluster.clone(),
                role: Role::Control,
                generation: Generation(1),
                certificate: Some(certificate),
            },
            advertise: Vec::new(),
            allow_plaintext: false,
            admission: std::sync::Arc::new(CertificatesOnly),
            secret: None,
            limits: Limits::default(),
        };
        let (endpoint, _accepted) = Endpoint::new(config, Supervisor::new())?;
        let link = endpoint.dial(&url).await?;
        // A name, `;text="…"`.
        let labels = format!("bench;text=\"{}\"", "x".repeat(value.saturating_sub(13)));
        let writer = Self { link, labels: labels.parse()?, calls: 0 };
        for number in 0..NODES {
            writer.change(Change::PutNode(record(&name(number)?))).await?;
        }
        Ok(writer)
    }

    /// As many callers as asked for, on the same link.
    pub(crate) fn callers(&self, n: usize) -> Vec<Self> {
        (0..n).map(|calls| Self { calls, ..self.clone() }).collect()
    }

    async fn change(&self, change: Change) -> Result<()> {
        // Repeatable, as every change is that a control node makes for somebody.
        let id = fastrand::u128(..).to_be_bytes();
        let command = remuda_state::encode(&Command::with_id(id, change));
        let body = encode(&control::Call::Propose(command));
        let reply = self.link.call(CONTROL, Priority::Calls, body, PATIENCE).await?;
        match decode::<control::Reply>(&reply)?? {
            control::Done::Committed { outcome, .. } => {
                remuda_state::decode::<Applied>(&outcome)?.into_result()?;
                Ok(())
            }
            other => bail!("a wrong reply: {other:?}"),
        }
    }
}

impl Caller for Direct {
    async fn call(&mut self) -> Result<()> {
        self.calls += 1;
        let (node, labels) = (name(self.calls % NODES)?, self.labels.clone());
        self.change(Change::SetLabels { node, labels, if_revision: None }).await
    }
}

fn name(number: usize) -> Result<NodeId> {
    Ok(format!("bench-{number}").parse()?)
}

fn record(node: &NodeId) -> NodeRecord {
    NodeRecord {
        id: node.clone(),
        roles: Roles::WORKER,
        generation: Generation(1),
        version: "bench".to_owned(),
        addresses: Vec::new(),
        labels: Labels::default(),
        attributes: std::collections::BTreeMap::new(),
        active: false,
        created: remuda::model::Revision(0),
        modified: remuda::model::Revision(0),
    }
}

/// Makes a token, revokes it, makes another one.
pub(crate) struct Api {
    client: Client,
    made: Option<TokenId>,
}

impl Api {
    /// So many callers, each with a connection of its own.
    pub(crate) fn callers(cluster: &Cluster, at: usize, n: usize) -> Result<Vec<Self>> {
        (0..n).map(|_| Ok(Self { client: cluster.client(at, PATIENCE)?, made: None })).collect()
    }
}

impl Caller for Api {
    async fn call(&mut self) -> Result<()> {
        if let Some(token) = self.made.take() {
            return Ok(self.client.revoke_token(&token).await?);
        }
        let made = self.client.create_token("bench", Scope::Read, None).await?;
        self.made = Some(made.token.id);
        Ok(())
    }
}
