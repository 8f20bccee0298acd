//! The machines against each other, against tampering and noise, and their bytes.

use bytes::Bytes;
use expect_test::expect;
use proptest::prelude::*;
use remuda_model::{ClusterId, ErrorKind, Failure, Generation, NodeId, Role, Transport};

use super::{
    message::{framed, read},
    *,
};

const CLUSTER: &str = "00000000000000000000000001";

fn cluster(text: &str) -> ClusterId {
    text.parse().expect("a cluster id")
}

fn node(text: &str) -> NodeId {
    text.parse().expect("a node name")
}

fn secret() -> Secret {
    Secret::random_key([9; 32])
}

fn claim(role: Role, name: &str) -> Claim {
    Claim { cluster: cluster(CLUSTER), role, node: node(name) }
}

fn client_config() -> ClientConfig {
    ClientConfig {
        transport: Transport::Tls,
        binding: [5; 32],
        cluster: Some(cluster(CLUSTER)),
        node: node("w-1"),
        role: Role::Worker,
        generation: Generation(3),
        build: "1.2.3".to_owned(),
        addresses: Vec::new(),
        wall_ms: 1_000_000,
        nonce: [1; 32],
        proof: Proof::Secret(secret()),
        server: Some(claim(Role::Control, "ctl-1")),
        invited: false,
    }
}

fn server_config() -> ServerConfig {
    ServerConfig {
        transport: Transport::Tls,
        binding: [5; 32],
        cluster: cluster(CLUSTER),
        node: node("ctl-1"),
        role: Role::Control,
        generation: Generation(8),
        build: "1.2.4".to_owned(),
        addresses: Vec::new(),
        wall_ms: 1_000_000,
        nonce: [2; 32],
        client: None,
        accepts_bearer: true,
        invites: false,
    }
}

/// How a whole handshake ended.
#[derive(Debug, PartialEq)]
enum Outcome {
    Open { at_client: Box<Established>, at_server: Box<Established>, warnings: usize },
    ClientGaveUp(ClientError),
    Refused(Refusal),
}

impl Outcome {
    fn refusal(&self) -> &Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }
}

/// Strips the length of a frame.
fn body(frame: &Bytes) -> &[u8] {
    let header = *frame.first_chunk().expect("a header");
    assert_eq!(frame_length(header), Ok(frame.len() - 4));
    &frame[4..]
}

/// What the server's driver decides.
struct Decisions {
    grant: Result<Grant, Refusal>,
    admitted: Result<(), Refusal>,
}

fn run(client: ClientConfig, server: ServerConfig, grant: Grant) -> Outcome {
    let decisions = Decisions { grant: Ok(grant), admitted: Ok(()) };
    play(client, server, &decisions, |_turn, bytes| bytes)
}

fn run_denied(client: ClientConfig, server: ServerConfig, refusal: Refusal) -> Outcome {
    let decisions = Decisions { grant: Err(refusal), admitted: Ok(()) };
    play(client, server, &decisions, |_turn, bytes| bytes)
}

/// With the secret, and somebody who changes what travels.
fn tampered(wire: impl FnMut(usize, Vec<u8>) -> Vec<u8>) -> Outcome {
    let decisions = Decisions { grant: Ok(secret_grant()), admitted: Ok(()) };
    play(client_config(), server_config(), &decisions, wire)
}

