//! etcd: puts over gRPC. It syncs its log before it acknowledges, as remuda does.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Child,
    time::{Instant, sleep, timeout},
};

use super::{
    PATIENCE, find, free_port,
    grpc::{Channel, field},
    listens, start, version,
};
use crate::load::Caller;

const PACKAGE: &str = "etcd-server";
const PUT: &str = "/etcdserverpb.KV/Put";

/// Members on this machine, which end with this.
#[derive(Debug)]
pub(crate) struct Etcd {
    pub(crate) name: String,
    clients: Vec<SocketAddr>,
    _members: Vec<Child>,
    _dir: TempDir,
}

impl Etcd {
    /// Starts so many members, with their data below a directory, and waits until they take puts.
    pub(crate) async fn start(below: &Path, members: usize) -> Result<Self> {
        let program = find("etcd", PACKAGE)?;
        let dir = TempDir::with_prefix_in("etcd-", below)?;
        let mut ports = Vec::new();
        for number in 1..=members {
            ports.push((format!("m{number}"), free_port()?, free_port()?));
        }
        let peers: Vec<String> =
            ports.iter().map(|(name, _, peer)| format!("{name}=http://127.0.0.1:{peer}")).collect();
        let (mut children, mut clients) = (Vec::new(), Vec::new());
        for (name, client, peer) in &ports {
            let data = dir.path().join(name);
            let (client_url, peer_url) =
                (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
            let child = start(
                &program,
                &[
                    ["--name", name],
                    ["--data-dir", data.to_str().context("a path in UTF-8")?],
                    ["--listen-client-urls", &client_url],
                    ["--advertise-client-urls", &client_url],
                    ["--listen-peer-urls", &peer_url],
                    ["--initial-advertise-peer-urls", &peer_url],
                    ["--initial-cluster", &peers.join(",")],
                    ["--initial-cluster-token", "bench"],
                ]
                .concat(),
            )?;
            children.push(child);
            clients.push(format!("127.0.0.1:{client}").parse()?);
        }
        for (child, address) in children.iter_mut().zip(&clients) {
            listens(child, *address).await?;
        }
        let name = format!("etcd {}, {members} members", version(PACKAGE));
        Ok(Self { name, clients, _members: children, _dir: dir })
    }

    /// Connects to the leader, over one connection.
    pub(crate) async fn writer(&self, value: usize) -> Result<Writer> {
        let end = Instant::now() + PATIENCE;
        loop {
            for address in &self.clients {
                let mut writer = Writer {
                    channel: Channel::connect(*address).await?,
                    value: vec![7; value],
                    caller: 0,
                    calls: 0,
                };
                let leads = matches!(leads(*address).await, Ok(true));
                if leads && matches!(timeout(PATIENCE, writer.call()).await, Ok(Ok(()))) {
                    return Ok(writer);
                }
            }
            ensure!(Instant::now() < end, "etcd has no leader");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Whether the member at an address is the leader, as its JSON gateway says.
async fn leads(address: SocketAddr) -> Result<bool> {
    let mut socket = TcpStream::connect(address).await?;
    let request = format!(
        "POST /v3/maintenance/status HTTP/1.1\r\nHost: {address}\r\nContent-Length: 2\r\n\
         Connection: close\r\n\r\n{{}}"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    timeout(PATIENCE, socket.read_to_string(&mut answer)).await??;
    let body = answer.find("\r\n\r\n{").and_then(|at| answer.get(at..)).context("no body")?;
    let status: Value = serde_json::from_str(body.trim()).context(answer.clone())?;
    let leader = status["leader"].as_str().context("no leader")?;
    Ok(status["header"]["member_id"].as_str() == Some(leader))
}

/// Puts values under a thousand keys of its own.
#[derive(Clone)]
pub(crate) struct Writer {
    channel: Channel,
    value: Vec<u8>,
    caller: usize,
    calls: u64,
}

impl Writer {
    /// As many callers as asked for, 64 on each connection: a client of HTTP/2 has at most a
    /// hundred calls under way on one until it was told otherwise.
    pub(crate) async fn callers(&self, n: usize) -> Result<Vec<Self>> {
        let mut callers = Vec::with_capacity(n);
        let mut channel = self.channel.clone();
        for caller in 1..=n {
            if caller % 64 == 0 {
                channel = self.channel.again().await?;
            }
            callers.push(Self { caller, channel: channel.clone(), ..self.clone() });
        }
        Ok(callers)
    }
}

impl Caller for Writer {
    async fn call(&mut self) -> Result<()> {
        self.calls += 1;
        let key = format!("bench/{}/{}", self.caller, self.calls % 1000);
        let mut message = Vec::with_capacity(self.value.len() + key.len() + 8);
        field(&mut message, 1, key.as_bytes());
        field(&mut message, 2, &self.value);
        self.channel.call(PUT, &message).await
    }
}
