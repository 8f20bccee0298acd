//! All targets.

mod api;
mod discovery;
mod disk;
mod handshake;
mod link;
mod messages;
mod samples;
mod text;

use crate::Target;

/// All targets, each with its name on the command line.
pub static TARGETS: &[Target] = &[
    Target { name: "frames", run: link::frames, seeds: link::frames_seeds },
    Target { name: "handshake-server", run: handshake::server, seeds: handshake::server_seeds },
    Target { name: "handshake-client", run: handshake::client, seeds: handshake::client_seeds },
    Target {
        name: "certificates",
        run: handshake::certificates,
        seeds: handshake::certificate_seeds,
    },
    Target { name: "messages", run: messages::all, seeds: messages::seeds },
    Target { name: "holder", run: messages::holder, seeds: messages::holder_seeds },
    Target { name: "labels", run: text::labels, seeds: text::label_seeds },
    Target { name: "selectors", run: text::selectors, seeds: text::selector_seeds },
    Target { name: "urls", run: text::urls, seeds: text::url_seeds },
    Target { name: "tokens", run: text::tokens, seeds: text::token_seeds },
    Target { name: "names", run: text::names, seeds: text::name_seeds },
    Target { name: "config", run: text::config, seeds: text::config_seeds },
    Target { name: "api-bodies", run: api::bodies, seeds: api::body_seeds },
    Target { name: "api-answers", run: api::answers, seeds: api::answer_seeds },
    Target {
        name: "announcements",
        run: discovery::announcements,
        seeds: discovery::announcement_seeds,
    },
    Target { name: "changes", run: disk::changes, seeds: disk::change_seeds },
    Target { name: "snapshot", run: disk::snapshot, seeds: disk::snapshot_seeds },
    Target { name: "replica", run: disk::replica, seeds: disk::replica_seeds },
];

/// The input as text, where it is one.
fn text_of(input: &[u8]) -> Option<&str> {
    std::str::from_utf8(input).ok()
}

/// Texts as inputs.
fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