/// Plays both sides; `wire` may change what travels.
fn play(
    client: ClientConfig,
    server: ServerConfig,
    decisions: &Decisions,
    mut wire: impl FnMut(usize, Vec<u8>) -> Vec<u8>,
) -> Outcome {
    let (mut client, hello) = Client::start(client);
    let mut server = Server::new(server);
    let mut to_server = vec![body(&hello).to_vec()];
    let mut to_client: Vec<Vec<u8>> = Vec::new();
    let (mut turn, mut warnings) = (0, 0);
    let mut at_server = None;
    loop {
        if let Some(bytes) = to_server.pop() {
            let bytes = wire(turn, bytes);
            turn += 1;
            let mut effects = server.handle(ServerInput::Frame(&bytes));
            while !effects.is_empty() {
                match effects.remove(0) {
                    ServerEffect::Authorize(_) => {
                        effects.extend(
                            server.handle(ServerInput::Authorized(decisions.grant.clone())),
                        );
                    }
                    ServerEffect::Admit(_) => {
                        effects.extend(
                            server.handle(ServerInput::Admitted(decisions.admitted.clone())),
                        );
                    }
                    ServerEffect::Send(frame) => to_client.insert(0, body(&frame).to_vec()),
                    ServerEffect::Warn(_) => warnings += 1,
                    ServerEffect::Done(established) => at_server = Some(established),
                    ServerEffect::Refuse(refusal, frame) => {
                        let told = read::<FromServer>(body(&frame)).expect("a message");
                        assert_eq!(told, FromServer::Refused(refusal.clone()));
                        return Outcome::Refused(refusal);
                    }
                }
            }
        } else if let Some(bytes) = to_client.pop() {
            let bytes = wire(turn, bytes);
            turn += 1;
            for effect in client.handle(&bytes) {
                match effect {
                    ClientEffect::Send(frame) => to_server.push(body(&frame).to_vec()),
                    ClientEffect::Warn(_) => warnings += 1,
                    ClientEffect::Fail(error) => return Outcome::ClientGaveUp(error),
                    ClientEffect::Done(at_client) => {
                        let at_server = at_server.expect("the server was done first");
                        return Outcome::Open { at_client, at_server, warnings };
                    }
                }
            }
        } else {
            panic!("both sides wait");
        }
    }
}

fn secret_grant() -> Grant {
    Grant::Secret(secret())
}

#[test]
fn two_sides_that_share_a_secret_know_each_other_afterwards() {
    let Outcome::Open { at_client, at_server, warnings } =
        run(client_config(), server_config(), secret_grant())
    else {
        panic!("not open")
    };
    assert_eq!((at_client.node.as_str(), at_client.role), ("ctl-1", Role::Control));
    assert_eq!((at_client.generation, at_client.build.as_str()), (Generation(8), "1.2.4"));
    assert_eq!((at_server.node.as_str(), at_server.role), ("w-1", Role::Worker));
    assert_eq!((at_server.generation, at_server.build.as_str()), (Generation(3), "1.2.3"));
    assert_eq!((at_server.method, warnings), (Method::Secret, 0));
}

#[test]
fn a_stretched_password_works_when_both_made_it_alike() {
    let kdf = |iterations| Kdf::Pbkdf2 { iterations, salt: b"remuda/v1/x".to_vec() };
    let made = |iterations| Secret::stretched([4; 32], kdf(iterations)).expect("in bounds");
    let with =
        |iterations| ClientConfig { proof: Proof::Secret(made(iterations)), ..client_config() };
    let grant = || Grant::Secret(made(ITERATIONS));
    assert!(matches!(run(with(ITERATIONS), server_config(), grant()), Outcome::Open { .. }));
    let other = run(with(MIN_ITERATIONS), server_config(), grant());
    let theirs = "pbkdf2-hmac-sha256";
    assert_eq!(other, Outcome::ClientGaveUp(ClientError::OtherKdf { theirs }));
    // A server cannot make a client fall back from its password to a bare key.
    let bare = run(with(ITERATIONS), server_config(), secret_grant());
    assert_eq!(bare, Outcome::ClientGaveUp(ClientError::OtherKdf { theirs: "none" }));
}

#[test]
fn rounds_out_of_bounds_are_refused_by_the_client() {
    for iterations in [1, MIN_ITERATIONS - 1, MAX_ITERATIONS + 1] {
        let outcome = tampered(|turn, bytes| {
            if turn != 1 {
                return bytes;
            }
            let Ok(FromServer::Init(mut init)) = read(&bytes) else { panic!("no init") };
            init.kdf = Kdf::Pbkdf2 { iterations, salt: b"s".to_vec() };
            body(&framed(&FromServer::Init(init))).to_vec()
        });
        let error = ClientError::Kdf(KdfError::Iterations(iterations));
        assert_eq!(outcome, Outcome::ClientGaveUp(error));
    }
}

