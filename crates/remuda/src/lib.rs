//! The cluster is a library.
//!
//! - [`client::Client`] speaks to a cluster from anywhere, over its REST API.
//! - [`agent::Agent`] is a node inside your program: it joins a cluster or makes one, runs work, and
//!   brings job classes of your own ([`plugin::JobClass`]).
//!
//! ```no_run
//! use remuda::client::Client;
//! use serde_json::json;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::from_env()?; // REMUDA_ADDR and REMUDA_TOKEN
//! for node in client.nodes().await? {
//!     let load = client.request(&node.id, &"node".parse()?, json!("info"), None).await?;
//!     println!("{}: {}", node.id, load);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Two complete programs stand in `examples/`: `client.rs` and `own_class.rs`.

pub mod agent;
pub mod client;

pub use remuda_model as model;
pub use remuda_plugin as plugin;

/// Work for a node, as bytes: what [`control::Control::work`] takes and gives.
pub mod work {
    pub use remuda_wire::message::work::{Done, Op};
}

/// The control side of an embedded node.
pub mod control {
    pub use remuda_control::{Consistency, Control};
    pub use remuda_wire::message::control::Subscribe;
}

/// Traces: what this process did, for exporters of a program's own.
pub use remuda_runtime::trace;

/// Links, for programs with protocols of their own.
pub mod link {
    pub use remuda_link::{Link, Priority, Router, Stream};
}

/// The process that keeps the processes of a node: the whole of `remuda holder`.
pub use remuda_driver_exec::{HolderError, run_holder};

/// What runs functions, files and repositories: the whole of `remuda function-helper` and
/// `remuda script-run DIR`. Both must run before the program has started any thread.
pub use remuda_driver_script::{run_function_helper, run_script};
