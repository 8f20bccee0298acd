//! What every actor shares: back-off, supervision, shutdown, the wall clock, metrics, traces.

mod backoff;
mod clock;
pub mod metrics;
mod spawn;
mod supervisor;
pub mod trace;
mod within;

pub use backoff::Backoff;
pub use clock::wall_ms;
pub use spawn::{Ended, Handle, Simulated, Task, blocking, simulate, spawn};
pub use supervisor::{Supervisor, contained};
pub use tokio_util::sync::CancellationToken;
pub use within::within;