#[test]
fn another_secret_is_refused_without_saying_what_was_wrong() {
    let other = || Secret::random_key([8; 32]);
    let wrong = run(client_config(), server_config(), Grant::Secret(other()));
    assert_eq!(wrong.refusal(), &Refusal::AuthFailed);
    let denied = run_denied(client_config(), server_config(), Refusal::AuthFailed);
    assert_eq!(denied.refusal(), &Refusal::AuthFailed);
}

#[test]
fn a_server_that_does_not_know_the_secret_is_left() {
    let outcome = tampered(|turn, bytes| {
        // The last message: the server's proof.
        if turn == 3 { body(&framed(&FromServer::Ok { mac: [0; 32] })).to_vec() } else { bytes }
    });
    assert_eq!(outcome, Outcome::ClientGaveUp(ClientError::NotProved));
}

#[test]
fn proofs_are_bound_to_channel_and_transport() {
    // A man in the middle with a TLS session on each side has two different bindings.
    let relayed = ServerConfig { binding: [6; 32], ..server_config() };
    assert_eq!(run(client_config(), relayed, secret_grant()).refusal(), &Refusal::AuthFailed);
    let plain = |transport| ServerConfig { transport, ..server_config() };
    assert_eq!(
        run(client_config(), plain(Transport::Wss), secret_grant()).refusal(),
        &Refusal::AuthFailed
    );
}

#[test]
fn a_recorded_proof_is_worth_nothing_later() {
    let mut recorded = Vec::new();
    tampered(|turn, bytes| {
        if turn == 0 || turn == 2 {
            recorded.push(bytes.clone());
        }
        bytes
    });
    let mut server = Server::new(ServerConfig { nonce: [3; 32], ..server_config() });
    drop(server.handle(ServerInput::Frame(&recorded[0])));
    drop(server.handle(ServerInput::Authorized(Ok(secret_grant()))));
    let effects = server.handle(ServerInput::Frame(&recorded[1]));
    assert!(matches!(&effects[..], [ServerEffect::Refuse(Refusal::AuthFailed, _)]), "{effects:?}");
}

#[test]
fn reflection_is_refused_on_both_sides() {
    let same = ServerConfig { nonce: [1; 32], ..server_config() };
    assert_eq!(run(client_config(), same, secret_grant()).refusal(), &Refusal::AuthFailed);
    let outcome = tampered(|turn, bytes| {
        if turn != 1 {
            return bytes;
        }
        let Ok(FromServer::Init(mut init)) = read(&bytes) else { panic!("no init") };
        init.nonce = [1; 32];
        body(&framed(&FromServer::Init(init))).to_vec()
    });
    assert_eq!(outcome, Outcome::ClientGaveUp(ClientError::Reflected));
    // The client's own proof sent back as the server's: the two sides sign different words.
    let mut proof = None;
    let outcome = tampered(|turn, bytes| {
        if turn == 2 {
            let FromClient::Proof { mac } = read(&bytes).expect("a proof");
            proof = Some(mac);
        }
        match proof {
            Some(mac) if turn == 3 => body(&framed(&FromServer::Ok { mac })).to_vec(),
            _ => bytes,
        }
    });
    assert_eq!(outcome, Outcome::ClientGaveUp(ClientError::NotProved));
}

/// A node that waits, and the control node that has dialled it.
fn invited() -> (ClientConfig, ServerConfig) {
    let waiting = ClientConfig { invited: true, ..client_config() };
    (waiting, ServerConfig { invites: true, ..server_config() })
}

#[test]
fn a_node_that_is_invited_proves_the_secret_as_one_that_dials() {
    let (waiting, control) = invited();
    let Outcome::Open { at_client, at_server, .. } = run(waiting, control, secret_grant()) else {
        panic!("not open")
    };
    assert_eq!((at_client.node.as_str(), at_client.role), ("ctl-1", Role::Control));
    assert_eq!((at_server.node.as_str(), at_server.method), ("w-1", Method::Secret));
    let (waiting, control) = invited();
    let wrong = Grant::Secret(Secret::random_key([8; 32]));
    assert_eq!(run(waiting, control, wrong).refusal(), &Refusal::AuthFailed);
}

