//! Finds the owner of this worker and keeps a session with it.

mod actor;
pub(crate) mod core;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use remuda_link::{KeyId, Link};
use remuda_model::{Failure, LinkUrl};

pub(crate) use self::actor::{Actor, LEARNT_KEY, learnt};

/// What the agent tells the search.
pub(crate) enum News {
    /// A control node has dialled this one.
    Offered(Link),
    /// Links that rest on other CAs than these are to be replaced.
    Trusted(Vec<KeyId>),
}

/// Dials one address.
pub(crate) type Dialler =
    Arc<dyn Fn(LinkUrl) -> BoxFuture<'static, Result<Link, Failure>> + Send + Sync>;

/// A dial that has not ended then has failed.
const DIAL_LIMIT: Duration = Duration::from_secs(15);
/// How long a control node may take to answer an announcement.
const ANNOUNCE_LIMIT: Duration = Duration::from_secs(5);
/// How long calls on a link that is replaced may still run.
const RETIRE_LIMIT: Duration = Duration::from_mins(1);
/// How long the answers to such calls may take to get through: closing a link drops what it has not
/// sent yet.
const LINGER: Duration = Duration::from_secs(5);
