//! Fan-out runs: many targets, one templated command, and a record of each target.
//!
//! Texts that are called *templates* may contain `{{host}}` and `{{vars.NAME}}`, which are filled in
//! for each target before it is contacted.

mod http;
mod limits;
mod record;
mod spec;
mod ssh;
mod tcp;
mod view;

pub use http::{Capture, Header, Http, Keep, Payload, Poll, Tls};
pub use limits::{
    DEFAULT_BODY, Limits, MAX_BODY, MAX_CONCURRENCY, MAX_HEADERS, MAX_RETRIES, MAX_TOTAL_MS,
};
pub use record::{Outcome, Record, Trouble, TroubleKind};
pub use spec::{Command, Priority, RunSpec, Secret, Secrets};
pub use ssh::{HostKeys, Login, Ssh, Sudo};
pub use tcp::{Ping, PingMode, Tcp, Until};
pub use view::{Counts, RunState, RunView, Slow, WorkerShare};
