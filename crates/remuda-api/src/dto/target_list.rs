//! Lists of targets that the cluster keeps under a name.

use remuda_model::TargetListId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Lines of targets to keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SaveTargets {
    /// As in a file of targets: hosts, ranges such as `web[01-20].example`, networks, or objects
    /// with `host` and `vars` as text; at most 256 KiB.
    pub lines: Vec<String>,
}

/// A list of targets, without its lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TargetListInfo {
    /// Its name.
    #[schema(value_type = String)]
    pub name: TargetListId,
    /// How many targets it had when it was saved.
    pub targets: u32,
    /// How many bytes its lines have.
    pub bytes: u64,
    /// When it was saved, in milliseconds since 1970.
    pub changed_ms: u64,
}

/// A list of targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TargetList {
    /// What it is.
    pub list: TargetListInfo,
    /// Its lines, as they were saved.
    pub lines: Vec<String>,
}

/// The lists of targets of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TargetLists {
    /// Sorted by name.
    pub lists: Vec<TargetListInfo>,
}
