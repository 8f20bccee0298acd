//! One association: bytes of a link on one side, messages of SCTP on the other.

use std::{
    future::pending,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes, BytesMut};
use sctp_proto::{
    Association, AssociationEvent, AssociationHandle, EndpointEvent, Event,
    PayloadProtocolIdentifier,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split},
    sync::{mpsc, oneshot},
    time::{sleep, sleep_until},
};

use super::{
    MAX_MESSAGE, PIPE,
    socket::{Accepted, Ending, Outlet},
};

/// The stream that carries the link.
const STREAM: u16 = 0;
/// Bytes that wait for the network before the link has to.
const SEND_BUFFER: usize = 256 * 1024;
/// How long an association may take to come about once the other side has been heard.
const HALF_OPEN: Duration = Duration::from_secs(5);
/// How long the last bytes may take to arrive.
const LINGER: Duration = Duration::from_secs(5);

/// Who waits for the association.
pub(super) enum Ready {
    /// The one that has dialled it.
    Dialler(oneshot::Sender<io::Result<DuplexStream>>),
    /// Whoever accepts it; until then it counts as half open.
    Listener { accepted: Accepted, remote: SocketAddr, half_open: Counted },
    /// Nobody any more.
    Told,
}

/// One of a number; it counts until it is dropped.
pub(super) struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Ready {
    pub(super) fn listener(
        accepted: Accepted,
        remote: SocketAddr,
        half_open: &Arc<AtomicUsize>,
    ) -> Self {
        half_open.fetch_add(1, Ordering::Relaxed);
        Self::Listener { accepted, remote, half_open: Counted(Arc::clone(half_open)) }
    }

    /// Waits until nobody wants the association any more: the dial was given up.
    async fn unwanted(&mut self) {
        match self {
            Self::Dialler(sender) => sender.closed().await,
            Self::Listener { accepted, .. } => accepted.closed().await,
            Self::Told => pending().await,
        }
    }

    /// Hands the link's end of the association over, or says why there is none. Whether somebody
    /// took it.
    fn tell(&mut self, outcome: io::Result<DuplexStream>) -> bool {
        match (std::mem::replace(self, Self::Told), outcome) {
            (Self::Dialler(sender), outcome) => sender.send(outcome).is_ok(),
            (Self::Listener { accepted, remote, half_open }, Ok(io)) => {
                drop(half_open);
                // Who takes them is too slow: the other side tries again.
                accepted.try_send((io, remote)).is_ok()
            }
            (Self::Listener { .. } | Self::Told, _) => false,
        }
    }
}

/// The link's bytes, and how far either side is with them.
struct Pipe {
    from_link: ReadHalf<DuplexStream>,
    to_link: WriteHalf<DuplexStream>,
    /// Read from the association and not by the link yet.
    waiting: Bytes,
    /// The link has said all.
    said: bool,
    /// The other side has said all.
    heard: bool,
}

/// Runs an association to its end, then says so to its socket.
pub(super) async fn run(
    (handle, mut association): (AssociationHandle, Association),
    outlet: Outlet,
    mut events: mpsc::Receiver<AssociationEvent>,
    endings: mpsc::Sender<Ending>,
    mut ready: Ready,
) {
    let limit = matches!(ready, Ready::Listener { .. }).then_some(HALF_OPEN);
    let opened = tokio::select! {
        opened = open(&mut association, &outlet, &mut events, limit) => opened,
        () = ready.unwanted() => Err(io::ErrorKind::ConnectionAborted.into()),
    };
    let ended = match opened {
        Ok(()) => {
            let (ours, theirs) = duplex(PIPE);
            if ready.tell(Ok(theirs)) {
                carry(&mut association, &outlet, &mut events, ours).await
            } else {
                Ok(())
            }
        }
        Err(error) => {
            ready.tell(Err(io::Error::new(error.kind(), error.to_string())));
            Err(error)
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, remote = %association.remote_addr(), "an SCTP association is lost");
    }
    // The socket may be gone first.
    drop(endings.send((handle, EndpointEvent::drained())).await);
}

