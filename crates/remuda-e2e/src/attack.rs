//! What attackers have: stolen certificates, other source addresses, raw connections.

mod http;
mod raw;
mod thief;

pub use http::{Answer, exchange, request};
pub use raw::{Raw, Tls, old_hello};
pub use thief::{Thief, stolen};
