//! The certificate of a node and the authorities it believes: renewed in time, and exchanged when
//! the cluster says so.

use std::{path::PathBuf, sync::Arc, time::Duration};

use remuda_link::{
    Endpoint, KeyId, Link, MAX_REPLY, Method, NodeCertificate, Peer, Router, Stream, code, pin_of,
    renew,
};
use remuda_model::{Chain, ErrorKind, Failure, LinkUrl, Role, Transport};
use remuda_runtime::{Backoff, Supervisor, wall_ms};
use remuda_wire::message::{TRUST, trust};
use remuda_worker::Worker;
use tokio::sync::{Mutex, watch};

use super::{
    AgentError,
    data_dir::{DataDir, read, write},
    member::keep_certificate,
};

/// How often the age of the certificate is looked at.
const LOOK_EVERY: Duration = Duration::from_hours(1);
const RETRY_BASE: Duration = Duration::from_mins(1);
/// How long the rest of a call may take to arrive.
const RECEIVE: Duration = Duration::from_secs(10);
/// CAs that are believed at a time.
const MAX_TRUSTED: usize = 4;

/// The certificate of a node and what belongs to it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Credentials {
    endpoint: Endpoint,
    worker: Worker,
    data: Arc<DataDir>,
    /// One exchange at a time.
    turn: Arc<Mutex<()>>,
}

impl Credentials {
    /// Takes up what an earlier boot was told to believe.
    pub(super) fn open(
        endpoint: Endpoint,
        worker: Worker,
        data: &Arc<DataDir>,
    ) -> Result<Self, AgentError> {
        if let Some(bytes) = read(&path(data))? {
            let trusted: Option<Vec<Vec<u8>>> = remuda_wire::decode(&bytes).ok();
            let set = trusted.and_then(|trusted| endpoint.set_trusted(trusted).ok());
            if set.is_none() {
                // The CA that came with the certificate is a good beginning.
                tracing::warn!(file = %path(data).display(), "damaged and not used");
            }
        }
        Ok(Self { endpoint, worker, data: Arc::clone(data), turn: Arc::default() })
    }

    /// Answers control nodes that say which authorities count.
    pub(super) fn register(&self, router: &mut Router) {
        let credentials = self.clone();
        router.route(TRUST, &[Role::Control], move |link, stream| {
            let credentials = credentials.clone();
            async move { credentials.serve(link, stream).await }
        });
    }

    async fn serve(&self, link: Link, mut stream: Stream) {
        let received = tokio::time::timeout(RECEIVE, stream.read_to_end(MAX_REPLY)).await;
        let Ok(Ok(bytes)) = received else { return };
        let reply = match remuda_wire::decode::<trust::Call>(&bytes) {
            Ok(call) => self.follow(&link, call).await,
            Err(error) => Err(Failure::invalid(format!("malformed call: {error}"))),
        };
        if stream.finish_with(remuda_wire::encode(&reply)).await.is_err() {
            stream.reset(code::CANCELLED, "not answered");
        }
    }

    /// Believes what counts, shows what is believed, and uses links that rest on it.
    async fn follow(&self, link: &Link, call: trust::Call) -> trust::Reply {
        let _turn = self.turn.lock().await;
        let internal = |error: &(dyn std::error::Error + 'static)| Failure::internal(error);
        let keys = call.trusted.iter().map(|ca| KeyId::of_ca(ca)).collect::<Result<Vec<_>, _>>();
        let keys = keys.map_err(|error| Failure::invalid(Chain(&error).to_string()))?;
        let counts = |ca: &Vec<u8>| pin_of(ca).is_ok_and(|pin| pin == call.issuer);
        if call.trusted.len() > MAX_TRUSTED || !call.trusted.iter().any(counts) {
            return Err(Failure::invalid("the authority that signs is not among those that count"));
        }
        if self.endpoint.trusted() != call.trusted {
            write(&path(&self.data), &remuda_wire::encode(&call.trusted))
                .map_err(|error| internal(&error))?;
            self.endpoint.set_trusted(call.trusted).map_err(|error| internal(&error))?;
            tracing::info!(authorities = keys.len(), "believes other certificate authorities");
        }
        let own = self.endpoint.identity().certificate;
        let is_signed = own.is_some_and(|own| own.pin().is_ok_and(|pin| pin == call.issuer));
        if (call.renew || !is_signed) && can_renew(link.peer()) {
            self.renew_over(link).await?;
        }
        let own = self.endpoint.identity().certificate;
        let own = own.ok_or_else(|| Failure::failed("the node has no certificate"))?;
        if can_renew(link.peer()) && own.pin().map_err(|error| internal(&error))? != call.issuer {
            return Err(Failure::new(ErrorKind::Unavailable, "another authority still signs"));
        }
        self.worker.trust(keys).await;
        Ok(trust::Followed { serial: own.read().map_err(|error| internal(&error))?.serial })
    }

    async fn renew_over(&self, link: &Link) -> Result<(), Failure> {
        let own = self.endpoint.identity();
        let renewed = renew(link, &own.node, own.role).await;
        let (certificate, _) = renewed.map_err(remuda_link::JoinError::into_failure)?;
        self.take_up(certificate)
    }

    /// Keeps a certificate, then shows it.
    fn take_up(&self, certificate: NodeCertificate) -> Result<(), Failure> {
        keep_certificate(&self.data, &certificate).map_err(|error| Failure::internal(&error))?;
        self.endpoint.set_certificate(certificate).map_err(|error| Failure::internal(&error))?;
        tracing::info!("certificate renewed");
        Ok(())
    }

    /// Renews at two thirds of the certificate's life, at any control node that can be reached.
    pub(super) fn keep_fresh(
        &self,
        controls: watch::Receiver<Vec<LinkUrl>>,
        supervisor: &Supervisor,
    ) {
        let (this, stop) = (self.clone(), supervisor.token());
        supervisor.spawn("certificate", async move {
            let mut backoff = Backoff::new(RETRY_BASE, LOOK_EVERY, fastrand::u64(..));
            let mut delay = Duration::ZERO;
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(delay) => {}
                }
                delay = LOOK_EVERY;
                if !is_due(&this.endpoint) {
                    continue;
                }
                let urls = controls.borrow().clone();
                if this.renew_at_any(&urls).await {
                    backoff.reset();
                } else {
                    delay = backoff.next_delay();
                }
            }
        });
    }

    async fn renew_at_any(&self, urls: &[LinkUrl]) -> bool {
        let _turn = self.turn.lock().await;
        for url in urls.iter().filter(|url| url.transport.is_encrypted()) {
            let renewed = match self.endpoint.dial(url).await {
                Ok(link) => {
                    let renewed = self.renew_over(&link).await;
                    link.close("renewed");
                    renewed
                }
                Err(error) => Err(error.into_failure()),
            };
            match renewed {
                Ok(()) => return true,
                Err(error) => tracing::warn!(%url, %error, "cannot renew the certificate here"),
            }
        }
        false
    }
}

/// Whether certificates can be had on a link: where none is shown, nobody knows who asks.
fn can_renew(peer: &Peer) -> bool {
    peer.authenticated_by == Method::Certificate || peer.transport == Transport::Mem
}

fn is_due(endpoint: &Endpoint) -> bool {
    let certificate = endpoint.identity().certificate;
    let facts = certificate.and_then(|certificate| certificate.read().ok());
    facts.is_some_and(|facts| facts.renew_at_ms() <= wall_ms())
}

/// Where it is kept which authorities count.
fn path(data: &DataDir) -> PathBuf {
    data.path().join("tls/trusted")
}