/// Brings the association up.
async fn open(
    association: &mut Association,
    outlet: &Outlet,
    events: &mut mpsc::Receiver<AssociationEvent>,
    limit: Option<Duration>,
) -> io::Result<()> {
    let late = async {
        match limit {
            Some(limit) => sleep(limit).await,
            None => pending().await,
        }
    };
    tokio::pin!(late);
    loop {
        while let Some(event) = association.poll() {
            match event {
                Event::Connected => {
                    association
                        .open_stream(STREAM, PayloadProtocolIdentifier::Binary)
                        .map_err(broken)?;
                    return Ok(());
                }
                Event::HandshakeFailed { reason } | Event::AssociationLost { reason } => {
                    return Err(io::Error::new(io::ErrorKind::ConnectionRefused, reason));
                }
                _ => (),
            }
        }
        flush(association, outlet).await;
        tokio::select! {
            () = &mut late => return Err(io::ErrorKind::TimedOut.into()),
            outcome = turn(association, events) => outcome?,
        }
    }
}

/// Waits until something comes or is due.
async fn turn(
    association: &mut Association,
    events: &mut mpsc::Receiver<AssociationEvent>,
) -> io::Result<()> {
    let timer = async {
        match association.poll_timeout() {
            Some(at) => sleep_until(at.into()).await,
            None => pending().await,
        }
    };
    tokio::select! {
        event = events.recv() => match event {
            Some(event) => association.handle_event(event),
            None => return Err(io::ErrorKind::ConnectionAborted.into()),
        },
        () = timer => association.handle_timeout(Instant::now()),
    }
    while let Ok(event) = events.try_recv() {
        association.handle_event(event);
    }
    Ok(())
}

async fn flush(association: &mut Association, outlet: &Outlet) {
    while let Some(transmit) = association.poll_transmit(Instant::now()) {
        outlet.send(transmit).await;
    }
}

/// Carries bytes both ways until both have been said and have arrived, or the other side is gone.
async fn carry(
    association: &mut Association,
    outlet: &Outlet,
    events: &mut mpsc::Receiver<AssociationEvent>,
    io: DuplexStream,
) -> io::Result<()> {
    let (from_link, to_link) = split(io);
    let mut pipe = Pipe { from_link, to_link, waiting: Bytes::new(), said: false, heard: false };
    let mut outgoing = BytesMut::with_capacity(MAX_MESSAGE);
    let mut until = None;
    loop {
        while let Some(event) = association.poll() {
            if let Event::AssociationLost { reason } = event {
                return Err(io::Error::new(io::ErrorKind::ConnectionReset, reason));
            }
        }
        pipe.take(association).await?;
        let buffered = association.stream(STREAM).and_then(|stream| stream.buffered_amount());
        let buffered = buffered.map_err(broken)?;
        if pipe.said && buffered == 0 && pipe.heard && pipe.waiting.is_empty() {
            flush(association, outlet).await;
            return Ok(());
        }
        if pipe.said && until.is_none() {
            until = Some(tokio::time::Instant::now() + LINGER);
        }
        let late = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => pending().await,
            }
        };
        flush(association, outlet).await;
        tokio::select! {
            outcome = turn(association, events) => outcome?,
            written = pipe.to_link.write(&pipe.waiting), if !pipe.waiting.is_empty() => {
                // The link does not listen any more; it may still speak.
                match written {
                    Ok(length) => pipe.waiting.advance(length),
                    Err(_deaf) => pipe.waiting.clear(),
                }
            }
            read = pipe.from_link.read_buf(&mut outgoing), if !pipe.said && buffered < SEND_BUFFER => {
                let mut stream = association.stream(STREAM).map_err(broken)?;
                if read? == 0 {
                    pipe.said = true;
                    let end = PayloadProtocolIdentifier::BinaryEmpty;
                    stream.write_sctp(&Bytes::from_static(&[0]), end).map_err(broken)?;
                } else {
                    let message = outgoing.split().freeze();
                    stream.write_sctp(&message, PayloadProtocolIdentifier::Binary).map_err(broken)?;
                    outgoing.reserve(MAX_MESSAGE);
                }
            }
            () = late => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Pipe {
    /// Takes the next message from the association, once the link has read the last one: so a slow
    /// link closes the window of the other side.
    async fn take(&mut self, association: &mut Association) -> io::Result<()> {
        if self.heard || !self.waiting.is_empty() {
            return Ok(());
        }
        let message = association.stream(STREAM).and_then(|mut stream| stream.read_sctp());
        let Some(message) = message.map_err(broken)? else { return Ok(()) };
        if message.ppi == PayloadProtocolIdentifier::BinaryEmpty {
            self.heard = true;
            return self.to_link.shutdown().await;
        }
        let mut whole = BytesMut::zeroed(message.len());
        message.read(&mut whole).map_err(broken)?;
        self.waiting = whole.freeze();
        Ok(())
    }
}

fn broken(error: sctp_proto::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}
