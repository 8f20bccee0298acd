//! A control node with its API, and requests byte by byte.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use remuda_artifact::{Store, StoreConfig};
use remuda_control::{Control, ControlConfig};
use remuda_model::ClusterId;
use remuda_runtime::Supervisor;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{ApiConfig, ApiLimits, dto::Scope, serve};

/// Nothing here takes that long.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// A cluster of one control node with an API.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) control: Control,
    pub(super) read: String,
    pub(super) operate: String,
    pub(super) admin: String,
    pub(super) supervisor: Supervisor,
    pub(super) dir: TempDir,
}

impl Server {
    pub(super) async fn start() -> Self {
        // The tests try many wrong tokens, all from one address.
        Self::with(ApiLimits { failures_per_second: u32::MAX, ..ApiLimits::default() }).await
    }

    pub(super) async fn with(limits: ApiLimits) -> Self {
        Self::configured(|config| config.limits = limits).await
    }

    pub(super) async fn configured(change: impl FnOnce(&mut ApiConfig)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let supervisor = Supervisor::new();
        let config = ControlConfig {
            node: "c1".parse().expect("valid"),
            data_dir: dir.path().to_owned(),
            addresses: Vec::new(),
            authority: None,
            classes: Vec::new(),
            artifacts: Store::open(StoreConfig::new(dir.path().join("artifacts")))
                .await
                .expect("opens"),
            timing: remuda_store::Timing::default(),
        };
        let control = Control::open(config, supervisor.clone()).await.expect("opens");
        control.bootstrap(ClusterId::random(), "test", Vec::new()).await.expect("bootstraps");
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = ApiConfig::new(loopback);
        change(&mut config);
        let address = serve(config, control.clone(), supervisor.clone()).await.expect("serves");
        let [read, operate, admin] = [Scope::Read, Scope::Operate, Scope::Admin].map(|scope| {
            let control = control.clone();
            async move {
                let made = control.create_token(scope.as_str(), scope.into(), None).await;
                made.expect("a token").1
            }
        });
        let (read, operate, admin) = (read.await, operate.await, admin.await);
        Self { address, control, read, operate, admin, supervisor, dir }
    }

    /// A request with a token and a body of JSON.
    pub(super) async fn call(&self, method: &str, path: &str, token: &str, body: &str) -> Answer {
        let headers = format!("Host: {}\r\nAuthorization: Bearer {token}\r\n", self.address);
        self.raw(&request(method, path, &headers, body)).await
    }

    /// Bytes as they are, and the answer that follows.
    pub(super) async fn raw(&self, bytes: &str) -> Answer {
        let mut stream = self.connect().await;
        // A server that has seen enough may close before it has read all.
        drop(stream.write_all(bytes.as_bytes()).await);
        Answer::read(&mut stream).await
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connects")
    }

    pub(super) async fn stop(self) {
        assert!(self.supervisor.shutdown(DEADLINE).await, "all tasks end");
    }
}

/// A request in bytes.
pub(super) fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

/// An answer whose body has a known length, or only the head of another.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// In lower case.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) async fn read(stream: &mut TcpStream) -> Self {
        timeout(DEADLINE, Self::read_slowly(stream)).await.expect("an answer in time")
    }

    async fn read_slowly(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            let read = stream.read_buf(&mut bytes).await.expect("an answer");
            assert_ne!(read, 0, "the head ended early: {:?}", String::from_utf8_lossy(&bytes));
        };
        let mut body = bytes.split_off(end);
        let head = String::from_utf8(bytes).expect("text").to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
            .unwrap_or(0);
        while body.len() < length {
            assert_ne!(
                stream.read_buf(&mut body).await.expect("a body"),
                0,
                "the body ended early"
            );
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self { status: status.expect("a status"), head, body }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The code of the failure that it carries.
    pub(super) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().expect("a failure").to_owned()
    }

    /// The message of the failure that it carries.
    pub(super) fn message(&self) -> String {
        self.json()["error"]["message"].as_str().expect("a failure").to_owned()
    }
}
