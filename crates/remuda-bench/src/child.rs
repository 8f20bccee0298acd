//! The other processes of a measurement: this program again, with the role in its arguments. Each
//! prints one line when it is ready and ends when its standard input does.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::TcpListener,
    process::{Child, ChildStdin, Command},
};

use crate::{cluster, fanout, peers::nats, raw};

/// A child and the line by which it said that it is ready.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) line: String,
    /// Closing it ends the child.
    _stdin: ChildStdin,
    _child: Child,
}

/// Starts this program in another role.
pub(crate) async fn start(arguments: &[&str]) -> Result<Running> {
    let program = std::env::current_exe().context("this program has a path")?;
    let mut command = Command::new(program);
    command.arg("child").args(arguments).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start a child")?;
    let stdin = child.stdin.take().context("piped")?;
    let mut lines = BufReader::new(child.stdout.take().context("piped")?).lines();
    let first = tokio::time::timeout(Duration::from_mins(1), lines.next_line()).await;
    let line = first.context("a child was not ready in time")??.context("a child ended")?;
    Ok(Running { line, _stdin: stdin, _child: child })
}

/// What a child does.
pub(crate) async fn run(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["raw"] => {
            let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
            println!("{}", listener.local_addr().context("bound")?);
            tokio::select! {
                ended = raw::serve(listener) => ended,
                () = parent_gone() => Ok(()),
            }
        }
        ["web"] => {
            let mut serving = tokio::task::spawn_blocking(fanout::serve);
            tokio::select! {
                ended = &mut serving => ended?,
                // A thread that serves for ever must not keep the process alive.
                () = parent_gone() => std::process::abort(),
            }
        }
        ["nats", address] => {
            let address = address.parse().context("the address of the server")?;
            tokio::select! {
                ended = nats::respond(address, || println!("ready")) => ended,
                () = parent_gone() => Ok(()),
            }
        }
        ["worker", dir, joins, later, token] => {
            let agent = cluster::worker(Path::new(dir), joins, later, token).await?;
            println!("{}", agent.node());
            parent_gone().await;
            Ok(())
        }
        ["control", dir, transport] => {
            let founded = cluster::control(Path::new(dir), transport).await?;
            println!("{}", serde_json::to_string(&founded.told)?);
            parent_gone().await;
            Ok(())
        }
        _ => bail!("no such child: {arguments:?}"),
    }
}

async fn parent_gone() {
    let mut rest = Vec::new();
    drop(tokio::io::stdin().read_to_end(&mut rest).await);
}
