//! Accepts connections and serves the router on them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use remuda_control::Control;
use remuda_runtime::{Backoff, Supervisor};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::{
    api::Api,
    config::{ApiConfig, ServeError},
    connection::{self, Terms},
    guard::Hosts,
    route,
};

/// How often an API that serves tokens in the clear says so.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// Serves the API until the supervisor stops; tells the address with its real port.
///
/// # Errors
///
/// [`ServeError::Insecure`] without TLS on another address than loopback, unless the
/// configuration insists; [`ServeError::Bind`] when the address cannot be had.
///
/// # Cancel safety
///
/// Nothing is served when the future is dropped.
pub async fn serve(
    config: ApiConfig,
    control: Control,
    supervisor: Supervisor,
) -> Result<SocketAddr, ServeError> {
    let nursery = supervisor.clone();
    listen(config, supervisor, "the API", |config, address| {
        let hosts = Hosts::new(address, &config.names);
        route::router(Api::new(config, hosts, control, nursery))
    })
    .await
}

/// Listens, and serves what is made for the real address.
pub(crate) async fn listen(
    config: ApiConfig,
    supervisor: Supervisor,
    name: &'static str,
    router: impl FnOnce(&ApiConfig, SocketAddr) -> Router,
) -> Result<SocketAddr, ServeError> {
    let in_the_clear = config.in_the_clear();
    if in_the_clear && !config.insecure {
        return Err(ServeError::Insecure { listen: config.listen });
    }
    let bind_error = |source| ServeError::Bind { listen: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(bind_error)?;
    let address = listener.local_addr().map_err(bind_error)?;
    let router = router(&config, address);
    let connections = supervisor.clone();
    supervisor.spawn("api", accept(listener, router, config, connections));
    if in_the_clear {
        let stop = supervisor.token();
        supervisor.spawn("api warning", async move {
            loop {
                tracing::error!(%address, "{name} is served without TLS: tokens can be read");
                tokio::select! {
                    () = tokio::time::sleep(WARN_EVERY) => {}
                    () = stop.cancelled() => return,
                }
            }
        });
    }
    Ok(address)
}

async fn accept(listener: TcpListener, router: Router, config: ApiConfig, supervisor: Supervisor) {
    let stop = supervisor.token();
    let room = Arc::new(Semaphore::new(config.limits.connections));
    let terms = Arc::new(Terms { router, tls: config.tls, limits: config.limits, stop });
    let (base, cap) = (Duration::from_millis(5), Duration::from_secs(1));
    let mut backoff = Backoff::new(base, cap, u64::from(std::process::id()));
    loop {
        let next = async {
            let permit = room.clone().acquire_owned().await.expect("the semaphore stays open");
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = terms.stop.cancelled() => return,
        };
        let (stream, source): (TcpStream, SocketAddr) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: others must end before there can be more.
                tracing::warn!(%error, "cannot accept a connection to the API");
                tokio::time::sleep(backoff.next_delay()).await;
                continue;
            }
        };
        backoff.reset();
        let terms = terms.clone();
        supervisor.spawn("api connection", async move {
            connection::serve(stream, source, &terms).await;
            drop(permit);
        });
    }
}
