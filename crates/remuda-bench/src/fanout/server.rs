//! Web servers that are every loopback host: one as quick as it can be, one that takes a second, one
//! of which some hosts never answer.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
};

use super::SILENT;

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\nversion=1.2.3";
const BACKLOG: u32 = 4096;
/// What the slow one takes.
const SLOW: Duration = Duration::from_secs(1);

/// How a server answers.
#[derive(Clone, Copy)]
enum Manner {
    Fast,
    Slow,
    /// One host of so many says nothing.
    Stuck,
}

/// Serves all for ever; says the ports when it is ready.
pub(crate) fn serve() -> Result<()> {
    // One thread: the other processor is for who asks.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (fast, slow, stuck) = (listen()?, listen()?, listen()?);
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        println!("{} {} {}", port(&fast)?, port(&slow)?, port(&stuck)?);
        let (fast, slow) = (answer(fast, Manner::Fast), answer(slow, Manner::Slow));
        tokio::try_join!(fast, slow, answer(stuck, Manner::Stuck))?;
        Ok(())
    })
}

fn listen() -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::UNSPECIFIED, 0).into())?;
    socket.listen(BACKLOG).context("listen")
}

async fn answer(listener: TcpListener, manner: Manner) -> Result<()> {
    loop {
        let (mut stream, _from) = listener.accept().await?;
        tokio::spawn(async move {
            let mut request = [0; 2048];
            // Who asks may go away at any time.
            if stream.read(&mut request).await.is_err() {
                return;
            }
            match manner {
                Manner::Slow => tokio::time::sleep(SLOW).await,
                Manner::Stuck if is_silent(&stream) => {
                    drop(stream.read(&mut request).await);
                    return;
                }
                Manner::Fast | Manner::Stuck => {}
            }
            drop(stream.write_all(ANSWER).await);
        });
    }
}

/// Whether the host that was asked never answers.
fn is_silent(stream: &TcpStream) -> bool {
    match stream.local_addr().map(|address| address.ip()) {
        Ok(IpAddr::V4(host)) => (u32::from(host) as usize).is_multiple_of(SILENT),
        _ => false,
    }
}
