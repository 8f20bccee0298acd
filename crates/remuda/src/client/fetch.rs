//! Texts from the web, such as lists of targets.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, Uri,
    header::{HOST, USER_AGENT},
};
use remuda_model::{Chain, ErrorKind, Failure, VERSION};
use rustls::RootCertStore;
use tokio::time::timeout;

use super::{config::Address, connection, tls};

/// The most bytes of an answer.
const MAX_BODY: usize = 256 << 20;
/// How long all of it may take.
const LIMIT: Duration = Duration::from_mins(1);

/// What is at a URL, from this machine and not from the cluster: `http`, or `https` with the
/// certificate authorities of the system. Redirects are not followed.
///
/// # Errors
///
/// `invalid` when it is no such URL; `unavailable` when there is no answer within a minute, one with
/// another status than 200, or one of more than 256 MiB.
///
/// # Cancel safety
///
/// Nothing is left behind when the future is dropped.
pub async fn fetch(url: &str) -> Result<Vec<u8>, Failure> {
    let uri: Uri = url.parse().map_err(|error| Failure::invalid(format!("{url}: {error}")))?;
    let fetched = timeout(LIMIT, get(&uri)).await;
    fetched.map_err(|_elapsed| {
        Failure::new(ErrorKind::TimedOut, format!("{url}: no answer within {} s", LIMIT.as_secs()))
    })?
}

async fn get(uri: &Uri) -> Result<Vec<u8>, Failure> {
    let failed = |what: String| Failure::new(ErrorKind::Unavailable, format!("{uri}: {what}"));
    let tls = match uri.scheme_str() {
        Some("http") => None,
        Some("https") => Some(Arc::new(tls::of_roots(system_roots())?)),
        _ => return Err(Failure::invalid(format!("{uri}: expected http:// or https://"))),
    };
    let host = uri.host().ok_or_else(|| Failure::invalid(format!("{uri}: it has no host")))?;
    let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let address = Address { tls: tls.is_some(), host, port };
    let mut sender = connection::connect(&address, tls.as_ref()).await.map_err(|mut failure| {
        failure.hint = None;
        failure
    })?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, address.authority())
        .header(USER_AGENT, format!("remuda/{VERSION}"))
        .body(Empty::<Bytes>::new())
        .map_err(|error| Failure::invalid(format!("{uri}: {error}")))?;
    let answer = sender.send_request(request).await;
    let answer = answer.map_err(|error| failed(Chain(&error).to_string()))?;
    if answer.status() != hyper::StatusCode::OK {
        return Err(failed(format!("it answers {}", answer.status())));
    }
    let body = Limited::new(answer.into_body(), MAX_BODY).collect().await;
    Ok(body.map_err(|error| failed(error.to_string()))?.to_bytes().to_vec())
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "certificates of the system cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    roots
}
