//! What every actor shares: back-off, supervision, shutdown, the wall clock.

mod backoff;
mod clock;
mod supervisor;
mod within;

pub mod trace;
pub use backoff::Backoff;
pub use clock::wall_ms;
pub use supervisor::{Supervisor, contained};
pub use tokio_util::sync::CancellationToken;
pub use within::within;
