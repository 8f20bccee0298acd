//! One UDP socket: gives each datagram to its association.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use remuda_runtime::spawn;
use sctp_proto::{
    AssociationEvent, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointEvent,
    Payload, Transmit,
};
use tokio::{
    io::DuplexStream,
    net::UdpSocket,
    sync::{mpsc, oneshot},
};

use super::association::{Ready, run};

/// Datagrams that wait for one association. More are lost, as on any network.
const QUEUE: usize = 256;
/// Endings that wait for the socket.
const ENDINGS: usize = 64;
/// Associations of a listener that have not come about: anybody can write any address into UDP.
const MAX_HALF_OPEN: usize = 256;
/// Associations of a listener.
const MAX_ASSOCIATIONS: usize = 16 * 1024;
/// The largest datagram.
const MAX_DATAGRAM: usize = 65_535;
/// After a failed read.
const PAUSE: Duration = Duration::from_millis(10);

/// The way out for one association.
#[derive(Clone)]
pub(super) struct Outlet {
    udp: Arc<UdpSocket>,
    /// Whether the socket speaks to one address only.
    dialled: bool,
}

impl Outlet {
    /// Sends what SCTP wants sent. What the network does not take is lost, and repeated by SCTP.
    pub(super) async fn send(&self, transmit: Transmit) {
        let Payload::RawEncode(datagrams) = transmit.payload else { return };
        for datagram in datagrams {
            let sent = if self.dialled {
                self.udp.send(&datagram).await
            } else {
                self.udp.send_to(&datagram, transmit.remote).await
            };
            if let Err(error) = sent {
                tracing::trace!(%error, "a datagram of SCTP is lost");
            }
        }
    }
}

/// What an association tells its socket.
pub(super) type Ending = (AssociationHandle, EndpointEvent);

/// Who takes what comes in.
pub(super) type Accepted = mpsc::Sender<(DuplexStream, SocketAddr)>;

pub(super) struct Socket {
    outlet: Outlet,
    endpoint: Endpoint,
    associations: BTreeMap<usize, mpsc::Sender<AssociationEvent>>,
    half_open: Arc<AtomicUsize>,
    endings: (mpsc::Sender<Ending>, mpsc::Receiver<Ending>),
    accepted: Option<Accepted>,
}

impl Socket {
    fn new(udp: UdpSocket, endpoint: Endpoint, accepted: Option<Accepted>) -> Self {
        Self {
            outlet: Outlet { udp: Arc::new(udp), dialled: accepted.is_none() },
            endpoint,
            associations: BTreeMap::new(),
            half_open: Arc::default(),
            endings: mpsc::channel(ENDINGS),
            accepted,
        }
    }

    /// Serves a socket until nobody takes what comes in any more.
    pub(super) fn listen(udp: UdpSocket, endpoint: Endpoint, accepted: Accepted) {
        drop(spawn(Self::new(udp, endpoint, Some(accepted)).run()));
    }

    /// Connects; the socket lives as long as its association.
    pub(super) async fn dial(
        udp: UdpSocket,
        endpoint: Endpoint,
        config: ClientConfig,
        remote: SocketAddr,
    ) -> io::Result<DuplexStream> {
        let mut socket = Self::new(udp, endpoint, None);
        let connected = socket.endpoint.connect(config, remote);
        let (handle, association) = connected.map_err(io::Error::other)?;
        let (ready, is_ready) = oneshot::channel();
        let events = socket.adopt(handle);
        let (outlet, endings) = (socket.outlet.clone(), socket.endings.0.clone());
        let ready = Ready::Dialler(ready);
        drop(spawn(run((handle, association), outlet, events, endings, ready)));
        drop(spawn(socket.run()));
        match is_ready.await {
            Ok(outcome) => outcome,
            Err(_gone) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    fn adopt(&mut self, handle: AssociationHandle) -> mpsc::Receiver<AssociationEvent> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        self.associations.insert(handle.0, sender);
        receiver
    }

    async fn run(mut self) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        let gone = self.accepted.clone();
        let gone = async {
            match gone {
                Some(accepted) => accepted.closed().await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(gone);
        loop {
            tokio::select! {
                biased;
                () = &mut gone => return,
                Some((handle, event)) = self.endings.1.recv() => {
                    self.associations.remove(&handle.0);
                    self.endpoint.handle_event(handle, event);
                    if self.accepted.is_none() {
                        return;
                    }
                }
                received = self.outlet.udp.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => {
                        self.received(Bytes::copy_from_slice(&buffer[..length]), from).await;
                    }
                    Err(error) if self.accepted.is_none() => {
                        tracing::debug!(%error, "an SCTP association ends with its socket");
                        return;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "cannot read datagrams of SCTP");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
            }
        }
    }

    async fn received(&mut self, datagram: Bytes, from: SocketAddr) {
        let now = Instant::now();
        match self.endpoint.handle(now, from, None, None, datagram) {
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                if let Some(association) = self.associations.get(&handle.0) {
                    // A full queue loses it; SCTP repeats.
                    drop(association.try_send(event));
                }
            }
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                let room = self.associations.len() < MAX_ASSOCIATIONS
                    && self.half_open.load(Ordering::Relaxed) < MAX_HALF_OPEN;
                let Some(accepted) = self.accepted.clone().filter(|_| room) else {
                    self.endpoint.handle_event(handle, EndpointEvent::drained());
                    return;
                };
                let events = self.adopt(handle);
                let (outlet, endings) = (self.outlet.clone(), self.endings.0.clone());
                let ready = Ready::listener(accepted, from, &self.half_open);
                drop(spawn(run((handle, association), outlet, events, endings, ready)));
            }
            None => (),
        }
        while let Some(transmit) = self.endpoint.poll_transmit() {
            self.outlet.send(transmit).await;
        }
    }
}
