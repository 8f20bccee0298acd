//! The least that a client can do: connect, send, read to the end, close; with `epoll`, in one
//! thread, and without keeping anything.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use rustix::{
    event::epoll,
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, ipproto, recv, send,
        socket_with,
    },
};
use slab::Slab;

use super::hosts;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: limit\r\nConnection: close\r\n\r\n";

struct Exchange {
    socket: OwnedFd,
    is_sent: bool,
    got: usize,
}

/// How long it takes for so many hosts, so many at a time.
pub(super) async fn run(port: u16, targets: usize, at_a_time: usize) -> Result<Duration> {
    tokio::task::spawn_blocking(move || exchange(port, targets, at_a_time)).await?
}

fn exchange(port: u16, targets: usize, at_a_time: usize) -> Result<Duration> {
    let begun = Instant::now();
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut open: Slab<Exchange> = Slab::with_capacity(at_a_time);
    let mut waiting = hosts(targets);
    let mut events = Vec::with_capacity(at_a_time);
    let mut done = 0;
    while done < targets {
        while open.len() < at_a_time {
            let Some(host) = waiting.next() else { break };
            begin(&poll, &mut open, host, port)?;
        }
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let key = usize::try_from(event.data.u64())?;
            if advance(&mut open[key])? {
                open.remove(key);
                done += 1;
            }
        }
    }
    Ok(begun.elapsed())
}

fn begin(poll: &OwnedFd, open: &mut Slab<Exchange>, host: Ipv4Addr, port: u16) -> Result<()> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    match connect(&socket, &SocketAddrV4::new(host, port)) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let entry = open.vacant_entry();
    let wanted = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
    epoll::add(poll, &socket, epoll::EventData::new_u64(entry.key() as u64), wanted)?;
    entry.insert(Exchange { socket, is_sent: false, got: 0 });
    Ok(())
}

/// Whether it is over.
fn advance(exchange: &mut Exchange) -> Result<bool> {
    if !exchange.is_sent {
        match send(&exchange.socket, REQUEST, SendFlags::NOSIGNAL) {
            Ok(_) => exchange.is_sent = true,
            Err(Errno::AGAIN | Errno::NOTCONN) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    let mut buffer = [0; 4096];
    loop {
        match recv(&exchange.socket, &mut buffer, RecvFlags::empty()) {
            Ok((_, 0)) => {
                ensure!(exchange.got > 0, "an answer is empty");
                return Ok(true);
            }
            Ok((_, bytes)) => exchange.got += bytes,
            Err(Errno::AGAIN) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}
