//! How two nodes prove to each other who they are before a link carries anything else.
//!
//! ```text
//! client                                   server
//!   Opening, Hello  ───────────────────────▶  which version, which secret or certificate?
//!   ◀─────────────────────────────  AuthInit
//!   Proof { mac }   ───────────────────────▶  proved? admitted?
//!   ◀───────────────────  Ok { mac } | Refused
//! ```
//!
//! A node that waits to be invited is the client of the control node that dialled it, after an
//! [`invitation`]; its proofs are made for that direction only.
//!
//! Both proofs are HMACs over one [`Transcript`], which holds everything that both sides said and
//! the binding of the TLS channel that carried it; so a proof is good for one connection only.
//! [`Client`] and [`Server`] are pure: frames go in, effects come out. Time limits, delays before
//! refusals and the counting of failures are the business of whoever drives them.

mod claim;
mod client;
mod message;
mod proof;
mod secret;
mod server;
mod version;

pub use claim::{Claim, ParseClaimError};
pub use client::{Client, ClientConfig, ClientEffect, ClientError, Proof};
pub use message::{
    AuthInit, Bearer, Credential, FrameError, FromClient, FromServer, Hello, MAX_FRAME, Method,
    Opening, Refusal, frame, frame_length, invitation, read_invitation,
};
pub use proof::{CHANNEL_BINDING_LABEL, Transcript};
pub use secret::{ITERATIONS, Kdf, KdfError, Key, MAX_ITERATIONS, MIN_ITERATIONS, Secret};
pub use server::{Grant, Server, ServerConfig, ServerEffect, ServerInput};

use remuda_model::{ClusterId, Generation, LinkUrl, NodeId, Role};

/// Clocks that differ by more are worth a warning, in milliseconds.
pub const SKEW_WARNING_MS: u64 = 2_000;
/// Clocks that differ by more cannot agree on a certificate's first day: a join is refused, in
/// milliseconds.
pub const SKEW_LIMIT_MS: u64 = 60_000;

/// What one side knows of the other once both have proved themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Established {
    /// The protocol version that both speak.
    pub version: u16,
    /// The cluster of both.
    pub cluster: ClusterId,
    /// The other side's name.
    pub node: NodeId,
    /// Its role on this link.
    pub role: Role,
    /// Its boot counter.
    pub generation: Generation,
    /// The version of its build.
    pub build: String,
    /// Where it says that it can be dialled.
    pub addresses: Vec<LinkUrl>,
    /// How the dialling side proved itself.
    pub method: Method,
}

/// Something that is wrong but does not prevent the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The clocks differ.
    ClockSkew {
        /// The other side.
        node: NodeId,
        /// By how much, in milliseconds.
        skew_ms: u64,
    },
}

/// How far two wall clocks are apart, in milliseconds.
fn skew_ms(ours: u64, theirs: u64) -> u64 {
    ours.abs_diff(theirs)
}

#[cfg(test)]
mod tests;
