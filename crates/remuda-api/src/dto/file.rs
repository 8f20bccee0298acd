//! Files for nodes and of nodes.

use remuda_model::{Digest, Failure, NodeId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::described;

/// What a control node has of some content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Artifact {
    /// Its digest.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// How many bytes of it are here: more are to begin there.
    pub held: u64,
    /// Whether it is all here.
    pub complete: bool,
    /// Whether somebody sends more just now.
    pub arriving: bool,
}

/// Which part of some content comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UploadQuery {
    /// The size of all of it, in bytes.
    pub size: u64,
    /// Where the body begins: the `held` of what is here.
    #[serde(default)]
    #[param(required = false)]
    pub offset: u64,
}

/// A file of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FileQuery {
    /// Its path.
    pub path: String,
}

/// A part of a file of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ContentQuery {
    /// Its path.
    pub path: String,
    /// From which byte on.
    #[serde(default)]
    #[param(required = false)]
    pub offset: u64,
    /// The `tag` that it must still have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// What a file of a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeFile {
    /// In bytes.
    pub size: u64,
    /// Its permission bits.
    pub mode: u32,
    /// Changes when the file does.
    pub tag: String,
    /// The digest of what is in it.
    #[schema(value_type = String)]
    pub digest: Digest,
}

/// A path on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodePath {
    /// The node.
    #[schema(value_type = String)]
    pub node: NodeId,
    /// The path.
    pub path: String,
}

/// What a file consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FileSource {
    /// Content that was brought to this control node, or still comes.
    Artifact {
        /// Its digest.
        #[schema(value_type = String)]
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// A file of a node.
    File(NodePath),
}

/// A file for nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SendFile {
    /// What it consists of.
    pub source: FileSource,
    /// For which nodes, at most 10,000.
    #[schema(value_type = Vec<String>)]
    pub nodes: Vec<NodeId>,
    /// Its path there; one that ends with `/`, or that of a directory, takes the file under its
    /// `name`. Without a path the nodes only keep it by its digest, for what is run of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its name in a directory; that of the source file unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its permission bits, of which 0755 are kept; those of the source file, or 0644, unless
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Whether a file that is there is kept and the node reported as failed.
    #[serde(default)]
    pub keep_existing: bool,
}

/// One line about a file on its way. The last of each node is `done` or `failed`; after them comes
/// `end`. A stream that ends otherwise was cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FileLine {
    /// What is sent; the first line.
    Source {
        /// Its digest.
        #[schema(value_type = String)]
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// A node has so much of it.
    Progress {
        /// The node.
        #[schema(value_type = String)]
        node: NodeId,
        /// In bytes.
        held: u64,
    },
    /// A node has the file, on disk.
    Done {
        /// The node.
        #[schema(value_type = String)]
        node: NodeId,
        /// The whole path, when it went to one.
        path: Option<String>,
        /// Whether it had it before.
        was_there: bool,
    },
    /// A node does not have the file; nothing half-written is at its path.
    Failed {
        /// The node.
        #[schema(value_type = String)]
        node: NodeId,
        /// Why.
        #[schema(value_type = described::Failure)]
        error: Failure,
    },
    /// Nothing more comes.
    End,
}
