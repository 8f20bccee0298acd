//! `remuda fanout targets` and `remuda fanout schedule`.

use clap::{Args, Subcommand};
use remuda_model::{ScheduleId, Span, TargetListId};

use super::{
    super::{Connect, Format},
    HttpArgs, PingArgs, SshArgs, TcpArgs,
    options::SourceArgs,
};

#[derive(Debug, Subcommand)]
pub(crate) enum TargetsCommand {
    /// Keep targets under a name, in place of what was there
    #[command(after_help = "\
Examples:
  remuda fanout targets save web -t 'web[001-500].example'
  remuda fanout targets save shops --targets shops.csv
  remuda fanout http GET 'https://{{host}}/health' --saved web --saved shops")]
    Save {
        /// The name
        name: TargetListId,
        #[command(flatten)]
        source: SourceArgs,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// List what is kept
    #[command(visible_alias = "ls", after_help = "Example:\n  remuda fanout targets list")]
    List {
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Print the lines of a list
    #[command(after_help = "Example:\n  remuda fanout targets show web > web.txt")]
    Show(OneList),
    /// Forget a list; schedules that name it begin nothing from then on
    #[command(visible_alias = "rm", after_help = "Example:\n  remuda fanout targets remove web")]
    Remove(OneList),
}

/// Which list.
#[derive(Debug, Args)]
pub(crate) struct OneList {
    /// The name
    pub(crate) name: TargetListId,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) connect: Connect,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Make a schedule: when, then what and to whom as for a run
    #[command(after_help = "\
What --saved and --nodes name is looked up anew for each run. Keys and passwords are kept by the
cluster until the schedule is removed.

Examples:
  remuda fanout schedule add nightly --cron '0 2 * * *' --timezone Europe/Berlin \\
    http GET 'https://{{host}}/health' --saved web
  remuda fanout schedule add often --every 30s ping -t 'db[1-3].example'")]
    Add(AddSchedule),
    /// List schedules and how they stand
    #[command(visible_alias = "ls", after_help = "Example:\n  remuda fanout schedule list")]
    List {
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show a schedule: when, what, to whom, and how it stands
    #[command(after_help = "Example:\n  remuda fanout schedule show nightly")]
    Show(OneSchedule),
    /// Begin no more runs
    #[command(after_help = "Example:\n  remuda fanout schedule pause nightly")]
    Pause(OneSchedule),
    /// Go on; what was due meanwhile is not made up for
    #[command(after_help = "Example:\n  remuda fanout schedule resume nightly")]
    Resume(OneSchedule),
    /// Begin a run now, and print its id
    #[command(after_help = "Example:\n  remuda fanout schedule run nightly")]
    Run(OneSchedule),
    /// Forget a schedule; its runs stay
    #[command(
        visible_alias = "rm",
        after_help = "Example:\n  remuda fanout schedule remove nightly"
    )]
    Remove(OneSchedule),
}

/// Which schedule.
#[derive(Debug, Args)]
pub(crate) struct OneSchedule {
    /// The name
    pub(crate) name: ScheduleId,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) connect: Connect,
}

#[derive(Debug, Args)]
pub(crate) struct AddSchedule {
    /// The name; ids of runs begin with it
    pub(crate) name: ScheduleId,
    /// When, as in a crontab: `0 2 * * *` is every night at two
    #[arg(long, value_name = "EXPRESSION", required_unless_present = "every")]
    pub(crate) cron: Option<String>,
    /// The time zone of the expression, such as Europe/Berlin; UTC unless given
    #[arg(long, value_name = "ZONE", conflicts_with = "every")]
    pub(crate) timezone: Option<String>,
    /// Again and again after so much time, in whole seconds
    #[arg(long, value_name = "TIME", conflicts_with = "cron")]
    pub(crate) every: Option<Span>,
    /// Begin a run although the one before has not ended
    #[arg(long)]
    pub(crate) overlap: bool,
    /// Begin nothing until it is resumed
    #[arg(long)]
    pub(crate) paused: bool,
    #[command(subcommand)]
    pub(crate) command: ScheduledCommand,
}

/// What the runs of a schedule do.
#[derive(Debug, Subcommand)]
pub(crate) enum ScheduledCommand {
    /// Send an HTTP request to each target
    Http(Box<HttpArgs>),
    /// Run a command line on each target over SSH
    Ssh(Box<SshArgs>),
    /// Send bytes to each target over TCP, and read what comes back
    Tcp(Box<TcpArgs>),
    /// Find out which targets are there
    Ping(Box<PingArgs>),
}
