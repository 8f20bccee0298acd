//! The messages of each protocol; a protocol is the name under which a stream is opened.
//!
//! | protocol | opened by | shape |
//! |---|---|---|
//! | [`ANNOUNCE`] | worker, at any control node | one call |
//! | [`SESSION`] | worker, at its owner | one stream for the life of the ownership |
//! | [`WORK`] | owner, at its worker | one call each |
//! | [`OUTPUT`] | a control node, at a worker | a header, then chunks |
//! | [`FILE`] | a control node, at a worker | a header, then content and what is said of it |
//! | [`RUN`] | a control node, at a worker | one stream for the share in a fan-out run |
//! | [`CONTROL`] | control node, at another | one call each |
//! | [`RAFT`] | control node, at another | one call each, bytes of the replica |
//! | [`RUNS`] | control node, at another | a call, then what it brings |
//! | [`COPY`] | control node, at another | one stream for the second copy of a fan-out run |
//! | [`RELAY`] | control node, at another | a header, then the spliced stream |
//! | [`EVENTS`] | control node or client, at a control node | a filter, then events |
//! | [`CLIENT`] | client, at any control node | one call each |
//! | [`JOIN`] | a node without certificate | one call: a signing request, answered with credentials |
//! | [`TRUST`] | owner, at its worker | one call |

pub mod announce;
pub mod client;
pub mod control;
pub mod copy;
pub mod file;
pub mod join;
pub mod output;
pub mod run;
pub mod runs;
pub mod session;
pub mod trust;
pub mod work;

macro_rules! protocols {
    ($($(#[$about:meta])* $name:ident = $text:literal,)*) => {
        $($(#[$about])* pub const $name: &str = $text;)*

        /// The names of all protocols.
        pub const PROTOCOLS: &[&str] = &[$($name),*];
    };
}

protocols! {
    /// A worker looks for its owner: [`announce::Announce`] → [`announce::Answer`].
    ANNOUNCE = "remuda/announce/1",
    /// A worker and its owner: [`session::FromWorker`] and [`session::FromOwner`].
    SESSION = "remuda/session/1",
    /// Work for a worker: [`work::Call`] → [`work::Reply`].
    WORK = "remuda/work/1",
    /// The output of a task: [`output::Follow`], then [`output::Chunk`]s.
    OUTPUT = "remuda/output/1",
    /// A file for a worker, or of a worker: [`file::Call`], then content.
    FILE = "remuda/file/1",
    /// The share of a worker in a fan-out run: [`run::ToWorker`] and [`run::FromWorker`].
    RUN = "remuda/run/1",
    /// Control nodes among themselves: [`control::Call`] → [`control::Reply`].
    CONTROL = "remuda/control/1",
    /// Raft among control nodes.
    RAFT = "remuda/raft/1",
    /// Fan-out runs that another control node coordinates: [`runs::Call`], then [`runs::Answer`]s.
    RUNS = "remuda/runs/1",
    /// The second copy of a fan-out run: [`copy::ToStandby`] and [`copy::FromStandby`].
    COPY = "remuda/copy/1",
    /// A stream to a worker through the control node that has its link: [`control::Relay`].
    RELAY = "remuda/relay/1",
    /// A worker's stream to its owner through the control node that has its link:
    /// [`control::RelayUp`].
    RELAY_UP = "remuda/relay-up/1",
    /// Events: [`control::Subscribe`], then [`remuda_model::Event`]s.
    EVENTS = "remuda/events/1",
    /// A program that uses the cluster: [`client::Call`] → [`client::Reply`].
    CLIENT = "remuda/client/1",
    /// First contact: [`join::Request`] → [`join::Answer`].
    JOIN = "remuda/join/1",
    /// Which certificate authorities count: [`trust::Call`] → [`trust::Reply`].
    TRUST = "remuda/trust/1",
}
