//! Authenticated connections between nodes, over tls, tcp, ws, wss, quic and memory.
//!
//! A [`Link`] carries many [`Stream`]s, each opened under the name of a protocol. [`Router`] gives
//! the streams that a peer opens to their handlers.

mod link;
mod mux;
mod router;
mod stream;

pub use link::{CallError, CloseReason, Incoming, Link, LinkError, MAX_REPLY, Peer};
pub use remuda_wire::handshake::{Method, Secret};
pub use remuda_wire::mux::{Config as MuxConfig, Priority, Side, code};
pub use router::Router;
pub use stream::{RecvHalf, SendHalf, Stream, StreamError, splice};
