//! Numbers about the links of this process: how many, why they end, what they carry, who was turned
//! away.
//!
//! Links come and go with many owners, so the counters are statics.

use remuda_model::{Role, Transport};
use remuda_runtime::metrics::{Counter, Page};

use crate::{CloseReason, DialError, handshake::HandshakeError};

const TRANSPORTS: [Transport; 7] = [
    Transport::Tls,
    Transport::Tcp,
    Transport::Ws,
    Transport::Wss,
    Transport::Quic,
    Transport::Mem,
    Transport::Sctp,
];
const ROLES: [Role; 3] = [Role::Control, Role::Worker, Role::Client];
/// As [`ended_word`] says them.
const ENDS: [&str; 5] = ["here", "peer", "lost", "silent", "protocol"];
/// The words of refusals and failures that are counted apart; the rest is `other`, so that a peer
/// cannot make words up.
const REFUSALS: [&str; 14] = [
    "auth_failed",
    "clock_skew",
    "cluster_mismatch",
    "in_use",
    "malformed",
    "no_cluster",
    "node_id_in_use",
    "node_in_use",
    "removed",
    "revoked",
    "too_many_attempts",
    "version_unsupported",
    "broken",
    "other",
];
const DIALS: [&str; 19] = [
    "unresolved",
    "refused",
    "unreachable",
    "timed_out",
    "plaintext",
    "no_certificate",
    "no_secret",
    "no_pin",
    "tls",
    "websocket",
    "lost",
    "revoked",
    "malformed",
    "version_unsupported",
    "cluster_mismatch",
    "node_id_in_use",
    "clock_skew",
    "auth_failed",
    "other",
];

/// The links of one transport to peers of one role.
#[derive(Debug)]
pub(crate) struct Traffic {
    opened: Counter,
    ended: Counter,
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
}

impl Traffic {
    const fn new() -> Self {
        Self {
            opened: Counter::new(),
            ended: Counter::new(),
            received: Counter::new(),
            sent: Counter::new(),
        }
    }
}

static TRAFFIC: [[Traffic; ROLES.len()]; TRANSPORTS.len()] =
    [const { [const { Traffic::new() }; ROLES.len()] }; TRANSPORTS.len()];
static ENDED: [Counter; ENDS.len()] = [const { Counter::new() }; ENDS.len()];
static REFUSED: [Counter; REFUSALS.len()] = [const { Counter::new() }; REFUSALS.len()];
static DIALS_FAILED: [Counter; DIALS.len()] = [const { Counter::new() }; DIALS.len()];

/// One open link; it is over when this is dropped.
#[derive(Debug)]
pub(crate) struct OpenLink(&'static Traffic);

impl OpenLink {
    pub(crate) fn new(transport: Transport, role: Role) -> Self {
        let transport = match transport {
            Transport::Tls => 0,
            Transport::Tcp => 1,
            Transport::Ws => 2,
            Transport::Wss => 3,
            Transport::Quic => 4,
            Transport::Mem => 5,
            Transport::Sctp => 6,
        };
        let role = match role {
            Role::Control => 0,
            Role::Worker => 1,
            Role::Client => 2,
        };
        let traffic = &TRAFFIC[transport][role];
        traffic.opened.one();
        Self(traffic)
    }

    pub(crate) fn traffic(&self) -> &'static Traffic {
        self.0
    }
}

impl Drop for OpenLink {
    fn drop(&mut self) {
        self.0.ended.one();
    }
}

/// A link has ended, for this reason.
pub(crate) fn ended(reason: &CloseReason) {
    let at = match reason {
        CloseReason::Here(_) => 0,
        CloseReason::Peer(_) => 1,
        CloseReason::Lost(_) => 2,
        CloseReason::Silent => 3,
        CloseReason::Protocol(_) => 4,
    };
    ENDED[at].one();
}

