//! An API of paper: answers what a test wants to be answered.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

type Answer = dyn Fn(&str, &str) -> (u16, String) + Send + Sync;

/// A server that lives until the test process ends.
pub(crate) struct Api {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Api {
    /// Serves; `answer` gets method with path, and body, and gives status and body.
    pub(crate) fn serve(
        answer: impl Fn(&str, &str) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen): (Arc<Answer>, _) = (Arc::new(answer), asked.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (answer.clone(), seen.clone());
                // A client that goes away ends its connection only.
                thread::spawn(move || drop(converse(stream, &*answer, &seen)));
            }
        });
        Self { address, asked }
    }

    /// All requests so far: method, path and body.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn converse(stream: TcpStream, answer: &Answer, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut head = String::new();
        if lines.read_line(&mut head)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            lines.read_line(&mut line)?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        lines.read_exact(&mut body)?;
        let body = String::from_utf8(body).unwrap();
        let what = head.trim().trim_end_matches(" HTTP/1.1").to_owned();
        seen.lock().unwrap().push(format!("{what} {body}").trim().to_owned());
        let (status, text) = answer(&what, &body);
        write!(
            stream,
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        )?;
    }
}
