//! Other systems, measured in the same run. They come from Debian's packages and run as processes
//! of ours, on loopback, as long as the measurement.

pub(crate) mod erlang;
pub(crate) mod etcd;
mod grpc;
pub(crate) mod nats;

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep},
};

/// How long a peer may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program, found as the shell finds it.
fn find(program: &str, package: &str) -> Result<PathBuf> {
    let places = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&places).collect();
    places.push("/usr/sbin".into());
    let found = places.into_iter().map(|dir| dir.join(program)).find(|path| path.is_file());
    found.with_context(|| format!("no program `{program}`: apt-get install {package}"))
}

/// What Debian calls the version of a package.
fn version(package: &str) -> String {
    let mut query = std::process::Command::new("dpkg-query");
    query.args(["-W", "-f", "${Version}", package]);
    let output = query.output().map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&output).into_owned();
    if text.is_empty() { "of unknown version".to_owned() } else { text }
}

/// Starts a process that ends with its handle and says nothing.
fn start(program: &Path, arguments: &[&str]) -> Result<Child> {
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().with_context(|| format!("cannot start {}", program.display()))
}

/// A port that is free now. Nobody keeps it free; on a machine that measures nobody takes it.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until a process listens.
async fn listens(child: &mut Child, address: SocketAddr) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(address).await.is_err() {
        ensure!(child.try_wait()?.is_none(), "the process for {address} ended");
        ensure!(Instant::now() < end, "nobody listens at {address}");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