#[test]
fn a_proof_of_one_direction_is_worth_nothing_in_the_other() {
    let (waiting, control) = invited();
    let dialled = run(client_config(), control, secret_grant());
    assert_eq!(dialled.refusal(), &Refusal::AuthFailed);
    let dialling = run(waiting, server_config(), secret_grant());
    assert_eq!(dialling.refusal(), &Refusal::AuthFailed);
}

#[test]
fn a_recorded_invitation_is_worth_nothing_later() {
    let decisions = Decisions { grant: Ok(secret_grant()), admitted: Ok(()) };
    let mut recorded = Vec::new();
    let (waiting, control) = invited();
    play(waiting.clone(), control.clone(), &decisions, |_turn, bytes| {
        recorded.push(bytes.clone());
        bytes
    });
    // The waiting node's words, to another challenge of the control node.
    let mut server = Server::new(ServerConfig { nonce: [3; 32], ..control });
    drop(server.handle(ServerInput::Frame(&recorded[0])));
    drop(server.handle(ServerInput::Authorized(Ok(secret_grant()))));
    let effects = server.handle(ServerInput::Frame(&recorded[2]));
    assert!(matches!(&effects[..], [ServerEffect::Refuse(Refusal::AuthFailed, _)]), "{effects:?}");
    // The control node's words, to another challenge of the waiting node.
    let (mut client, _) = Client::start(ClientConfig { nonce: [4; 32], ..waiting });
    drop(client.handle(&recorded[1]));
    let effects = client.handle(&recorded[3]);
    assert_eq!(effects, [ClientEffect::Fail(ClientError::NotProved)]);
}

#[test]
fn an_invitation_is_bound_to_its_channel_and_to_who_knows_the_secret() {
    let (waiting, control) = invited();
    let relayed = ServerConfig { binding: [6; 32], ..control.clone() };
    let refused = run(waiting.clone(), relayed, secret_grant());
    assert_eq!(refused.refusal(), &Refusal::AuthFailed);
    // Somebody who invites and says yes to everything.
    let decisions = Decisions { grant: Ok(secret_grant()), admitted: Ok(()) };
    let outcome = play(waiting, control, &decisions, |turn, bytes| match turn {
        3 => body(&framed(&FromServer::Ok { mac: [0; 32] })).to_vec(),
        _ => bytes,
    });
    assert_eq!(outcome, Outcome::ClientGaveUp(ClientError::NotProved));
}

#[test]
fn nobody_is_invited_but_by_a_control_node_and_to_join() {
    let (waiting, control) = invited();
    let worker = ServerConfig { role: Role::Worker, ..control.clone() };
    let shown = ClientConfig { server: Some(claim(Role::Worker, "ctl-1")), ..waiting.clone() };
    let error = ClientError::Impostor { node: node("ctl-1") };
    assert_eq!(run(shown, worker, secret_grant()), Outcome::ClientGaveUp(error));
    // What an invited node shows besides the secret does not count.
    let certified = ServerConfig { client: Some(claim(Role::Worker, "w-1")), ..control.clone() };
    let client = ClientConfig { proof: Proof::Certificate, ..waiting.clone() };
    assert_eq!(run(client, certified, Grant::Certificate).refusal(), &Refusal::AuthFailed);
    let bearer = Proof::Bearer(Bearer::new("t"));
    let client = ClientConfig { proof: bearer, role: Role::Client, ..waiting };
    let refused = run(client, control, Grant::Bearer(node("t")));
    assert_eq!(refused.refusal(), &Refusal::AuthFailed);
}

#[test]
fn the_bytes_of_an_invitation() {
    let frame = invitation(&[2, 1], "1.2.3");
    expect!["0000000d726d646102020105312e322e33"].assert_eq(&hex(&frame));
    let expected = Opening::new(&[2, 1], "1.2.3");
    assert_eq!(read_invitation(body(&frame)), Some(expected.clone()));
    let longer = [body(&frame), b"of a later version"].concat();
    assert_eq!(read_invitation(&longer), Some(expected));
    for other in [&b""[..], b"rmd", b"GET / HTTP/1.1", &body(&frame)[..7]] {
        assert_eq!(read_invitation(other), None);
    }
}

