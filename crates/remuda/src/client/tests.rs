//! The client before servers that answer byte by byte, and before a real API.

mod canned;
mod real;

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::{Client, ClientConfig};

/// What a canned server does with one connection: an answer for each request, then the end.
type Script = Vec<&'static str>;

/// A server that plays scripts, one for each connection, and reports every request.
async fn canned(scripts: Vec<Script>) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    let (seen, requests) = mpsc::channel(64);
    tokio::spawn(async move {
        for script in scripts {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            for answer in script {
                seen.send(request(&mut stream).await).await.expect("the test goes on");
                stream.write_all(answer.as_bytes()).await.expect("answers");
            }
        }
        // Further connections are accepted by the kernel and never answered.
        std::future::pending::<()>().await;
        drop(listener);
    });
    (address, requests)
}

/// Reads one request: its head and as much body as it announces.
async fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().expect("a number")) {
                return String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        assert_ne!(stream.read_buf(&mut bytes).await.expect("a request"), 0, "ended early");
    }
}

fn client(address: SocketAddr) -> Client {
    let config = ClientConfig::new(format!("http://{address}"), "rmt1.test.secret");
    Client::new(ClientConfig { timeout: Duration::from_secs(20), ..config }).expect("a client")
}
