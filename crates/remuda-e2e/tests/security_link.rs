//! Attacks on links, against the real binary: what strangers, guessers and people in between get.

use std::{net::Ipv4Addr, time::Duration};

use remuda_e2e::{
    Lab,
    attack::{Raw, Tls, old_hello, stolen},
    info, run, within,
};
use remuda_link::{Authority, JoinToken};
use remuda_model::Role;
use remuda_wire::{
    handshake::{FromServer, Proof, Refusal},
    message::PROTOCOLS,
    mux::{Batch, Config, Mux, Priority, Side},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Another address of this machine.
fn other(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 7, number)
}

fn token(lab: &Lab, role: &str) -> JoinToken {
    let path = lab.node("c1").dir().join(format!("join-token-{role}"));
    std::fs::read_to_string(path).expect("a token").parse().expect("a token")
}

fn refusal(answer: &[u8]) -> Refusal {
    match remuda_wire::decode(answer).expect("a message of the handshake") {
        FromServer::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// What a stream of this protocol begins with on an open link.
fn opening(protocol: &str) -> Vec<u8> {
    use bytes::Buf as _;
    let mut mux = Mux::new(Side::Dialer, Config::default());
    let key = mux.open(protocol, Priority::Calls).expect("a name");
    mux.enqueue(key, vec![0; 64].into()).expect("open");
    mux.finish(key).expect("open");
    let mut out = Batch::new(usize::MAX);
    mux.poll_transmit(Duration::ZERO, &mut out, 64 * 1024);
    out.copy_to_bytes(out.remaining()).to_vec()
}

/// No protocol is answered before both sides have proved themselves: neither as the first words nor
/// in the middle of the handshake.
#[tokio::test(flavor = "multi_thread")]
async fn no_protocol_is_understood_before_authentication() {
    let lab = Lab::start(1, 1).await;
    let url = lab.url("c1");
    let before = lab.wait_ready(2).await;
    let mut wrong = token(&lab, "worker");
    wrong.secret = [1; 32];
    let mut attempts = tokio::task::JoinSet::new();
    for (number, protocol) in PROTOCOLS.iter().enumerate() {
        for midway in [false, true] {
            let (url, wrong) = (url.clone(), wrong.clone());
            attempts.spawn(async move {
                let from = other(u8::try_from(number).expect("few"));
                let mut raw = Raw::connect(&url, from, &Tls::default()).await.expect("TLS");
                if midway {
                    let config = raw.joining(&wrong, "thief", Role::Worker);
                    let answers = raw
                        .shake(
                            config,
                            |step, frame| {
                                if step == 0 { frame } else { opening(protocol).into() }
                            },
                        )
                        .await;
                    // The second answer, if any, is a refusal.
                    if let Some(answer) = answers.get(1) {
                        refusal(answer);
                    }
                } else {
                    raw.send(&opening(protocol)).await.expect("sent");
                }
                let said = raw.until_closed().await;
                assert!(said.len() < 200, "{protocol} is answered: {}", said.escape_ascii());
            });
        }
    }
    within("all attempts", attempts.join_all()).await;
    info(&lab.client("c1"), "w1").await.expect("the cluster works");
    let names = |nodes: &[remuda_model::NodeView]| -> Vec<_> {
        nodes.iter().map(|node| node.id.clone()).collect()
    };
    assert_eq!(names(&lab.wait_ready(2).await), names(&before), "nobody came in");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_ours_or_nothing() {
    let lab = Lab::start(1, 1).await;
    let url = lab.url("c1");
    let own = stolen(lab.node("w1").dir());
    let claim = own.read().expect("a certificate").claim;
    let address = url.trim_start_matches("remuda://").split(';').next().expect("an address");
    for version in 1..=3 {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("it accepts");
        stream.write_all(&old_hello(version)).await.expect("sent");
        let mut said = Vec::new();
        // A reset is an end as well.
        drop(within("a refusal", stream.read_to_end(&mut said)).await);
        // A fatal alert, and no hello in return.
        assert!(said.is_empty() || said[0] == 21, "TLS 1.{}: {said:?}", version - 1);
    }

    // The same names from another CA, which is what self-signed comes to as well.
    let forged = Authority::generate(&claim.cluster).expect("a CA");
    for role in [Role::Worker, Role::Control] {
        let certificate = forged.certify(&claim.node, role).expect("signed");
        let tls = Tls { certificate: Some(certificate) };
        // With version 1.3 the refusal may come with the first bytes that are read.
        if let Ok(mut raw) = Raw::connect(&url, HERE, &tls).await {
            let config = raw.claim(claim.cluster.clone(), "w1", role, Proof::Certificate);
            assert_eq!(raw.shake(config, |_, frame| frame).await, Vec::<Vec<u8>>::new());
        }
    }

    // The right certificate of a worker proves that worker and nothing else.
    let tls = Tls { certificate: Some(own) };
    for (name, role) in [("w1", Role::Control), ("w2", Role::Worker), ("c1", Role::Control)] {
        let mut raw = Raw::connect(&url, HERE, &tls).await.expect("TLS");
        let config = raw.claim(claim.cluster.clone(), name, role, Proof::Certificate);
        let answers = raw.shake(config, |_, frame| frame).await;
        let refusal = refusal(&answers[0]);
        // That of the node that was dialled is in use for sure.
        let refused = [Refusal::AuthFailed, Refusal::NodeIdInUse];
        assert!(refused.contains(&refusal), "{name} as {role}: {refusal:?}");
    }
    // No certificate, and the claim to have one.
    let mut raw = Raw::connect(&url, HERE, &Tls::default()).await.expect("TLS");
    let config = raw.claim(claim.cluster, "w1", Role::Worker, Proof::Certificate);
    let answers = raw.shake(config, |_, frame| frame).await;
    assert_eq!(refusal(&answers[0]), Refusal::AuthFailed);
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_are_good_once_and_for_their_own_channel_only() {
    let lab = Lab::start(1, 0).await;
    let url = lab.url("c1");
    let worker = token(&lab, "worker");
    let connect =
        async |number| Raw::connect(&url, other(number), &Tls::default()).await.expect("TLS");
    // What honest words look like.
    let mut honest = connect(1).await;
    let config = honest.joining(&worker, "j1", Role::Worker);
    let recorded = config.clone();
    let answers = honest.shake(config, |_, frame| frame).await;
    let last: FromServer = remuda_wire::decode(answers.last().expect("answered")).expect("words");
    assert!(matches!(last, FromServer::Ok { .. }), "{last:?}");

    // The same words again, over another channel: nonce, proof and all.
    let mut replay = connect(2).await;
    let answers = replay.shake(recorded, |_, frame| frame).await;
    assert_eq!(refusal(answers.last().expect("answered")), Refusal::AuthFailed, "replayed");

    // Somebody in between who has TLS of his own with both sides: the proof that he passes on is
    // bound to the victim's channel, not to his.
    let victim = connect(3).await;
    let mut between = connect(3).await;
    let config = remuda_wire::handshake::ClientConfig {
        binding: victim.binding(),
        ..between.joining(&worker, "j2", Role::Worker)
    };
    let answers = between.shake(config, |_, frame| frame).await;
    assert_eq!(refusal(answers.last().expect("answered")), Refusal::AuthFailed, "relayed");

    // The secret of one role does not prove the other.
    let mut swapped = connect(4).await;
    let config = swapped.joining(&worker, "j3", Role::Control);
    let answers = swapped.shake(config, |_, frame| frame).await;
    assert_eq!(refusal(answers.last().expect("answered")), Refusal::AuthFailed, "role swapped");

    // Another cluster's name with this cluster's secret.
    let mut mixed = connect(5).await;
    let mut foreign = worker.clone();
    foreign.cluster = remuda_model::ClusterId::random();
    let config = mixed.joining(&foreign, "j4", Role::Worker);
    let answers = mixed.shake(config, |_, frame| frame).await;
    assert_eq!(refusal(&answers[0]), Refusal::ClusterMismatch);

    // Single bits of the proof; each from an address of its own, since guessing is slowed down.
    for bit in (0..256).step_by(37) {
        let mut flipped = connect(10 + u8::try_from(bit / 37).expect("few")).await;
        let config = flipped.joining(&worker, "j5", Role::Worker);
        let answers = flipped
            .shake(config, |step, frame| {
                if step == 0 {
                    return frame;
                }
                let mut bytes = frame.to_vec();
                // Behind the length and the number of the message.
                bytes[5 + bit / 8] ^= 1 << (bit % 8);
                bytes.into()
            })
            .await;
        let last = answers.last().expect("answered");
        assert_eq!(refusal(last), Refusal::AuthFailed, "bit {bit}");
    }
    // A version that is not spoken: an answer that names those that are, and nothing else.
    let mut future = connect(30).await;
    let config = future.joining(&worker, "j6", Role::Worker);
    let answers = future
        .shake(config, |_, frame| {
            let opening = remuda_wire::handshake::Opening::new(&[99], "9.9.9");
            let body = [&remuda_wire::encode(&opening)[..], &frame[4..]].concat();
            remuda_wire::handshake::frame(&body)
        })
        .await;
    assert!(matches!(refusal(&answers[0]), Refusal::VersionUnsupported { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slow_and_keeps_nobody_out() {
    const GUESSES: usize = 400;
    let mut lab = Lab::start(1, 0).await;
    let url = lab.url("c1");
    let right = token(&lab, "worker");
    let guesser = {
        let (url, right) = (url.clone(), right.clone());
        tokio::spawn(async move {
            let mut tried = 0;
            let mut guesses = tokio::task::JoinSet::new();
            for number in 0..GUESSES {
                if guesses.len() >= 50 {
                    tried += usize::from(guesses.join_next().await.expect("some").expect("ran"));
                }
                let (url, right) = (url.clone(), right.clone());
                guesses.spawn(async move {
                    let mut secret = [7; 32];
                    secret[..8].copy_from_slice(&number.to_be_bytes());
                    let mut guess = right.clone();
                    guess.secret = secret;
                    let raw = Raw::connect(&url, other(200), &Tls::default()).await;
                    // A door that is full closes at once.
                    let Ok(mut raw) = raw else { return false };
                    let config = raw.joining(&guess, "guesser", Role::Worker);
                    let answers = raw.shake(config, |_, frame| frame).await;
                    let last = answers.last().map(|answer| refusal(answer));
                    last == Some(Refusal::AuthFailed)
                });
            }
            tried + guesses.join_all().await.into_iter().filter(|tried| *tried).count()
        })
    };
    // Meanwhile somebody who knows the secret comes from elsewhere.
    lab.join("w1", &[]).await;
    lab.wait_ready(2).await;
    let tried = within("the guesses", guesser).await.expect("ran");
    // As many as were under way at once when the first was judged, and one a second after that.
    assert!(tried <= 130, "{tried} of {GUESSES} guesses were looked at");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_say_little_are_closed_and_hold_up_nobody() {
    let lab = Lab::start(1, 1).await;
    let url = lab.url("c1");
    let address = url.trim_start_matches("remuda://").split(';').next().expect("an address");
    // The beginning of a TLS hello, of a handshake frame after TLS, and nothing.
    let mut silent = Vec::new();
    for number in 0..200_u8 {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind((other(number % 5), 0).into()).expect("this machine");
        let connect = socket.connect(address.parse().expect("an address"));
        let stream = within("a connection", connect).await.expect("it accepts");
        stream.try_write(&[0x16, 0x03, 0x01][..usize::from(number % 4)]).unwrap_or(0);
        silent.push(stream);
    }
    let mut half = Raw::connect(&url, other(9), &Tls::default()).await.expect("TLS");
    half.send(&[0, 0, 16]).await.expect("sent");
    info(&lab.client("c1"), "w1").await.expect("others are served");
    for mut stream in silent {
        let mut rest = Vec::new();
        // A reset is an end as well.
        drop(within("the end of a silent connection", stream.read_to_end(&mut rest)).await);
    }
    half.until_closed().await;
    info(&lab.client("c1"), "w1").await.expect("and all is well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_not_reach_an_impostor() {
    let lab = Lab::start(1, 0).await;
    let impostor = Lab::start(1, 0).await;
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path().join("w").to_str().expect("UTF-8").to_owned();
    let token = token(&lab, "worker").to_string();
    let url = impostor.url("c1");
    let ended = tokio::task::spawn_blocking(move || {
        let arguments = ["agent", "--data-dir", &dir, "--join", &url, "--token", &token];
        run(&arguments, &[("REMUDA_LOG", "warn")])
    });
    let ended = within("the refusal", ended).await.expect("ran");
    assert_ne!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("TLS failed"), "{}", ended.stderr);
    assert!(!impostor.node("c1").log().contains("joined"), "the impostor saw a proof");
}