#[test]
fn a_node_does_not_talk_to_itself_but_through_memory() {
    let me = ServerConfig { node: node("w-1"), ..server_config() };
    assert_eq!(run(client_config(), me.clone(), secret_grant()).refusal(), &Refusal::NodeIdInUse);
    let client = ClientConfig { transport: Transport::Mem, ..client_config() };
    let server = ServerConfig { transport: Transport::Mem, ..me };
    assert!(matches!(run(client, server, secret_grant()), Outcome::Open { .. }));
}

#[test]
fn another_role_than_the_proved_one_is_refused() {
    // Changed on the way: the role is in the transcript.
    let swap = |turn: usize, bytes: Vec<u8>| {
        if turn != 0 {
            return bytes;
        }
        let (opening, rest) = message::read_opening(&bytes).expect("an opening");
        let mut hello: Hello = read(rest).expect("a hello");
        hello.role = Role::Control;
        body(&message::framed_hello(&opening, &hello)).to_vec()
    };
    let outcome = tampered(swap);
    assert_eq!(outcome.refusal(), &Refusal::AuthFailed);
    // A worker's certificate does not make a control node, nor another node.
    for shown in [claim(Role::Worker, "w-1"), claim(Role::Control, "w-2")] {
        let client =
            ClientConfig { role: Role::Control, proof: Proof::Certificate, ..client_config() };
        let server = ServerConfig { client: Some(shown), ..server_config() };
        assert_eq!(run(client, server, Grant::Certificate).refusal(), &Refusal::AuthFailed);
    }
    // Nor does claiming a certificate without showing one.
    let bold = ClientConfig { proof: Proof::Certificate, ..client_config() };
    assert_eq!(run(bold, server_config(), Grant::Certificate).refusal(), &Refusal::AuthFailed);
}

