//! Authenticated connections between nodes, over tls, tcp, ws, wss, quic and memory.
//!
//! A [`Link`] carries many [`Stream`]s, each opened under the name of a protocol. [`Router`] gives
//! the streams that a peer opens to their handlers.

mod authority;
mod client;
mod endpoint;
mod handshake;
mod identity;
mod join;
mod limits;
mod link;
mod metrics;
mod mux;
mod quic;
mod router;
mod stream;
mod tls;
mod token;
mod transport;

pub use authority::{Authority, AuthorityError};
pub use client::connect_client;
pub use endpoint::{
    Admission, CertificatesOnly, DialCause, DialError, Endpoint, EndpointConfig, ListenError,
    Upgraded, Waiting, WaitingConfig,
};
pub use identity::{CertificateError, CertificateFacts, Identity, KeyId, NodeCertificate, pin_of};
pub use join::{JOINED, JoinError, Joining, answer_join, join, join_with, renew};
pub use limits::Limits;
pub use link::{CallError, CloseReason, Incoming, Link, LinkError, MAX_REPLY, Peer};
pub use metrics::write_metrics;
pub use remuda_wire::handshake::{Method, Secret};
pub use remuda_wire::mux::{Config as MuxConfig, Priority, Side, code};
pub use router::Router;
pub use stream::{RecvHalf, SendHalf, Stream, StreamError, splice};
pub use token::{JoinToken, ParseTokenError};
pub use transport::proxy::{ParseProxyError, Proxy};
