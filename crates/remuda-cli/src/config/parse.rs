//! From the text of a setting to its type.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use remuda::agent::{Cidr, LanUse};
use remuda_discovery::tracker::TrackerUrl;
use remuda_model::{JoinUrl, LinkUrl, Span};

use super::LogFormat;
use crate::otlp::Endpoint;

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(format!("`{text}` is neither `true` nor `false`")),
    }
}

pub(super) fn urls(text: &str) -> Result<Vec<LinkUrl>, String> {
    LinkUrl::parse_list(text).map_err(|error| error.to_string())
}

pub(super) fn join_urls(text: &str) -> Result<Vec<JoinUrl>, String> {
    JoinUrl::parse_list(text).map_err(|error| error.to_string())
}

/// The address of a name server; port 53 unless it says another.
pub(super) fn dns_server(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<IpAddr>().map(|ip| (ip, 53).into());
    let address = address.or_else(|_no_ip| text.parse::<SocketAddr>());
    let address = address.map_err(|_bad| format!("`{text}` is no address: expected IP or IP:PORT"));
    address.and_then(|address| match address.port() {
        0 => Err("port 0 is no port of a name server".to_owned()),
        _ => Ok(address),
    })
}

pub(super) fn trackers(text: &str) -> Result<Vec<TrackerUrl>, String> {
    let urls = text.split(',').filter(|part| !part.trim().is_empty());
    urls.map(itself).collect()
}

pub(super) fn lan_use(text: &str) -> Result<LanUse, String> {
    match text {
        "auto" => Ok(LanUse::Auto),
        "on" => Ok(LanUse::On),
        "off" => Ok(LanUse::Off),
        _ => Err(format!("`{text}` is none of `auto`, `on` and `off`")),
    }
}

pub(super) fn span(text: &str) -> Result<Duration, String> {
    text.parse::<Span>().map(|span| span.0).map_err(|error| error.to_string())
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("the path is empty".to_owned()) } else { Ok(text.into()) }
}

/// Absolute paths, or `off` for none.
pub(super) fn directories(text: &str) -> Result<Vec<PathBuf>, String> {
    if text == "off" {
        return Ok(Vec::new());
    }
    let directory = |part: &str| match path(part.trim())? {
        path if path.is_absolute() => Ok(path),
        path => Err(format!("`{}` does not begin with `/`", path.display())),
    };
    text.split(',').map(directory).collect()
}

/// How many targets may be contacted at a time.
pub(super) fn slots(text: &str) -> Result<u32, String> {
    let slots = text.parse().ok().filter(|slots| (1..=100_000).contains(slots));
    slots.ok_or_else(|| format!("`{text}` is no number from 1 to 100000"))
}

/// Ranges of addresses.
pub(super) fn ranges(text: &str) -> Result<Vec<Cidr>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| remuda::agent::cidr(part).map_err(|failure| failure.message)).collect()
}

/// Ports and ranges of them; nothing stands for any.
pub(super) fn ports(text: &str) -> Result<Vec<RangeInclusive<u16>>, String> {
    if text == "any" {
        return Ok(Vec::new());
    }
    let parts = text.split(',').map(str::trim);
    parts.map(|part| remuda::agent::ports(part).map_err(|failure| failure.message)).collect()
}

pub(super) fn name(text: &str) -> Result<String, String> {
    let plain = |char: char| !char.is_control();
    if (1..=64).contains(&text.chars().count()) && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 64 characters".to_owned())
    }
}

pub(super) fn names(text: &str) -> Result<Vec<String>, String> {
    text.split(',').map(|part| name(part.trim())).collect()
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("`{text}` is neither `text` nor `json`")),
    }
}

/// A collector of traces; no text for none.
pub(super) fn collector(text: &str) -> Result<Option<Endpoint>, String> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}

pub(super) fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| format!("`{text}` is no number from 0 to 1"))
}

/// For types that parse themselves.
pub(super) fn itself<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: &str,
) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
