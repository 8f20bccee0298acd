//! Requests that no honest client sends.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use crate::wait::PATIENCE;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status; 0 when the connection was closed without an answer.
    pub status: u16,
    /// Everything, with head and body.
    pub text: String,
}

/// A request with a token and further lines of the head.
pub fn request(api: &str, method: &str, path: &str, token: Option<&str>, more: &str) -> String {
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let bearer = bearer.unwrap_or_default();
    let host = if more.to_ascii_lowercase().contains("host:") {
        String::new()
    } else {
        format!("Host: {api}\r\n")
    };
    let length = if more.to_ascii_lowercase().contains("content-length:")
        || more.to_ascii_lowercase().contains("transfer-encoding:")
    {
        ""
    } else {
        "Content-Length: 2\r\nContent-Type: application/json\r\n"
    };
    let body = if length.is_empty() || method == "GET" { "" } else { "{}" };
    let length = if method == "GET" { "" } else { length };
    format!(
        "{method} {path} HTTP/1.1\r\n{host}{bearer}{length}{more}Connection: close\r\n\r\n{body}"
    )
}

/// Sends bytes to an API and reads until it closes.
///
/// # Panics
///
/// When nobody listens, or it takes too long.
pub fn exchange(api: &str, bytes: &[u8]) -> Answer {
    let mut socket = TcpStream::connect(api).expect("the API listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    // It may answer and close before everything is said.
    let sent = socket.write_all(bytes);
    let mut said = Vec::new();
    let read = socket.read_to_end(&mut said);
    if let (Ok(()), Err(error)) = (sent, read) {
        let kind = error.kind();
        assert_eq!(kind, std::io::ErrorKind::ConnectionReset, "not closed: {error}");
    }
    let text = String::from_utf8_lossy(&said).into_owned();
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    Answer { status, text }
}
