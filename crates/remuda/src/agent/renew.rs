//! Renews the certificate of a node before it ends.

use std::{sync::Arc, time::Duration};

use remuda_link::{Endpoint, NodeCertificate, renew};
use remuda_model::{Chain, LinkUrl};
use remuda_runtime::{Backoff, Supervisor, wall_ms};
use tokio::sync::watch;

use super::{data_dir::DataDir, member::keep_certificate};

/// How often the age of the certificate is looked at.
const LOOK_EVERY: Duration = Duration::from_hours(1);
const RETRY_BASE: Duration = Duration::from_mins(1);

/// Renews at two thirds of the certificate's life, at any control node that can be reached.
pub(super) fn start(
    endpoint: &Endpoint,
    data: &Arc<DataDir>,
    controls: watch::Receiver<Vec<LinkUrl>>,
    supervisor: &Supervisor,
) {
    let (endpoint, data, stop) = (endpoint.clone(), Arc::clone(data), supervisor.token());
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
            if !is_due(&endpoint) {
                continue;
            }
            let urls = controls.borrow().clone();
            match renew_at_any(&endpoint, &urls).await {
                Some(certificate) => {
                    backoff.reset();
                    use_certificate(&endpoint, &data, certificate);
                }
                None => delay = backoff.next_delay(),
            }
        }
    });
}

fn is_due(endpoint: &Endpoint) -> bool {
    let certificate = endpoint.identity().certificate;
    let facts = certificate.and_then(|certificate| certificate.read().ok());
    facts.is_some_and(|facts| facts.renew_at_ms() <= wall_ms())
}

async fn renew_at_any(endpoint: &Endpoint, urls: &[LinkUrl]) -> Option<NodeCertificate> {
    let own = endpoint.identity();
    for url in urls.iter().filter(|url| url.transport.is_encrypted()) {
        let renewed = match endpoint.dial(url).await {
            Ok(link) => {
                let renewed = renew(&link, &own.node, own.role).await;
                link.close("renewed");
                renewed
            }
            Err(error) => {
                tracing::warn!(%url, error = %Chain(&error), "cannot renew the certificate here");
                continue;
            }
        };
        match renewed {
            Ok((certificate, _)) => return Some(certificate),
            Err(error) => {
                tracing::warn!(%url, error = %Chain(&error), "cannot renew the certificate here");
            }
        }
    }
    None
}

fn use_certificate(endpoint: &Endpoint, data: &DataDir, certificate: NodeCertificate) {
    if let Err(error) = keep_certificate(data, &certificate) {
        tracing::error!(error = %Chain(&error), "cannot keep the certificate");
        return;
    }
    match endpoint.set_certificate(certificate) {
        Ok(()) => tracing::info!("certificate renewed"),
        Err(error) => tracing::error!(error = %Chain(&error), "cannot use the new certificate"),
    }
}
