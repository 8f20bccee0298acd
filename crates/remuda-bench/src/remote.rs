//! Calls through remuda.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use remuda::{
    control::Control,
    link::{Link, Priority},
    model::{ClassName, NodeId},
    work::{Done, Op},
};
use remuda_wire::{
    decode, encode,
    message::{CLIENT, client},
};

use crate::load::Caller;

const PATIENCE: Duration = Duration::from_secs(10);
/// As long as the raw payload: a number of sixteen digits.
const PAYLOAD: &[u8] = b"1234567890123456";

fn request(class: &ClassName) -> Op {
    Op::Request { class: class.clone(), payload: PAYLOAD.to_vec() }
}

fn check(done: &Done) -> Result<()> {
    match done {
        Done::Payload(bytes) if bytes == PAYLOAD => Ok(()),
        other => bail!("a wrong reply: {other:?}"),
    }
}

/// One hop: the library inside the owning control node.
#[derive(Clone)]
pub(crate) struct OneHop {
    pub(crate) control: Control,
    pub(crate) node: NodeId,
    pub(crate) class: ClassName,
}

impl Caller for OneHop {
    async fn call(&mut self) -> Result<()> {
        check(&self.control.work(&self.node, request(&self.class), PATIENCE).await?)
    }
}

/// Two hops: a client, its control node, the worker.
#[derive(Clone)]
pub(crate) struct TwoHops {
    pub(crate) link: Link,
    pub(crate) node: NodeId,
    pub(crate) class: ClassName,
}

impl Caller for TwoHops {
    async fn call(&mut self) -> Result<()> {
        let op = request(&self.class);
        let deadline_ms = u64::try_from(PATIENCE.as_millis())?;
        let call = encode(&client::Call::Work { node: self.node.clone(), deadline_ms, op });
        let reply = self.link.call(CLIENT, Priority::Calls, call, PATIENCE).await?;
        match decode::<client::Reply>(&reply)?? {
            client::Done::Work(done) => check(&done),
            client::Done::Nodes(_) => bail!("a wrong reply"),
        }
    }
}

/// Sends bytes to a sink on a link; tells how many went in how long.
pub(crate) async fn bulk(link: &Link, bytes: usize) -> Result<Duration> {
    const CHUNK: usize = 256 << 10;
    let chunk = Bytes::from(vec![7; CHUNK]);
    let start = std::time::Instant::now();
    let mut stream = link.open(crate::cluster::SINK, Priority::Bulk).await?;
    for _ in 0..bytes / CHUNK {
        stream.write(chunk.clone()).await?;
    }
    stream.finish()?;
    let rest = stream.read_to_end(16).await.context("the sink answers at the end")?;
    anyhow::ensure!(rest.is_empty(), "the sink says nothing");
    Ok(start.elapsed())
}
