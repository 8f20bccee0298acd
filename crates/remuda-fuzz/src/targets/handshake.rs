//! What strangers send before they have proved themselves.

use std::sync::OnceLock;

use bytes::Bytes;
use remuda_link::{Authority, CertificateFacts, Secret};
use remuda_model::{Generation, NodeId, Role, Transport};
use remuda_wire::handshake::{
    Client, ClientConfig, ClientEffect, Grant, Proof, Server, ServerConfig, ServerEffect,
    ServerInput, frame_length, invitation, read_invitation,
};

use super::samples;

fn name(text: &str) -> NodeId {
    text.parse().expect("a name")
}

fn server_config() -> ServerConfig {
    ServerConfig {
        transport: Transport::Tls,
        binding: [3; 32],
        cluster: samples::cluster(),
        node: name("c-1"),
        role: Role::Control,
        generation: Generation(1),
        build: "0.1.0".to_owned(),
        addresses: Vec::new(),
        wall_ms: 1_000_000,
        nonce: [1; 32],
        client: None,
        accepts_bearer: true,
        invites: false,
    }
}

fn client_config() -> ClientConfig {
    ClientConfig {
        transport: Transport::Tls,
        binding: [3; 32],
        cluster: Some(samples::cluster()),
        node: samples::node(),
        role: Role::Worker,
        generation: Generation(1),
        build: "0.1.0".to_owned(),
        addresses: vec!["remuda://127.0.0.1:7".parse().expect("a url")],
        wall_ms: 1_000_000,
        nonce: [2; 32],
        proof: Proof::Secret(Secret::random_key([9; 32])),
        server: None,
        invited: false,
    }
}

/// The bodies of the frames in a stream, as long as lengths are sound.
fn bodies(mut input: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some((header, rest)) = input.split_first_chunk::<4>() {
        let Ok(length) = frame_length(*header) else { break };
        let Some((body, rest)) = rest.split_at_checked(length) else { break };
        found.push(body);
        input = rest;
    }
    found
}

/// Answers of the dialled side to one frame; a stranger whose proof holds is a finding.
fn answer(server: &mut Server, body: &[u8]) -> Vec<Bytes> {
    let mut sent = Vec::new();
    let mut effects = server.handle(ServerInput::Frame(body));
    while !effects.is_empty() {
        let mut next = Vec::new();
        for effect in effects {
            match effect {
                ServerEffect::Authorize(_) => {
                    let grant = Grant::Secret(Secret::random_key([9; 32]));
                    next.extend(server.handle(ServerInput::Authorized(Ok(grant))));
                }
                ServerEffect::Admit(_) => next.extend(server.handle(ServerInput::Admitted(Ok(())))),
                ServerEffect::Send(frame) | ServerEffect::Refuse(_, frame) => sent.push(frame),
                ServerEffect::Warn(_) | ServerEffect::Done(_) => {}
            }
        }
        effects = next;
    }
    sent
}

pub(super) fn server(input: &[u8]) {
    let mut server = Server::new(server_config());
    for body in bodies(input) {
        drop(answer(&mut server, body));
    }
}

pub(super) fn client(input: &[u8]) {
    let (mut client, _hello) = Client::start(client_config());
    for body in bodies(input) {
        drop(read_invitation(body));
        for effect in client.handle(body) {
            // Without the secret nobody passes for the server.
            assert!(!matches!(effect, ClientEffect::Done(_)) || is_honest(input));
        }
    }
}

/// What both sides of one honest handshake send.
fn honest() -> &'static (Vec<u8>, Vec<u8>) {
    static BOTH: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    BOTH.get_or_init(|| {
        let (mut client, hello) = Client::start(client_config());
        let mut server = Server::new(server_config());
        let (mut there, mut back) = (hello.to_vec(), Vec::new());
        let mut waiting = vec![hello];
        while let Some(frame) = waiting.pop() {
            for reply in answer(&mut server, &frame[4..]) {
                back.extend_from_slice(&reply);
                for effect in client.handle(&reply[4..]) {
                    if let ClientEffect::Send(frame) = effect {
                        there.extend_from_slice(&frame);
                        waiting.push(frame);
                    }
                }
            }
        }
        (there, back)
    })
}

/// Whether it begins with what an honest server sends to this very client: nonces and key are the
/// same each time, so mutations that keep its frames do pass.
fn is_honest(input: &[u8]) -> bool {
    let honest = &honest().1;
    input.starts_with(honest)
}

pub(super) fn server_seeds() -> Vec<Vec<u8>> {
    vec![honest().0.clone()]
}

pub(super) fn client_seeds() -> Vec<Vec<u8>> {
    vec![honest().1.clone(), invitation(&[2, 1], "0.1.0").to_vec()]
}

fn authority() -> &'static Authority {
    static MADE: OnceLock<Authority> = OnceLock::new();
    MADE.get_or_init(|| Authority::generate(&samples::cluster()).expect("made"))
}

/// Certificates that peers show, and the requests by which they ask for one.
pub(super) fn certificates(input: &[u8]) {
    drop(CertificateFacts::read(input));
    drop(authority().issue(&samples::node(), Role::Worker, input));
}

pub(super) fn certificate_seeds() -> Vec<Vec<u8>> {
    // The same in every run: keys and numbers of fresh ones are random.
    let made = authority().certify(&samples::node(), Role::Worker).expect("made");
    vec![made.certificate, made.ca]
}
