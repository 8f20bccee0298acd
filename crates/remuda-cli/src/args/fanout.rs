//! `remuda fanout`.

mod command;
mod options;
mod plans;

use std::path::PathBuf;

use clap::Subcommand;
use remuda_model::RunId;

use super::{Connect, Format, Raw};
pub(crate) use command::{HttpArgs, PingArgs, SshArgs, TcpArgs, TlsArgs};
pub(crate) use options::{RunArgs, SourceArgs, TargetArgs, TargetForm};
pub(crate) use plans::{AddSchedule, ScheduleCommand, ScheduledCommand, TargetsCommand};

#[derive(Debug, Subcommand)]
pub(crate) enum FanoutCommand {
    /// Send an HTTP request to each target
    Http(Box<HttpArgs>),
    /// Run a command line on each target over SSH
    Ssh(Box<SshArgs>),
    /// Send bytes to each target over TCP, and read what comes back
    Tcp(Box<TcpArgs>),
    /// Find out which targets are there
    Ping(Box<PingArgs>),
    /// List runs
    #[command(visible_alias = "ls", after_help = "Example:\n  remuda fanout list")]
    List {
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show how a run stands: outcomes, times, the slowest targets, each worker
    #[command(after_help = "Example:\n  remuda fanout show 4k2m9x1c")]
    Show {
        /// The run
        run: RunId,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Print what became of targets
    #[command(after_help = "\
Examples:
  remuda fanout results 4k2m9x1c --outcome failed,timed_out
  remuda fanout results 4k2m9x1c --host 'web1*' --body
  remuda fanout results 4k2m9x1c --csv > results.csv
  remuda fanout results 4k2m9x1c --parquet results.parquet
  remuda fanout results 4k2m9x1c --outcome failed --hosts | remuda fanout http GET … --targets -")]
    Results {
        /// The run
        run: RunId,
        #[command(flatten)]
        which: Which,
        /// Wait for more until the run has ended
        #[arg(long, short)]
        follow: bool,
        /// Print bodies and outputs, too
        #[arg(long)]
        body: bool,
        /// Print CSV
        #[arg(long, conflicts_with_all = ["json", "hosts"])]
        csv: bool,
        /// Print hosts only, as targets of another run
        #[arg(long, conflicts_with = "json")]
        hosts: bool,
        /// Write a Parquet file, bodies and outputs included; one that is there is replaced, and `-`
        /// is the standard output
        #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "csv", "hosts", "body", "raw"])]
        parquet: Option<PathBuf>,
        #[command(flatten)]
        raw: Raw,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Find a host, or a text, in all runs
    #[command(after_help = "\
Examples:
  remuda fanout search 'web17.example'
  remuda fanout search 'web*' --text 'OutOfMemory'")]
    Search {
        /// The host; `*` and `?` stand for others
        host: String,
        /// A regular expression for body, standard error or trouble
        #[arg(long, value_name = "REGEX")]
        text: Option<String>,
        #[command(flatten)]
        raw: Raw,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Group the targets of a run by what they answered
    #[command(after_help = "\
Examples:
  remuda fanout group 4k2m9x1c --by status
  remuda fanout group 4k2m9x1c --by 'regex:version=(\\S+)'
  remuda fanout group 4k2m9x1c --by json:/build/version --hosts 20")]
    Group {
        /// The run
        run: RunId,
        /// outcome, status, trouble, worker, body, regex:EXPRESSION or json:PATH
        #[arg(long)]
        by: String,
        /// How many hosts of each group are named
        #[arg(long, value_name = "N", default_value_t = 5)]
        hosts: u32,
        /// Only targets that ended so, such as `ok,unexpected`
        #[arg(long, value_name = "OUTCOMES")]
        outcome: Option<String>,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show what a later run has different
    #[command(after_help = "Example:\n  remuda fanout diff 4k2m9x1c 7h3n0q2d")]
    Diff {
        /// The earlier run
        before: RunId,
        /// The later run
        after: RunId,
        /// How many hosts of each kind of change are named
        #[arg(long, value_name = "N", default_value_t = 20)]
        hosts: u32,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Begin no more targets; what is under way is finished
    #[command(after_help = "Example:\n  remuda fanout pause 4k2m9x1c")]
    Pause(Changed),
    /// Go on with a paused run
    #[command(after_help = "Example:\n  remuda fanout resume 4k2m9x1c")]
    Resume(Changed),
    /// Give up what has no answer yet, at once
    #[command(after_help = "Example:\n  remuda fanout cancel 4k2m9x1c")]
    Cancel(Changed),
    /// Forget a run that has ended, and its results
    #[command(visible_alias = "rm", after_help = "Example:\n  remuda fanout remove 4k2m9x1c")]
    Remove(Changed),
    /// Keep lists of targets under names
    #[command(
        subcommand,
        after_help = "Example:\n  remuda fanout targets save web -t 'web[001-500].example'"
    )]
    Targets(TargetsCommand),
    /// Begin runs by the clock
    #[command(
        subcommand,
        after_help = "Example:\n  remuda fanout schedule add nightly --cron '0 2 * * *' http GET 'https://{{host}}/' --saved web"
    )]
    Schedule(ScheduleCommand),
}

/// Which run.
#[derive(Debug, clap::Args)]
pub(crate) struct Changed {
    /// The run
    pub(crate) run: RunId,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) connect: Connect,
}

/// Which records.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Which {
    /// Only targets that ended so, such as `failed,timed_out`
    #[arg(long, value_name = "OUTCOMES")]
    pub(crate) outcome: Option<String>,
    /// Only these statuses or exit codes, such as `500-599,404`
    #[arg(long, value_name = "STATUSES")]
    pub(crate) status: Option<String>,
    /// Only this host; `*` and `?` stand for others
    #[arg(long, value_name = "PATTERN")]
    pub(crate) host: Option<String>,
    /// Only where this regular expression is in body, standard error or trouble
    #[arg(long, value_name = "REGEX")]
    pub(crate) text: Option<String>,
    /// Only what this worker brought
    #[arg(long, value_name = "NODE")]
    pub(crate) worker: Option<String>,
    /// Only targets that took so long or longer, such as `500ms`
    #[arg(long, value_name = "TIME")]
    pub(crate) slower_than: Option<remuda_model::Span>,
    /// At most so many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
}
