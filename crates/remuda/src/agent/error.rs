//! Why a node does not start.

use std::{error::Error, path::PathBuf};

use remuda_api::ServeError;
use remuda_compat_legacy::CatalogueError;
use remuda_model::{ErrorKind, Failure, LinkUrl};

use super::DataDirError;

type Source = Box<dyn Error + Send + Sync + 'static>;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The directory holds a cluster already.
    #[error("`{}` holds a cluster already", dir.display())]
    ClusterExists {
        /// The directory.
        dir: PathBuf,
    },
    /// The secrets of the cluster cannot be read.
    #[error("`{}` is damaged", path.display())]
    ClusterFile {
        /// The file.
        path: PathBuf,
    },
    /// The node belongs to no cluster and was told of none.
    #[error("this node belongs to no cluster yet")]
    NoCluster,
    /// The node joins, but nobody said where or by what right.
    #[error("joining needs {missing}")]
    Incomplete {
        /// What is missing.
        missing: &'static str,
    },
    /// The board for others cannot be served.
    #[error("cannot serve a tracker at {listen}")]
    Tracker {
        /// Where.
        listen: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The cluster refused it.
    #[error("the cluster did not admit this node")]
    Join(#[source] Failure),
    /// A backup cannot be turned into this node.
    #[error("cannot restore this node")]
    Backup(#[source] Failure),
    /// The directory is not that of a control node.
    #[error("`{}` is no data directory of a control node", dir.display())]
    NoControlNode {
        /// The directory.
        dir: PathBuf,
    },
    /// The CA of the cluster cannot be made or used.
    #[error("cannot use the CA of the cluster")]
    Authority(#[source] Source),
    /// An address cannot be listened on.
    #[error("cannot listen on `{url}`")]
    Listen {
        /// The address.
        url: LinkUrl,
        /// Why.
        #[source]
        source: Source,
    },
    /// The API cannot be served.
    #[error("cannot serve the API")]
    Api(#[source] ServeError),
    /// The configuration of REST Commander cannot be used.
    #[error("cannot use the configuration of REST Commander in `{}`", dir.display())]
    RestCommander {
        /// Where it is.
        dir: PathBuf,
        /// Why.
        source: CatalogueError,
    },
    /// Part of the node does not start.
    #[error("cannot start {part}")]
    Part {
        /// Which part.
        part: &'static str,
        /// Why.
        #[source]
        source: Source,
    },
}

impl AgentError {
    pub(crate) fn authority(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Authority(Box::new(error))
    }

    pub(crate) fn part<E: Error + Send + Sync + 'static>(
        part: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Part { part, source: Box::new(source) }
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::DataDir(error) => error.kind(),
            Self::ClusterExists { .. } => ErrorKind::Exists,
            Self::NoCluster
            | Self::Incomplete { .. }
            | Self::Listen { .. }
            | Self::Tracker { .. }
            | Self::RestCommander { .. } => ErrorKind::Invalid,
            Self::Join(failure) | Self::Backup(failure) => failure.kind,
            Self::NoControlNode { .. } => ErrorKind::NotFound,
            Self::Api(error) => error.kind(),
            Self::ClusterFile { .. } | Self::Authority(_) | Self::Part { .. } => {
                ErrorKind::Internal
            }
        }
    }

    /// What to try.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::DataDir(error) => error.hint(),
            Self::ClusterExists { .. } => {
                "start it with `remuda agent --control --bootstrap`, or choose another directory"
            }
            Self::ClusterFile { .. } => "restore it from a backup",
            Self::NoCluster => {
                "start a cluster with --control --bootstrap, join one with --join URL --token TOKEN, \
                 or wait to be added to one with --await --listen URL --token TOKEN"
            }
            Self::Incomplete { missing } if missing.contains("token") => {
                "a control node prints a token with `remuda cluster join-token worker`"
            }
            Self::Incomplete { missing } if missing.contains("--listen") => {
                "a node that waits to be added is dialled: listen, as in --listen remuda://all"
            }
            Self::Incomplete { .. } => {
                "give the address of any control node, as in --join 10.0.0.1"
            }
            Self::Join(failure) | Self::Backup(failure) => return failure.hint.clone(),
            Self::NoControlNode { .. } => "give the --data-dir with which its agent was started",
            Self::Api(error) => return error.hint().map(str::to_owned),
            Self::Listen { .. } | Self::Tracker { .. } => {
                "the port may be taken or the address foreign to this machine; port 0 takes a free one"
            }
            Self::RestCommander { .. } => {
                "give the directory of agentcommand.conf with --rest-commander; see \
                 docs/compat/rest-commander.md"
            }
            Self::Part { source, .. } => return advice(source.as_ref()).map(str::to_owned),
            Self::Authority(_) => return None,
        };
        Some(text.to_owned())
    }
}

/// What helps a control node whose copy of the authority cannot be used.
const REBUILD: &str = "restore the file from a backup of this very node, or remove this control node \
                       from the cluster, move the directory away and let the node join again";

/// What the first of the causes that knows what to try says.
fn advice(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let replica = error.downcast_ref::<remuda_store::OpenError>();
        let worker = error.downcast_ref::<remuda_worker::StartError>();
        let control = error.downcast_ref::<remuda_control::OpenError>();
        let hint = replica
            .map(remuda_store::OpenError::hint)
            .or_else(|| worker.map(remuda_worker::StartError::hint))
            .or_else(|| match control? {
                remuda_control::OpenError::Authority(_) => Some(REBUILD),
                _ => None,
            });
        if hint.is_some() {
            return hint;
        }
        cause = error.source();
    }
    None
}