#[test]
fn a_certificate_proves_what_it_says() {
    let client = ClientConfig { proof: Proof::Certificate, ..client_config() };
    let server = ServerConfig { client: Some(claim(Role::Worker, "w-1")), ..server_config() };
    let outcome = run(client.clone(), server.clone(), Grant::Certificate);
    let Outcome::Open { at_server, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(at_server.method, Method::Certificate);
    let revoked = run_denied(client.clone(), server.clone(), Refusal::Revoked);
    assert_eq!(revoked.refusal(), &Refusal::Revoked);
    let impostor = ClientConfig { server: Some(claim(Role::Control, "ctl-2")), ..client };
    let outcome = run(impostor, server, Grant::Certificate);
    assert_eq!(outcome, Outcome::ClientGaveUp(ClientError::Impostor { node: node("ctl-1") }));
}

#[test]
fn a_token_is_for_clients_and_not_for_the_open_network() {
    let client = ClientConfig {
        cluster: None,
        role: Role::Client,
        proof: Proof::Bearer(Bearer::new("rmt1.x")),
        ..client_config()
    };
    let grant = || Grant::Bearer(node("token-1"));
    let outcome = run(client.clone(), server_config(), grant());
    let Outcome::Open { at_server, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(at_server.node, node("token-1"));
    let open = ServerConfig { accepts_bearer: false, ..server_config() };
    assert_eq!(run(client.clone(), open, grant()).refusal(), &Refusal::AuthFailed);
    let as_node = ClientConfig { role: Role::Control, ..client };
    assert_eq!(run(as_node, server_config(), grant()).refusal(), &Refusal::AuthFailed);
    let as_client = ClientConfig { role: Role::Client, ..client_config() };
    assert_eq!(run(as_client, server_config(), secret_grant()).refusal(), &Refusal::AuthFailed);
}

#[test]
fn clusters_are_not_mixed() {
    let other = || cluster("00000000000000000000000002");
    let client = ClientConfig { cluster: Some(other()), ..client_config() };
    assert_eq!(run(client, server_config(), secret_grant()).refusal(), &Refusal::ClusterMismatch);
    let nameless = ClientConfig { cluster: None, ..client_config() };
    assert_eq!(run(nameless, server_config(), secret_grant()).refusal(), &Refusal::ClusterMismatch);
    let outcome = tampered(|turn, bytes| {
        if turn != 1 {
            return bytes;
        }
        let Ok(FromServer::Init(mut init)) = read(&bytes) else { panic!("no init") };
        init.cluster = other();
        body(&framed(&FromServer::Init(init))).to_vec()
    });
    let error = ClientError::ClusterMismatch { ours: cluster(CLUSTER), theirs: other() };
    assert_eq!(outcome, Outcome::ClientGaveUp(error));
}

#[test]
fn a_newer_client_is_told_what_is_spoken() {
    // Whatever follows the opening is not looked at.
    let opening = crate::encode(&Opening::new(&[9, 7], "9.0.0"));
    let mut server = Server::new(server_config());
    let bytes = [&opening[..], b"a hello of the future"].concat();
    let effects = server.handle(ServerInput::Frame(&bytes));
    let [ServerEffect::Refuse(refusal, frame)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(refusal.code(), "version_unsupported");
    assert_eq!(refusal.to_string(), "no common protocol version: 1.2.4 speaks [2, 1]");
    let (mut client, _) = Client::start(client_config());
    let effects = client.handle(body(frame));
    let [ClientEffect::Fail(error)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(error.code(), "version_unsupported");
    assert!(error.hint().is_some_and(|hint| hint.contains("1.2.4")), "{error:?}");
}

#[test]
fn a_version_that_was_not_offered_is_refused_by_the_client() {
    let outcome = tampered(|turn, bytes| {
        if turn != 1 {
            return bytes;
        }
        let Ok(FromServer::Init(mut init)) = read(&bytes) else { panic!("no init") };
        init.version = 9;
        body(&framed(&FromServer::Init(init))).to_vec()
    });
    assert_eq!(outcome, Outcome::ClientGaveUp(ClientError::Version(9)));
}

#[test]
fn clocks_matter_to_joins_only() {
    let hour = 3_600_000;
    let late = |config: ClientConfig| ClientConfig { wall_ms: config.wall_ms + hour, ..config };
    let join = run(late(client_config()), server_config(), secret_grant());
    assert_eq!(join.refusal(), &Refusal::ClockSkew { skew_ms: hour });
    let known = ClientConfig { proof: Proof::Certificate, ..client_config() };
    let server = ServerConfig { client: Some(claim(Role::Worker, "w-1")), ..server_config() };
    let outcome = run(late(known), server, Grant::Certificate);
    assert!(matches!(outcome, Outcome::Open { warnings: 2, .. }), "{outcome:?}");
    let slightly = ClientConfig { wall_ms: 1_000_000 + SKEW_LIMIT_MS, ..client_config() };
    let outcome = run(slightly, server_config(), secret_grant());
    assert!(matches!(outcome, Outcome::Open { warnings: 2, .. }), "{outcome:?}");
}

#[test]
fn one_who_proved_himself_may_still_be_refused() {
    let failure = Failure::new(ErrorKind::Forbidden, "node w-1 was removed").code("removed");
    let refusal = Refusal::NotAdmitted(failure.clone());
    let decisions = Decisions { grant: Ok(secret_grant()), admitted: Err(refusal) };
    let outcome = play(client_config(), server_config(), &decisions, |_turn, bytes| bytes);
    assert_eq!(outcome.refusal().code(), "removed");
    assert_eq!(Failure::from(outcome.refusal().clone()), failure);
}

#[test]
fn every_bit_of_every_message_counts() {
    // Turn 0 holds fields that nobody proves (addresses, generation, …) beside the proved ones; a
    // flip may go unnoticed there only when what was proved is as it was.
    let honest = run(client_config(), server_config(), secret_grant());
    let Outcome::Open { at_client, at_server, .. } = honest else { panic!("not open") };
    for turn in 0..4 {
        let mut length = usize::MAX;
        let mut at = 0;
        while at < length {
            for bit in 0..8 {
                let outcome = tampered(|now, mut bytes| {
                    if now == turn {
                        length = bytes.len();
                        bytes[at] ^= 1 << bit;
                    }
                    bytes
                });
                if let Outcome::Open { at_client: client, at_server: server, .. } = outcome {
                    assert!(turn < 2, "a flipped bit in a proof was accepted: {turn} {at} {bit}");
                    let same = |one: &Established, other: &Established| {
                        (one.version, &one.cluster, &one.node)
                            == (other.version, &other.cluster, &other.node)
                    };
                    assert!(same(&client, &at_client) && same(&server, &at_server));
                    assert_eq!((client.role, server.role), (at_client.role, at_server.role));
                }
            }
            at += 1;
        }
    }
}

#[test]
fn messages_out_of_turn_end_the_handshake() {
    let mut server = Server::new(server_config());
    let effects = server.handle(ServerInput::Admitted(Ok(())));
    assert!(matches!(&effects[..], [ServerEffect::Refuse(Refusal::Malformed, _)]));
    assert_eq!(server.handle(ServerInput::Admitted(Ok(()))), []);
    let (mut client, _) = Client::start(client_config());
    let early = framed(&FromServer::Ok { mac: [0; 32] });
    let effects = client.handle(body(&early));
    assert_eq!(effects, [ClientEffect::Fail(ClientError::Malformed)]);
    assert_eq!(client.handle(body(&early)), []);
}

#[test]
fn lengths_are_checked_before_anything_is_read() {
    assert_eq!(frame_length([0, 0, 0x40, 0]), Ok(MAX_FRAME));
    for bad in [0, 16 * 1024 + 1, u32::MAX] {
        assert_eq!(frame_length(bad.to_be_bytes()), Err(FrameError(bad)));
    }
}

#[test]
fn tokens_are_never_shown() {
    assert_eq!(format!("{:?}", Credential::Bearer(Bearer::new("hush"))), "Bearer(***)");
    let config = ClientConfig { proof: Proof::Bearer(Bearer::new("hush")), ..client_config() };
    let (client, _) = Client::start(config);
    assert!(!format!("{client:?}").contains("hush"));
}

fn hex(frame: &Bytes) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).expect("below 16");
    frame.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect()
}

/// The bytes of version 1 never change: another build may speak them.
#[test]
fn the_bytes_of_version_1() {
    let (mut client, hello) = Client::offering(client_config(), vec![1]);
    expect!["00000054726d6461010105312e322e33011a303030303030303030303030303030303030303030303030303103772d3101030000c0843d010101010101010101010101010101010101010101010101010101010101010101"].assert_eq(&hex(&hello));
    let mut server = Server::speaking(server_config(), vec![1]);
    drop(server.handle(ServerInput::Frame(body(&hello))));
    let effects = server.handle(ServerInput::Authorized(Ok(secret_grant())));
    let [ServerEffect::Send(init)] = &effects[..] else { panic!("{effects:?}") };
    expect!["00000051010105312e322e341a30303030303030303030303030303030303030303030303030310563746c2d3100080000c0843d020202020202020202020202020202020202020202020202020202020202020200"].assert_eq(&hex(init));
    let effects = client.handle(body(init));
    let [ClientEffect::Send(proof)] = &effects[..] else { panic!("{effects:?}") };
    expect!["00000021000576d445f7302eef19673a0dd6659ab89cb228c937579fde578bc98cdf737faa"]
        .assert_eq(&hex(proof));
    drop(server.handle(ServerInput::Frame(body(proof))));
    let effects = server.handle(ServerInput::Admitted(Ok(())));
    let [ServerEffect::Send(ok), ServerEffect::Done(_)] = &effects[..] else {
        panic!("{effects:?}")
    };
    expect!["0000002102b23d9b4fe4f8a05c6d0233dedb45999667da449678e20570677f68cfabdfab33"]
        .assert_eq(&hex(ok));
    let refusal = Refusal::VersionUnsupported { spoken: vec![1], build: "1.2.4".to_owned() };
    expect!["0000000a0000010105312e322e34"].assert_eq(&hex(&framed(&FromServer::Refused(refusal))));
    let refusal = Refusal::NotAdmitted(Failure::invalid("no"));
    expect!["0000000f00080007696e76616c6964026e6f00"]
        .assert_eq(&hex(&framed(&FromServer::Refused(refusal))));
}

/// What version 2 says otherwise: more offered, another version chosen and proved.
#[test]
fn the_bytes_of_version_2() {
    let (_, first) = Client::offering(client_config(), vec![1]);
    let (mut client, hello) = Client::start(client_config());
    // Behind length and magic stands the offer; the rest is as it was.
    assert_eq!((&hex(&hello)[16..22], &hex(&first)[16..20]), ("020201", "0101"));
    assert_eq!(hex(&hello)[22..], hex(&first)[20..]);
    let mut server = Server::new(server_config());
    drop(server.handle(ServerInput::Frame(body(&hello))));
    let effects = server.handle(ServerInput::Authorized(Ok(secret_grant())));
    let [ServerEffect::Send(init)] = &effects[..] else { panic!("{effects:?}") };
    expect!["00000051010205312e322e341a30303030303030303030303030303030303030303030303030310563746c2d3100080000c0843d020202020202020202020202020202020202020202020202020202020202020200"].assert_eq(&hex(init));
    let effects = client.handle(body(init));
    assert!(matches!(&effects[..], [ClientEffect::Send(_)]), "{effects:?}");
}

/// Both orders of upgrading: the older side does not notice that the other one is newer.
#[test]
fn a_side_of_version_2_speaks_1_to_a_peer_of_1() {
    for (ours, theirs, spoken) in
        [(vec![2, 1], vec![1], 1), (vec![1], vec![2, 1], 1), (vec![2, 1], vec![2, 1], 2)]
    {
        let (mut client, hello) = Client::offering(client_config(), ours);
        let mut server = Server::speaking(server_config(), theirs);
        drop(server.handle(ServerInput::Frame(body(&hello))));
        let effects = server.handle(ServerInput::Authorized(Ok(secret_grant())));
        let [ServerEffect::Send(init)] = &effects[..] else { panic!("{effects:?}") };
        let effects = client.handle(body(init));
        let [ClientEffect::Send(proof)] = &effects[..] else { panic!("{effects:?}") };
        let effects = server.handle(ServerInput::Frame(body(proof)));
        let [ServerEffect::Admit(client)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(client.version, spoken);
    }
}

#[test]
fn an_offer_that_was_cut_on_its_way_is_noticed() {
    let cut = crate::encode(&Opening::new(&[1], "1.2.3"));
    let whole = crate::encode(&Opening::new(&[2, 1], "1.2.3"));
    let outcome = tampered(|turn, bytes| match turn {
        0 => [&cut[..], &bytes[whole.len()..]].concat(),
        _ => bytes,
    });
    assert_eq!(outcome, Outcome::ClientGaveUp(ClientError::Downgraded { chosen: 1 }));
    // Whoever hides the mark in the nonce breaks the proof.
    let outcome = tampered(|turn, bytes| match turn {
        0 => [&cut[..], &bytes[whole.len()..]].concat(),
        1 => {
            let Ok(FromServer::Init(mut init)) = read(&bytes) else { panic!("no init") };
            init.nonce = [2; 32];
            body(&framed(&FromServer::Init(init))).to_vec()
        }
        _ => bytes,
    });
    assert_eq!(outcome, Outcome::Refused(Refusal::AuthFailed));
}

proptest! {
    #[test]
    fn noise_never_opens_a_link(frames in prop::collection::vec(
        prop::collection::vec(any::<u8>(), 0..600), 1..4)) {
        let mut server = Server::new(server_config());
        let (mut client, _) = Client::start(client_config());
        for frame in &frames {
            for effect in server.handle(ServerInput::Frame(frame)) {
                prop_assert!(matches!(effect, ServerEffect::Refuse(..)), "{:?}", effect);
            }
            for effect in client.handle(frame) {
                prop_assert!(matches!(effect, ClientEffect::Fail(_)), "{:?}", effect);
            }
        }
    }

    #[test]
    fn damaged_messages_never_open_a_link_as_somebody_else(
        turn in 0..4_usize, at in any::<prop::sample::Index>(), byte in 1..=255_u8, cut in any::<bool>()
    ) {
        let outcome = tampered(|now, mut bytes| {
                if now == turn {
                    let at = at.index(bytes.len());
                    if cut { bytes.truncate(at) } else { bytes[at] ^= byte }
                }
                bytes
            },
        );
        if let Outcome::Open { at_client, at_server, .. } = outcome {
            prop_assert!(turn < 2 && !cut);
            prop_assert_eq!(at_client.node, node("ctl-1"));
            prop_assert_eq!((at_server.node, at_server.role), (node("w-1"), Role::Worker));
        }
    }
}
