//! What no single value shows: settings that contradict each other or would be unsafe.

use std::net::IpAddr;

use remuda::agent::LanUse;
use remuda_model::{LinkUrl, Transport};

use super::NodeConfig;

/// The key to blame and the reason, for each rule that is broken.
pub(super) fn check(config: &NodeConfig) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    let mut require = |holds: bool, key: &'static str, reason: &str| {
        if !holds {
            wrong.push((key, reason.to_owned()));
        }
    };
    let control = config.roles.is_control();
    require(
        control || !config.bootstrap,
        "bootstrap",
        "only a control node can start a cluster; add `control`",
    );
    require(
        !config.bootstrap || config.join.is_empty(),
        "join",
        "a node either starts a cluster or joins one; drop `bootstrap` or `join`",
    );
    if config.awaits {
        require(
            !control,
            "await",
            "only a worker waits to be added; a control node dials the others, with `join`",
        );
        require(
            config.join.is_empty(),
            "join",
            "a node either dials control nodes or waits to be added by one; drop `await` or `join`",
        );
        require(
            config.trackers.is_empty(),
            "tracker",
            "a node that waits to be added asks nobody; drop `await` or `tracker`",
        );
        require(
            config.lan != LanUse::On,
            "lan",
            "a node that waits to be added asks nobody; drop `await`, or say `off`",
        );
        require(
            config.listen.iter().any(|url| url.transport.is_encrypted()),
            if config.listen.is_empty() { "await" } else { "listen" },
            "a node that waits to be added must be dialled; listen over tls, wss or quic, as at `remuda://all`",
        );
    }
    require(
        control || config.api.is_none(),
        "api",
        "only control nodes serve the API; add `control`",
    );
    require(
        !config.data_dir.as_os_str().is_empty(),
        "data_dir",
        "no directory is given and no home is known",
    );
    require(
        control || config.tracker_listen.is_none(),
        "tracker_listen",
        "only control nodes serve a tracker; add `control`, or run `remuda tracker`",
    );
    if let Some(api) = &config.api {
        require(
            api.insecure || api.address.ip().is_loopback(),
            "api",
            "beyond this machine the API would send tokens in the clear; put a TLS proxy in front and allow it with `api_insecure`",
        );
    }
    if let Some(face) = &config.rest_commander {
        let insecure = config.api.as_ref().is_some_and(|api| api.insecure);
        require(
            control,
            "rest_commander",
            "only control nodes answer as REST Commander did; add `control`",
        );
        require(
            insecure || face.listen.ip().is_loopback(),
            "rest_commander_listen",
            "beyond this machine tokens would be sent in the clear; put a TLS proxy in front and allow it with `api_insecure`",
        );
    }
    let join: Vec<_> = config.join.iter().cloned().map(LinkUrl::from).collect();
    for url in config.listen.iter().chain(&join).chain(&config.advertise) {
        require(
            url.transport != Transport::Mem,
            "listen",
            "transport `mem` connects nodes of one process only",
        );
    }
    for (key, urls) in [("listen", &config.listen), ("join", &join)] {
        let open = urls.iter().find(|url| !url.transport.is_encrypted() && !is_local(url));
        let Some(url) = open.filter(|_| !config.allow_plaintext) else { continue };
        require(
            false,
            key,
            &format!("`{url}` is not encrypted; use tls, wss or quic, or set `allow_plaintext`"),
        );
    }
    for url in &config.advertise {
        let wildcard = url.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        require(
            !wildcard && url.port != 0,
            "advertise",
            &format!("nobody can dial `{url}`; give an address and port that others reach"),
        );
    }
    wrong
}

fn is_local(url: &LinkUrl) -> bool {
    url.transport == Transport::Mem
        || url.host == "localhost"
        || url.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