/// A stranger did not become a peer.
pub(crate) fn refused(error: &HandshakeError) {
    let word = match error {
        HandshakeError::Refused(refusal) => refusal.code(),
        HandshakeError::Io(_) | HandshakeError::Frame(_) | HandshakeError::Client(_) => "broken",
    };
    count(&REFUSALS, &REFUSED, word);
}

/// A link that this process dialled did not come about.
pub(crate) fn dial_failed(error: &DialError) {
    count(&DIALS, &DIALS_FAILED, error.code());
}

/// Counts under a word, or under the last one.
fn count(words: &[&str], counters: &[Counter], word: &str) {
    let known = words.iter().position(|known| *known == word);
    if let Some(counter) = known.map_or(counters.last(), |at| counters.get(at)) {
        counter.one();
    }
}

/// Writes what is known of the links of this process.
pub fn write_metrics(page: &mut Page) {
    type Read = fn(&Traffic) -> u64;
    let each = |mut family: remuda_runtime::metrics::Family<'_>, read: Read| {
        for (transport, roles) in TRANSPORTS.iter().zip(&TRAFFIC) {
            for (role, traffic) in ROLES.iter().zip(roles) {
                // Most transports are never used: whoever has had no link says nothing.
                if traffic.opened.get() > 0 {
                    let labels = [("transport", transport.as_str()), ("role", role.as_str())];
                    family = family.sample(&labels, read(traffic));
                }
            }
        }
    };
    let open = page.gauge("remuda_links", "Open links by transport and role of the peer.");
    each(open, |traffic| {
        let ended = traffic.ended.get();
        traffic.opened.get().saturating_sub(ended)
    });
    let opened = page.counter(
        "remuda_links_opened_total",
        "Links that came about; more than links that are open means reconnects.",
    );
    each(opened, |traffic| traffic.opened.get());
    let received = page.counter("remuda_link_received_bytes_total", "Bytes read from links.");
    each(received, |traffic| traffic.received.get());
    let sent = page.counter("remuda_link_sent_bytes_total", "Bytes written to links.");
    each(sent, |traffic| traffic.sent.get());
    let mut family = page.counter("remuda_links_ended_total", "Links that ended, by reason.");
    for (reason, counter) in ENDS.iter().zip(&ENDED) {
        family = family.sample(&[("reason", reason)], counter.get());
    }
    let mut family = page.counter(
        "remuda_handshakes_failed_total",
        "Connections from others that were refused or broke off before they were a link.",
    );
    for (reason, counter) in REFUSALS.iter().zip(&REFUSED) {
        family = family.counted(&[("reason", reason)], counter);
    }
    let mut family =
        page.counter("remuda_dials_failed_total", "Attempts to dial that gave no link, by reason.");
    for (reason, counter) in DIALS.iter().zip(&DIALS_FAILED) {
        family = family.counted(&[("reason", reason)], counter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_open_until_it_is_dropped() {
        let value = |name: &str| -> u64 {
            let mut page = Page::new();
            write_metrics(&mut page);
            let start = format!("{name}{{transport=\"wss\",role=\"client\"}} ");
            let text = page.into_text();
            let line = text.lines().find_map(|line| line.strip_prefix(&start));
            line.map_or(0, |value| value.parse().expect("a number"))
        };
        // Other tests may have had such links before.
        let (links, sent) = (value("remuda_links"), value("remuda_link_sent_bytes_total"));
        let open = OpenLink::new(Transport::Wss, Role::Client);
        open.traffic().sent.add(7 << 40);
        assert_eq!(value("remuda_links"), links + 1);
        assert!(value("remuda_link_sent_bytes_total") >= sent + (7 << 40));
        drop(open);
        assert_eq!(value("remuda_links"), links);
    }

    #[test]
    fn words_that_are_not_ours_are_not_shown() {
        let counters = [const { Counter::new() }; 2];
        count(&["known", "other"], &counters, "made up");
        count(&["known", "other"], &counters, "known");
        assert_eq!([counters[0].get(), counters[1].get()], [1, 1]);
    }
}
