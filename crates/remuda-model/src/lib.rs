//! The words of remuda: ids, labels, selectors, URLs, statuses, records and error kinds.
//!
//! Plain data with parsing, checking and display. Nothing here knows a socket, a file or a clock,
//! so every other crate may depend on it.

pub mod counter;
mod cursor;
pub mod error;
pub mod event;
pub mod id;
pub mod labels;
pub mod node;
mod release;
pub mod role;
pub mod run;
pub mod selector;
pub mod span;
pub mod task;
mod trace;
pub mod url;

pub use counter::{Epoch, Generation, Revision};
pub use error::{Chain, ErrorKind, Failure};
pub use event::{Event, EventBody};
pub use id::{
    ClassName, ClusterId, Digest, NodeId, ParseIdError, RunId, ScheduleId, TargetListId, TaskId,
    TokenId,
};
pub use labels::Labels;
pub use node::{NodeStats, NodeStatus, NodeView};
pub use release::{Release, VERSION};
pub use role::{Role, Roles};
pub use selector::Selector;
pub use span::Span;
pub use task::{ExitStatus, TaskEnd, TaskRecord, TaskState};
pub use trace::{Hex, ParseTraceError, TraceContext};
pub use url::{JoinUrl, LinkUrl, Transport};
