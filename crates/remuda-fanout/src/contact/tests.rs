//! Contacts with servers on loopback that do as they should, and as they should not.

mod http;
mod names;
mod ping;
mod poll;
mod ssh;
mod tcp;
mod tls;

use std::{collections::BTreeMap, net::SocketAddr};

use remuda_model::run::{Capture, Http, Keep, Priority, Tls};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;

/// A server that does the same with every connection; it ends with the runtime of the test.
async fn serve<F>(behave: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(behave(stream));
        }
    });
    address
}

/// Reads the head of a request, and as much of a body as it announces.
async fn request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.is_ok_and(|n| n > 0) {
        text.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&text).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
    let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
    stream.read_exact(&mut body).await.expect("a body");
    text.extend(body);
    String::from_utf8_lossy(&text).into_owned()
}

/// A server that answers every request with what a function makes of it.
async fn answering(answer: impl Fn(&str) -> String + Clone + Send + 'static) -> SocketAddr {
    serve(move |mut stream| {
        let answer = answer.clone();
        async move {
            let asked = request(&mut stream).await;
            let answer = answer(&asked);
            // The client may have gone.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await
}

fn reply(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

fn get(url: String) -> Http {
    Http {
        method: "GET".to_owned(),
        url,
        headers: Vec::new(),
        body: None,
        expect: None,
        redirects: 0,
        tls: Tls::default(),
        capture: Capture { body: None, headers: Keep::None },
        poll: None,
    }
}

fn spec(command: Command) -> RunSpec {
    RunSpec {
        name: None,
        command,
        vars: BTreeMap::new(),
        limits: Limits::default(),
        on: None,
        from_each: None,
        at_most_once: false,
        priority: Priority::Normal,
    }
}

/// A worker where loopback is allowed, as in all tests but those of the policy.
fn shared() -> Arc<Shared> {
    let config = PolicyConfig { allow_loopback: true, ..PolicyConfig::default() };
    Arc::new(Shared::new(config))
}

fn given(host: &str) -> Given {
    Given { index: 7, host: host.to_owned(), vars: Vec::new() }
}

async fn attempt_with(spec: &RunSpec, secrets: &Secrets, target: &Given) -> Attempt {
    attempt_by(shared(), spec, secrets, target).await
}

async fn attempt_by(
    shared: Arc<Shared>,
    spec: &RunSpec,
    secrets: &Secrets,
    target: &Given,
) -> Attempt {
    let contactor = Contactor::new(spec, secrets, shared).expect("a valid run");
    // As the engine does it: on any thread.
    let target = target.clone();
    tokio::spawn(async move { contactor.attempt(&target).await }).await.expect("no panic")
}

async fn attempt(command: Command) -> Attempt {
    attempt_with(&spec(command), &Secrets::default(), &given("127.0.0.1")).await
}

/// The same with little time: `first_byte_ms` and `total_ms`.
async fn hurried(command: Command, first_byte_ms: u64, total_ms: u64) -> Attempt {
    let mut spec = spec(command);
    spec.limits.first_byte_ms = first_byte_ms;
    spec.limits.total_ms = total_ms;
    attempt_with(&spec, &Secrets::default(), &given("127.0.0.1")).await
}

impl Attempt {
    fn kind(&self) -> Option<TroubleKind> {
        self.record.trouble.as_ref().map(|trouble| trouble.kind)
    }

    fn message(&self) -> &str {
        self.record.trouble.as_ref().map_or("", |trouble| &trouble.message)
    }

    fn body(&self) -> String {
        String::from_utf8_lossy(&self.record.body).into_owned()
    }
}
