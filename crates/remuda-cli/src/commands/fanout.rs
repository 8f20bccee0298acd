//! `remuda fanout`: one command for very many targets.

mod follow;
mod parquet;
mod results;
mod schedule;
mod show;
mod spec;
mod start;
mod target_lists;
mod targets;

use remuda_model::run::RunView;

use super::{connect::client, interruptible};
use crate::{
    args::{Changed, FanoutCommand, Format},
    environment::Environment,
    error::Stop,
    output::Printer,
};

pub(super) async fn run(command: FanoutCommand, environment: &Environment) -> Result<(), Stop> {
    let (prepared, run) = match command {
        FanoutCommand::Http(args) => (spec::http(&args).await?, (args.targets, args.run)),
        FanoutCommand::Ssh(args) => {
            (spec::ssh(&args, environment).await?, (args.targets, args.run))
        }
        FanoutCommand::Tcp(args) => (spec::tcp(&args).await?, (args.targets, args.run)),
        FanoutCommand::Ping(args) => (spec::ping(&args), (args.targets, args.run)),
        FanoutCommand::Targets(command) => {
            return Box::pin(interruptible(target_lists::run(command, environment))).await;
        }
        FanoutCommand::Schedule(command) => {
            return Box::pin(interruptible(schedule::run(command, environment))).await;
        }
        other => {
            return Box::pin(interruptible(read_or_change(other, environment))).await;
        }
    };
    Box::pin(start::run(prepared, run, environment)).await
}

async fn read_or_change(command: FanoutCommand, environment: &Environment) -> Result<(), Stop> {
    match command {
        FanoutCommand::List { format, connect } => {
            show::list(&client(&connect, environment)?, format).await
        }
        FanoutCommand::Show { run, format, connect } => {
            show::one(&client(&connect, environment)?, &run, format).await
        }
        FanoutCommand::Results {
            run,
            which,
            follow,
            body,
            csv,
            hosts,
            parquet,
            raw,
            format,
            connect,
        } => {
            let client = client(&connect, environment)?;
            let query = results::query(which, follow);
            if let Some(file) = parquet {
                return parquet::write(&client, &run, &query, &file).await;
            }
            let form = results::Form::new(format, csv, hosts, body, raw);
            results::print(&client, &run, query, form).await
        }
        FanoutCommand::Search { host, text, raw, format, connect } => {
            let client = client(&connect, environment)?;
            results::search(
                &client,
                host,
                text,
                results::Form::new(format, false, false, true, raw),
            )
            .await
        }
        FanoutCommand::Group { run, by, hosts, outcome, format, connect } => {
            let client = client(&connect, environment)?;
            show::groups(&client, &run, (by, hosts, outcome), format).await
        }
        FanoutCommand::Diff { before, after, hosts, format, connect } => {
            let client = client(&connect, environment)?;
            show::diff(&client, (&before, &after), hosts, format).await
        }
        FanoutCommand::Pause(Changed { run, format, connect }) => {
            let view = client(&connect, environment)?.pause_run(&run).await?;
            print_state(format, &view)
        }
        FanoutCommand::Resume(Changed { run, format, connect }) => {
            let view = client(&connect, environment)?.resume_run(&run).await?;
            print_state(format, &view)
        }
        FanoutCommand::Cancel(Changed { run, format, connect }) => {
            let view = client(&connect, environment)?.cancel_run(&run).await?;
            print_state(format, &view)
        }
        FanoutCommand::Remove(Changed { run, connect, .. }) => {
            Ok(client(&connect, environment)?.remove_run(&run).await?)
        }
        FanoutCommand::Http(_)
        | FanoutCommand::Ssh(_)
        | FanoutCommand::Tcp(_)
        | FanoutCommand::Ping(_)
        | FanoutCommand::Targets(_)
        | FanoutCommand::Schedule(_) => Ok(()),
    }
}

fn print_state(format: Format, view: &RunView) -> Result<(), Stop> {
    Ok(Printer::new(format).value(view, |view| {
        format!("{}: {}, {} of {} done", view.id, view.state, view.done, view.targets)
    })?)
}
