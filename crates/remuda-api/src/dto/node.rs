//! Nodes: what may be asked of them and what they answer.

use remuda_model::{ClassName, Labels, LinkUrl, NodeId, NodeStatus, NodeView, Selector};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::Consistency;
use crate::described;

/// Query of plain reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadQuery {
    /// `stale` answers from what the control node knows, even without a leader.
    #[serde(default)]
    #[param(inline, required = false)]
    pub consistency: Consistency,
}

/// Which nodes to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NodesQuery {
    /// `stale` answers from what the control node knows, even without a leader.
    #[serde(default)]
    #[param(inline, required = false)]
    pub consistency: Consistency,
    /// Only nodes that meet this condition on labels and facts, such as `gpu && status==ready`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub on: Option<Selector>,
}

/// Query of removals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ForceQuery {
    /// Removes a node even while it is connected.
    #[serde(default)]
    #[param(required = false)]
    pub force: bool,
}

/// Nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Nodes {
    /// Sorted by name.
    #[schema(value_type = Vec<described::Node>)]
    pub nodes: Vec<NodeView>,
}

/// Asks the cluster to dial a node that listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddNode {
    /// Where the node listens, such as `remuda://10.0.0.7:1973;transport=tls`.
    #[schema(value_type = String, example = "remuda://10.0.0.7:1973;transport=tls")]
    pub url: LinkUrl,
}

/// The node that answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddedNode {
    /// Its name.
    #[schema(value_type = String)]
    pub node: NodeId,
}

/// Asks a node to change its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetStatus {
    /// `ready`, `standby` or `stopped`; a node that still runs tasks turns `stopping` first.
    #[schema(value_type = described::NodeStatus)]
    pub status: NodeStatus,
}

/// A change of labels: first the removals, then the updates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelChange {
    /// Labels to set, each replacing the one of the same name.
    #[serde(default)]
    #[schema(value_type = String, required = false, example = "core;group=group1,meta2")]
    pub update: Labels,
    /// Names of labels to remove; unknown ones are ignored.
    #[serde(default)]
    #[schema(required = false)]
    pub remove: Vec<String>,
}

/// Labels in their textual form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LabelText {
    /// All labels of the node after the change.
    #[schema(value_type = String, example = "core;group=group1,meta2")]
    pub labels: Labels,
}

/// A request to a job class on a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassRequest {
    /// The class, such as `node`.
    #[schema(value_type = String, example = "node")]
    pub class: ClassName,
    /// What it is asked, in the words of the class.
    #[serde(default)]
    #[schema(required = false, example = json!("info"))]
    pub payload: Value,
    /// How long to wait for the reply: 30,000 unless said otherwise, at most a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// What a class answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClassReply {
    /// In the words of the class.
    pub reply: Value,
}
