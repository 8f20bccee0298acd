//! Erlang: `erpc:call` between two nodes of its distribution.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::{PATIENCE, find, free_port, listens, start, version};
use crate::load::{Sample, Span};

const PACKAGE: &str = "erlang-base";
/// Both nodes run this.
const SOURCE: &str = include_str!("bench.erl");

/// Two connected nodes.
#[derive(Debug)]
pub(crate) struct Erlang {
    pub(crate) name: String,
    caller: Node,
    _server: Node,
    _epmd: Child,
    _dir: TempDir,
}

/// A node that speaks in lines.
#[derive(Debug)]
struct Node {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Erlang {
    pub(crate) async fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("bench.erl"), SOURCE)?;
        let erlc = find("erlc", PACKAGE)?;
        let mut compile = Command::new(erlc);
        let compiled = compile.current_dir(dir.path()).arg("bench.erl").output().await?;
        ensure!(compiled.status.success(), "erlc: {}", String::from_utf8_lossy(&compiled.stdout));
        // A name service of our own, apart from one that may run here.
        let port = free_port()?.to_string();
        let arguments = ["-port", &port, "-address", "127.0.0.1"];
        let mut epmd = start(&find("epmd", PACKAGE)?, &arguments)?;
        listens(&mut epmd, format!("127.0.0.1:{port}").parse()?).await?;
        let server = Node::start(dir.path(), &port, "server", "bench:serve()").await?;
        let drive = "bench:drive('server@127.0.0.1')";
        let caller = Node::start(dir.path(), &port, "caller", drive).await?;
        let name = format!("Erlang erpc {}", version(PACKAGE));
        Ok(Self { name, caller, _server: server, _epmd: epmd, _dir: dir })
    }

    /// Lets so many processes call for a while, each resting after each call.
    pub(crate) async fn run(
        &mut self,
        callers: usize,
        span: Span,
        pause: Duration,
    ) -> Result<Sample> {
        let (warm, run) = (span.warm_up.as_millis(), span.run.as_millis());
        let command = format!("{callers} {warm} {run} {}\n", pause.as_millis());
        self.caller.input.write_all(command.as_bytes()).await?;
        let limit = span.warm_up + span.run + PATIENCE;
        let line = timeout(limit, self.caller.output.next_line()).await.context("Erlang")??;
        let line = line.context("the Erlang node ended")?;
        let numbers: Vec<u64> =
            line.split(' ').map(str::parse).collect::<Result<_, _>>().context(line.clone())?;
        let [calls, p50, p99, p999, errors] = numbers[..] else { anyhow::bail!("{line}") };
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = calls as f64 / span.run.as_secs_f64();
        let nanos = Duration::from_nanos;
        let (p50, p99, p999) = (nanos(p50), nanos(p99), nanos(p999));
        Ok(Sample { callers, rate, p50, p99, p999, errors, error: None })
    }
}

impl Node {
    async fn start(dir: &Path, epmd: &str, name: &str, run: &str) -> Result<Self> {
        let mut command = Command::new(find("erl", PACKAGE)?);
        command.current_dir(dir).env("HOME", dir).env("ERL_EPMD_PORT", epmd);
        command.args(["-noshell", "-name", &format!("{name}@127.0.0.1"), "-setcookie", "bench"]);
        command.args(["-start_epmd", "false", "-kernel", "inet_dist_use_interface", "{127,0,0,1}"]);
        command.args(["-eval", &format!("{run}.")]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.kill_on_drop(true).spawn().context("cannot start erl")?;
        let input = child.stdin.take().context("piped")?;
        let mut output = BufReader::new(child.stdout.take().context("piped")?).lines();
        let start = Instant::now();
        let ready = timeout(PATIENCE, output.next_line()).await.context("erl is late")??;
        let spent = start.elapsed();
        ensure!(ready.as_deref() == Some("ready"), "erl after {spent:?}: {ready:?}");
        Ok(Self { input, output, _child: child })
    }
}
