//! `remuda task`.

use clap::Subcommand;
use remuda_model::{ClassName, NodeId, Span, TaskId};

use super::{Connect, Format, Many, Raw};

#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// Start a task of a job class
    #[command(after_help = "\
With --on and --all there is one line for each node, and the exit code is 7 when some of them failed.

Examples:
  remuda task start dev1 exec '{\"argv\": [\"sleep\", \"60\"]}' --id nap
  remuda task start --on gpu function '{\"source\": \"() => 42\"}'")]
    Start {
        /// Name of the node, unless --on or --all; then the name of the job class; then what to do, in
        /// the words of the class, where `-` reads it from the standard input
        #[arg(required = true, num_args = 1..=3, value_name = "[NODE] CLASS [JSON]")]
        words: Vec<String>,
        /// Id of the task, the same on every node; a fresh one for each unless given
        #[arg(long)]
        id: Option<TaskId>,
        #[command(flatten)]
        many: Many,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// List tasks
    #[command(
        visible_alias = "ls",
        after_help = "Example:\n  remuda task list --node dev1 --running"
    )]
    List {
        /// Only of this node
        #[arg(long)]
        node: Option<NodeId>,
        /// Only of this job class
        #[arg(long)]
        class: Option<ClassName>,
        /// Only those that have not ended
        #[arg(long)]
        running: bool,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show all about one task
    #[command(after_help = "Example:\n  remuda task show nap")]
    Show(TaskArgs),
    /// Print the output of a task
    #[command(after_help = "Example:\n  remuda task logs nap --follow")]
    Logs {
        #[command(flatten)]
        task: TaskArgs,
        /// Wait for more until the task has ended
        #[arg(long, short)]
        follow: bool,
        /// From which byte of the record on
        #[arg(long, value_name = "BYTES", default_value_t = 0)]
        offset: u64,
        #[command(flatten)]
        raw: Raw,
    },
    /// Send a message to a running task
    #[command(after_help = "Example:\n  remuda task send nap '{\"signal\": \"TERM\"}'")]
    Send {
        #[command(flatten)]
        task: TaskArgs,
        /// The message in the words of its class; `-` reads it from the standard input
        #[arg(value_name = "JSON")]
        payload: String,
        /// How long to wait for the answer; 30s unless given
        #[arg(long, value_name = "SPAN")]
        timeout: Option<Span>,
    },
    /// Ask tasks to end, and end them by force after a while
    #[command(after_help = "Example:\n  remuda task stop nap --grace 5s")]
    Stop {
        #[command(flatten)]
        task: TaskArgs,
        /// How long it has to end by itself
        #[arg(long, value_name = "SPAN", default_value = "10s")]
        grace: Span,
    },
    /// Forget an ended task and its output
    #[command(visible_alias = "rm", after_help = "Example:\n  remuda task remove nap")]
    Remove(TaskArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct TaskArgs {
    /// Id of the task
    pub(crate) task: TaskId,
    /// Its node; needed when several nodes have a task of this id
    #[arg(long)]
    pub(crate) node: Option<NodeId>,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) connect: Connect,
}
