//! The traits that extend a cluster.
//!
//! A **job class** answers requests, runs tasks and takes commands on workers, and sees the events
//! of its tasks on control nodes. Write one as [`JobClass`]; the agent handles it as
//! [`Arc<dyn Class>`](Class), made by [`erase`].
//!
//! ```
//! use remuda_model::Failure;
//! use remuda_plugin::{JobClass, RequestContext, Running, Task};
//!
//! /// Adds numbers.
//! #[derive(Debug)]
//! struct Sum;
//!
//! impl JobClass for Sum {
//!     const NAME: &'static str = "sum";
//!     type Request = Vec<i64>;
//!     type Reply = i64;
//!     type Spec = ();
//!     type Command = ();
//!     type CommandReply = ();
//!     type Event = ();
//!
//!     async fn request(&self, _: RequestContext, numbers: Vec<i64>) -> Result<i64, Failure> {
//!         Ok(numbers.iter().sum())
//!     }
//! }
//! let class = remuda_plugin::erase(Sum);
//! assert_eq!(class.name().as_str(), "sum");
//! ```

mod class;
mod erased;
pub mod output;
mod table;
mod task;

pub use class::{JobClass, RequestContext};
pub use erased::{Class, erase};
pub use table::{ClassTable, TwoClasses};
pub use task::{Command, EventSink, Input, RawInput, RawTask, Reply, Running, Task, Work};
