//! A web server that is every loopback host, as quick as it can be, and one that takes a second.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket},
};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\nversion=1.2.3";
/// What the slow one takes.
const SLOW: Duration = Duration::from_secs(1);
const BACKLOG: u32 = 4096;

/// Serves both for ever; says the ports when it is ready.
pub(crate) fn serve() -> Result<()> {
    // One thread: the other processor is for who asks.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (fast, slow) = (listen()?, listen()?);
        println!("{} {}", fast.local_addr()?.port(), slow.local_addr()?.port());
        tokio::try_join!(answer(fast, Duration::ZERO), answer(slow, SLOW))?;
        Ok(())
    })
}

fn listen() -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::UNSPECIFIED, 0).into())?;
    socket.listen(BACKLOG).context("listen")
}

async fn answer(listener: TcpListener, after: Duration) -> Result<()> {
    loop {
        let (mut stream, _from) = listener.accept().await?;
        tokio::spawn(async move {
            let mut request = [0; 2048];
            // Who asks may go away at any time.
            if stream.read(&mut request).await.is_ok() {
                if !after.is_zero() {
                    tokio::time::sleep(after).await;
                }
                drop(stream.write_all(ANSWER).await);
            }
        });
    }
}
