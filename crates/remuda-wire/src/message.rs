//! The messages of each protocol; a protocol is the name under which a stream is opened.
//!
//! | protocol | opened by | shape |
//! |---|---|---|
//! | [`ANNOUNCE`] | worker, at any control node | one call |
//! | [`SESSION`] | worker, at its owner | one stream for the life of the ownership |
//! | [`WORK`] | owner, at its worker | one call each |
//! | [`OUTPUT`] | a control node, at a worker | a header, then chunks |
//! | [`CONTROL`] | control node, at another | one call each |
//! | [`RAFT`] | control node, at another | one call each, bytes of the replica |
//! | [`RELAY`] | control node, at another | a header, then the spliced stream |
//! | [`EVENTS`] | control node or client, at a control node | a filter, then events |
//! | [`CLIENT`] | client, at any control node | one call each |
//! | [`JOIN`] | a node without certificate | one call: a signing request, answered with credentials |

pub mod announce;
pub mod client;
pub mod control;
pub mod join;
pub mod output;
pub mod session;
pub mod work;

/// A worker looks for its owner: [`announce::Announce`] → [`announce::Answer`].
pub const ANNOUNCE: &str = "remuda/announce/1";
/// A worker and its owner: [`session::FromWorker`] and [`session::FromOwner`].
pub const SESSION: &str = "remuda/session/1";
/// Work for a worker: [`work::Call`] → [`work::Reply`].
pub const WORK: &str = "remuda/work/1";
/// The output of a task: [`output::Follow`], then [`output::Chunk`]s.
pub const OUTPUT: &str = "remuda/output/1";
/// Control nodes among themselves: [`control::Call`] → [`control::Reply`].
pub const CONTROL: &str = "remuda/control/1";
/// Raft among control nodes.
pub const RAFT: &str = "remuda/raft/1";
/// A stream to a worker through the control node that has its link: [`control::Relay`].
pub const RELAY: &str = "remuda/relay/1";
/// A worker's stream to its owner through the control node that has its link:
/// [`control::RelayUp`].
pub const RELAY_UP: &str = "remuda/relay-up/1";
/// Events: [`control::Subscribe`], then [`remuda_model::Event`]s.
pub const EVENTS: &str = "remuda/events/1";
/// A program that uses the cluster: [`client::Call`] → [`client::Reply`].
pub const CLIENT: &str = "remuda/client/1";
/// First contact: [`join::Request`] → [`join::Answer`].
pub const JOIN: &str = "remuda/join/1";
