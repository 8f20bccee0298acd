//! A client of a cluster's REST API.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use remuda::client::Client;
//!
//! let client = Client::from_env()?;
//! for node in client.nodes().await? {
//!     println!("{} is {}", node.id, node.status);
//! }
//! # Ok(())
//! # }
//! ```

mod body;
mod calls;
mod config;
mod connection;
mod fanout;
mod fetch;
mod files;
mod node_class;
mod schedules;
mod stream;
mod tls;
mod transport;

#[cfg(test)]
mod tests;

pub use config::{Ca, ClientConfig};
pub use fanout::RecordStream;
pub use fetch::fetch;
pub use files::LocalFile;
pub use remuda_api::dto;
pub use remuda_driver_wasm::{Grants, Load, Loaded, Quota};
pub use remuda_worker::Call;
pub use stream::{EventMessage, EventStream, FileLines, OutputStream};

use std::sync::Arc;

use remuda_model::Failure;

use self::transport::Transport;

/// Speaks to one control node, which speaks for the whole cluster.
///
/// Cheap to clone; clones share a few connections. Calls end with a [`Failure`] whose kind says
/// what to do: after `outcome_unknown` and `timed_out` a call may have had its effect.
///
/// # Cancel safety
///
/// A call whose future is dropped may still have its effect. Streams lose nothing when a `next`
/// is dropped.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Arc<Transport>,
    consistency: dto::Consistency,
}

impl Client {
    /// A client; nothing is connected before the first call.
    ///
    /// # Errors
    ///
    /// `invalid` when the address cannot be read, or TLS is asked for without a certificate
    /// authority to trust.
    #[expect(clippy::needless_pass_by_value, reason = "the token should not be left around")]
    pub fn new(config: ClientConfig) -> Result<Self, Failure> {
        let transport = Arc::new(Transport::new(&config)?);
        Ok(Self { transport, consistency: dto::Consistency::Linearizable })
    }

    /// A client as the environment says: `REMUDA_ADDR` (default `http://127.0.0.1:44200`),
    /// `REMUDA_TOKEN`, and for `https` `REMUDA_CA`, a file with certificates in PEM.
    ///
    /// # Errors
    ///
    /// `invalid` when `REMUDA_TOKEN` is missing or one of the others cannot be read.
    pub fn from_env() -> Result<Self, Failure> {
        Self::new(ClientConfig::from_env()?)
    }

    /// The same client whose reads are answered from what the control node knows now, even when
    /// the cluster has no leader.
    pub fn stale(&self) -> Self {
        Self { transport: self.transport.clone(), consistency: dto::Consistency::Stale }
    }

    /// Where the client connects to.
    pub fn address(&self) -> String {
        self.transport.address()
    }
}
