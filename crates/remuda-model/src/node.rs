//! Nodes as the cluster sees them.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Generation, Labels, LinkUrl, NodeId, Roles, Selector};

/// The seven states of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    /// The process has started and has not yet looked for its cluster.
    Launching,
    /// It is looking for its owner.
    Connecting,
    /// It takes requests and tasks.
    Ready,
    /// It takes requests; tasks go on, new ones are refused.
    Standby,
    /// Like standby, and it turns stopped when its last task has ended.
    Stopping,
    /// No task runs and none is taken; requests are.
    Stopped,
    /// The cluster has no link to it.
    NotConnected,
}

impl NodeStatus {
    /// Whether requests are accepted.
    pub fn takes_requests(self) -> bool {
        matches!(self, Self::Ready | Self::Standby | Self::Stopping | Self::Stopped)
    }

    /// Whether new tasks are accepted.
    pub fn takes_tasks(self) -> bool {
        self == Self::Ready
    }

    /// The word used in texts and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Launching => "launching",
            Self::Connecting => "connecting",
            Self::Ready => "ready",
            Self::Standby => "standby",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::NotConnected => "not_connected",
        }
    }
}

impl fmt::Display for NodeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for NodeStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        [
            Self::Launching,
            Self::Connecting,
            Self::Ready,
            Self::Standby,
            Self::Stopping,
            Self::Stopped,
            Self::NotConnected,
        ]
        .into_iter()
        .find(|status| status.as_str() == text)
        .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

/// The text names no node status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown node status `{0}`")]
pub struct UnknownStatus(pub String);

/// What a node measures of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeStats {
    /// Logical processors.
    pub cpus: u32,
    /// Load averages over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Memory in bytes.
    pub mem_total: u64,
    /// Memory that programs could still take, in bytes.
    pub mem_available: u64,
    /// Size of the file system of the data directory, in bytes.
    pub disk_total: u64,
    /// Free bytes there.
    pub disk_available: u64,
    /// Seconds since the operating system started.
    pub uptime_s: u64,
    /// Resident memory of the agent itself, in bytes.
    pub agent_rss: u64,
}

/// One node as any control node shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its name.
    pub id: NodeId,
    /// Its roles.
    pub roles: Roles,
    /// Its state as the owner knows it.
    pub status: NodeStatus,
    /// The version it runs.
    pub version: String,
    /// Its boot counter.
    pub generation: Generation,
    /// Where it can be dialled; empty for a node that only dials.
    pub addresses: Vec<LinkUrl>,
    /// Its labels.
    pub labels: Labels,
    /// Facts that it found about itself, such as `os` and `cpu.arch`.
    pub attributes: BTreeMap<String, String>,
    /// Its last measurements, when it is connected.
    pub stats: Option<NodeStats>,
    /// The control node that owns it.
    pub owner: Option<NodeId>,
    /// The control node through which the owner reaches it, when not directly.
    pub via: Option<NodeId>,
    /// Last measured round trip between owner and node, in microseconds.
    pub rtt_us: Option<u64>,
    /// Tasks that run on it.
    pub running_tasks: u32,
}

impl NodeView {
    /// Whether the node meets a condition on its labels, its attributes, and the facts `node`, `role`,
    /// `status`, `version` and `owner`. Every node is a `worker`; a control node is `control` as well.
    pub fn meets(&self, on: &Selector) -> bool {
        let mut facts: Vec<(&str, &str)> = vec![
            ("node", self.id.as_str()),
            ("role", "worker"),
            ("status", self.status.as_str()),
            ("version", &self.version),
        ];
        if self.roles.is_control() {
            facts.push(("role", "control"));
        }
        if let Some(owner) = &self.owner {
            facts.push(("owner", owner.as_str()));
        }
        facts.extend(self.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        on.matches(&self.labels, &facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_facts_and_attributes_count() {
        let node = NodeView {
            id: "dev1".parse().unwrap(),
            roles: Roles::CONTROL,
            status: NodeStatus::Ready,
            version: "1.2.3".to_owned(),
            generation: Generation(1),
            addresses: Vec::new(),
            labels: "gpu;model=a100".parse().unwrap(),
            attributes: [("os".to_owned(), "linux".to_owned())].into(),
            stats: None,
            owner: Some("dev2".parse().unwrap()),
            via: None,
            rtt_us: None,
            running_tasks: 0,
        };
        for (text, expected) in [
            ("gpu && model==a100", true),
            ("role==control && role==worker", true),
            ("os in (linux, freebsd) && status!=standby", true),
            ("owner==dev2 && version==1.2.3 && node==dev1", true),
            ("node==dev2", false),
            ("owner!=dev2", false),
            ("absent", false),
        ] {
            assert_eq!(node.meets(&text.parse().unwrap()), expected, "{text}");
        }
    }
}
