//! The words of the command line. Nothing here decides anything.

mod agent;
mod call;
mod class;
mod cluster;
mod common;
mod cp;
mod debug;
mod dev;
mod discovery;
mod event;
mod exec;
mod fanout;
mod many;
mod node;
mod request;
mod task;
mod token;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub(crate) use agent::AgentArgs;
pub(crate) use call::{CallArgs, Function};
pub(crate) use class::{ClassCommand, ClassNodes, Grant};
pub(crate) use cluster::{BackupArgs, ClusterCommand, JoinRole, RecoverArgs, RestoreArgs};
pub(crate) use common::{Connect, Format, Raw};
pub(crate) use cp::{CpArgs, NodePath, Place};
pub(crate) use debug::DebugCommand;
pub(crate) use dev::DevArgs;
pub(crate) use discovery::{DiscoverArgs, TrackerArgs};
pub(crate) use event::EventArgs;
pub(crate) use exec::ExecArgs;
pub(crate) use fanout::{
    AddSchedule, Changed, FanoutCommand, HttpArgs, PingArgs, RunArgs, ScheduleCommand,
    ScheduledCommand, SourceArgs, SshArgs, TargetArgs, TargetForm, TargetsCommand, TcpArgs,
    TlsArgs, Which,
};
pub(crate) use many::{Many, ToClass};
pub(crate) use node::{NodeCommand, StatusArgs};
pub(crate) use request::RequestArgs;
pub(crate) use task::{TaskArgs, TaskCommand};
pub(crate) use token::{TokenCommand, TokenScope};

/// Turns machines into a cluster and runs work on them.
#[derive(Debug, Parser)]
#[command(
    name = "remuda",
    version,
    arg_required_else_help = true,
    after_help = "Example: start five nodes on this machine and try them\n  remuda dev"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a local cluster of real processes
    Dev(DevArgs),
    /// Run one node in the foreground
    Agent(Box<AgentArgs>),
    /// List clusters that can be found from here
    Discover(DiscoverArgs),
    /// Serve a bulletin board on which nodes find their cluster
    Tracker(TrackerArgs),
    /// Show and change nodes
    #[command(subcommand, after_help = "Example:\n  remuda node list --on gpu")]
    Node(NodeCommand),
    /// Ask a job class on a node
    Request(RequestArgs),
    /// Call a function on one or many nodes
    Call(CallArgs),
    /// Run a command on one or many nodes
    Exec(Box<ExecArgs>),
    /// Copy a file to nodes, from a node, or from node to node
    Cp(CpArgs),
    /// Send one command to very many targets
    #[command(
        subcommand,
        after_help = "Example:\n  remuda fanout http GET 'https://{{host}}:8443/health' --targets hosts.txt"
    )]
    Fanout(FanoutCommand),
    /// Load, list and unload WebAssembly job classes
    #[command(subcommand, after_help = "Example:\n  remuda class load greeter greeter.wasm --all")]
    Class(ClassCommand),
    /// Start, watch and stop tasks
    #[command(subcommand, after_help = "Example:\n  remuda task list --running")]
    Task(TaskCommand),
    /// Print what happens in the cluster
    Event(EventArgs),
    /// Make, inspect and change the cluster itself
    #[command(subcommand, after_help = "Example:\n  remuda cluster status")]
    Cluster(ClusterCommand),
    /// Give and take API tokens
    #[command(subcommand, after_help = "Example:\n  remuda token create ci --scope operate")]
    Token(TokenCommand),
    /// Find out what is wrong
    #[command(subcommand, after_help = "Example:\n  remuda debug bundle")]
    Debug(DebugCommand),
    /// Show how a node would be configured
    #[command(subcommand, after_help = "Example:\n  remuda config show --config remuda.toml")]
    Config(ConfigCommand),
    /// Print completions for a shell
    #[command(
        after_help = "Example:\n  remuda completions bash > ~/.local/share/bash-completion/completions/remuda"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Run one function, which comes on the standard input
    #[command(hide = true)]
    FunctionHelper,
    /// Run one file or repository
    #[command(hide = true)]
    ScriptRun {
        /// The directory of the task
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Hold the processes of one agent
    #[command(hide = true)]
    Holder {
        /// The directory of the holder
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print each effective value and where it comes from
    #[command(after_help = "Example:\n  remuda config show --config remuda.toml --control")]
    Show {
        #[command(flatten)]
        agent: Box<AgentArgs>,
        #[command(flatten)]
        format: Format,
    },
}
