//! REST v1 of a cluster: routes, their description, the event stream.
//!
//! [`serve`] puts the use cases of [`remuda_control::Control`] behind HTTP/1.1. Every call passes
//! one gate (`guard`) that knows all routes from one table (`route`) and lets nothing else pass:
//!
//! ```text
//! connection ─► guard: host ─► origin ─► token ─► scope ─► handler ─► Control
//! ```
//!
//! What callers send and get is in [`dto`]; records of `remuda_model` travel as they are.

mod access;
mod answer;
mod api;
mod config;
mod connection;
mod described;
pub mod dto;
mod extract;
mod guard;
mod handler;
mod metrics;
pub mod openapi;
mod route;
mod serve;
mod surface;

#[cfg(test)]
mod tests;

pub use config::{ApiConfig, ApiLimits, ApiTls, ServeError, TlsError};
#[doc(hidden)]
pub use extract::check_depth;
pub use metrics::MoreMetrics;
pub use serve::serve;
pub use surface::{Surface, serve_surface};
