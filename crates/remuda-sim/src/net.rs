//! The network: which hosts hear each other, how late, and whether twice.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use remuda_model::{LinkUrl, NodeId};
use remuda_store::{RaftTransport, SendError};
use tokio::{sync::oneshot, time::sleep};

use crate::{executor::ETERNAL, world};

/// A host, for its whole existence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Host(pub(crate) u32);

/// How the network behaves at the moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Net {
    /// From whom nothing gets to whom.
    pub(crate) cut: BTreeSet<(Host, Host)>,
    /// Messages take this long at least, in milliseconds.
    pub(crate) fastest: u64,
    /// And this long at most.
    pub(crate) slowest: u64,
    /// Of a thousand messages, so many take a hundred times as long.
    pub(crate) stragglers: u32,
    /// Of a thousand messages, so many get lost.
    pub(crate) lost: u32,
    /// Of a thousand calls between replicas, so many come twice.
    pub(crate) doubled: u32,
}

impl Net {
    pub(crate) fn part(&mut self, from: Host, to: Host) {
        self.cut.insert((from, to));
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    pub(crate) fn mend(&mut self, from: Host, to: Host) {
        self.cut.remove(&(from, to));
    }

    /// Whether messages get from one to the other.
    pub(crate) fn passes(&self, from: Host, to: Host) -> bool {
        from == to || !self.cut.contains(&(from, to))
    }

    pub(crate) fn delay(&self) -> Duration {
        let ms = fastrand::u64(self.fastest..=self.slowest.max(self.fastest));
        let ms = if fastrand::u32(..1000) < self.stragglers { 100 * ms } else { ms };
        Duration::from_millis(ms)
    }
}

/// Lets a message travel. Tells whether it has arrived.
pub(crate) async fn travel(from: Host, to: Host) -> bool {
    if from == to {
        return true;
    }
    let (lost, delay) = world::net(|net| (fastrand::u32(..1000) < net.lost, net.delay()));
    sleep(delay).await;
    !lost && world::net(|net| net.passes(from, to))
}

/// How the replica of one host reaches others.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) from: Host,
}

impl RaftTransport for Port {
    fn send(
        &self,
        to: &NodeId,
        _addresses: &[LinkUrl],
        rpc: Bytes,
        _ttl: Duration,
    ) -> BoxFuture<'static, Result<Bytes, SendError>> {
        let (from, to) = (self.from, world::host(to));
        async move {
            let Some(to) = to else {
                return Err(SendError::Unreachable("no such host".to_owned()));
            };
            let twice = world::net(|net| fastrand::u32(..1000) < net.doubled);
            let (answer, answered) = oneshot::channel();
            if twice {
                let (again, _nobody) = oneshot::channel();
                // A message travels on when its sender waits no longer.
                world::spawn_on(ETERNAL, deliver(from, to, rpc.clone(), again));
            }
            world::spawn_on(ETERNAL, deliver(from, to, rpc, answer));
            match answered.await {
                Ok(answer) => answer,
                // Lost: only the deadline tells.
                Err(_) => std::future::pending().await,
            }
        }
        .boxed()
    }
}

type Answer = oneshot::Sender<Result<Bytes, SendError>>;

async fn deliver(from: Host, to: Host, rpc: Bytes, answer: Answer) {
    if !travel(from, to).await {
        return;
    }
    let Some((life, replica)) = world::replica(to) else {
        if travel(to, from).await {
            drop(answer.send(Err(SendError::Unreachable("nobody listens".to_owned()))));
        }
        return;
    };
    let (served, serving) = oneshot::channel();
    world::spawn_on(life, async move { drop(served.send(replica.serve(rpc).await)) });
    let outcome = match serving.await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(failure)) => Err(SendError::Failed(failure.to_string())),
        Err(_) => Err(SendError::Unreachable("it has crashed".to_owned())),
    };
    if travel(to, from).await {
        // The caller may have stopped waiting.
        drop(answer.send(outcome));
    }
}
