//! Strangers at the door: what they claim, repeat, throw back and pour in (M14, M20).

use std::{fs, net::Ipv4Addr, path::Path};

use remuda_e2e::{
    Node,
    attack::{Raw, Tls},
    info, within,
};
use remuda_link::JoinToken;
use remuda_model::Role;
use remuda_wire::handshake::{
    Client, ClientEffect, FromClient, FromServer, MAX_FRAME, Refusal, frame,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
};

use crate::herd::{Herd, on_machines};

fn refusal(answer: &[u8]) -> Refusal {
    match remuda_wire::decode(answer).expect("a message of the handshake") {
        FromServer::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// Lets an agent on another machine try to come in, which it must not.
async fn try_agent(herd: &Herd, name: &str, extra: &[&str]) -> String {
    let dir = herd.lab.dir().join(name);
    let data = dir.to_str().expect("UTF-8");
    let start = ["agent", "--exit-with-parent", "--lan", "off", "--data-dir", data];
    let mut agent = Node::new(name, &dir, herd.lan.place("m1"), &[&start[..], extra].concat());
    agent.start();
    let code = within("the refusal", agent.ended()).await;
    assert!(code.is_some_and(|code| code != 0), "{name}: {code:?}");
    agent.log()
}

#[test]
fn m14_whoever_claims_what_is_not_so_is_refused() {
    on_machines(|| async {
        let herd = Herd::start(&["c1"], &["w1"], &["m1"]).await;
        let url = herd.lab.url("c1");
        let worker: JoinToken = herd.lab.join_token("worker").parse().expect("a token");
        let mut foreign = worker.clone();
        foreign.cluster = remuda_model::ClusterId::random();
        let mut wrong = worker.clone();
        wrong.secret = [7; 32];

        // The real agent with a wrong cluster, a wrong secret, a token of the wrong role.
        let join = ["--join", &url, "--token"];
        for (name, token, extra) in [
            ("other-cluster", &foreign, &[][..]),
            ("other-secret", &wrong, &[]),
            ("other-role", &worker, &["--control", "--api", "off"]),
        ] {
            let token = token.to_string();
            let said = try_agent(&herd, name, &[&join[..], &[&token], extra].concat()).await;
            assert!(said.contains("error:") && said.contains("hint:"), "{name}: {said}");
        }

        // The same by a program that keeps to no rule, each time from elsewhere.
        for (number, token, role, wanted) in [
            (101, &foreign, Role::Worker, Refusal::ClusterMismatch),
            (102, &wrong, Role::Worker, Refusal::AuthFailed),
            (103, &worker, Role::Control, Refusal::AuthFailed),
        ] {
            let from = herd.lan.stranger(number);
            let mut raw = Raw::connect(&url, from, &Tls::default()).await.expect("TLS");
            let config = raw.joining(token, "thief", role);
            let answers = raw.shake(config, |_, frame| frame).await;
            assert_eq!(refusal(answers.last().expect("answered")), wanted, "{number}");
        }
        herd.ready(&["c1"], &["c1", "w1"]).await;
        assert_eq!(herd.lab.client("c1").nodes().await.expect("listed").len(), 2);
    });
}

#[test]
fn m14_a_handshake_that_is_replayed_or_reflected_is_refused() {
    on_machines(|| async {
        let herd = Herd::start(&["c1"], &["w1"], &[]).await;
        let url = herd.lab.url("c1");
        let token: JoinToken = herd.lab.join_token("worker").parse().expect("a token");
        let connect = async |number| {
            let from = herd.lan.stranger(number);
            Raw::connect(&url, from, &Tls::default()).await.expect("TLS")
        };
        // An honest handshake, and what was said in it.
        let mut honest = connect(101).await;
        let config = honest.joining(&token, "j1", Role::Worker);
        let recorded = config.clone();
        let said = std::sync::Mutex::new(Vec::new());
        let answers = honest
            .shake(config, |_, frame| {
                said.lock().expect("unharmed").push(frame.clone());
                frame
            })
            .await;
        let said = said.into_inner().expect("unharmed");
        assert_eq!((said.len(), answers.len()), (2, 2));
        let last: FromServer = remuda_wire::decode(&answers[1]).expect("words");
        assert!(matches!(last, FromServer::Ok { .. }), "{last:?}");

        // Frame by frame once more, and with a fresh proof over what was true of the first channel.
        let mut replayed = connect(102).await;
        replayed.send(&said[0]).await.expect("sent");
        replayed.frame().await.expect("a challenge, and another one than before");
        replayed.send(&said[1]).await.expect("sent");
        assert_eq!(refusal(&replayed.frame().await.expect("answered")), Refusal::AuthFailed);
        let mut replayed = connect(103).await;
        let answers = replayed.shake(recorded, |_, frame| frame).await;
        assert_eq!(refusal(answers.last().expect("answered")), Refusal::AuthFailed);

        // What the control node says is thrown back at it: its challenge on the same channel, its
        // proof on another one.
        let mut reflected = connect(104).await;
        let (_, hello) = Client::start(reflected.joining(&token, "j2", Role::Worker));
        reflected.send(&hello).await.expect("sent");
        let challenge = reflected.frame().await.expect("a challenge");
        reflected.send(&frame(&challenge)).await.expect("sent");
        let answer = reflected.frame().await.map(|answer| refusal(&answer));
        assert!(matches!(answer, Some(Refusal::Malformed | Refusal::AuthFailed)), "{answer:?}");
        let FromServer::Ok { mac } = last else { panic!("it was") };
        let mut reflected = connect(105).await;
        let (mut client, hello) = Client::start(reflected.joining(&token, "j3", Role::Worker));
        reflected.send(&hello).await.expect("sent");
        let challenge = reflected.frame().await.expect("a challenge");
        let effects = client.handle(&challenge);
        assert!(matches!(&effects[..], [ClientEffect::Send(_)]), "{effects:?}");
        let proof = remuda_wire::encode(&FromClient::Proof { mac });
        reflected.send(&frame(&proof)).await.expect("sent");
        assert_eq!(refusal(&reflected.frame().await.expect("answered")), Refusal::AuthFailed);

        info(&herd.lab.client("c1"), "w1").await.expect("it works");
        herd.ready(&["c1"], &["c1", "w1"]).await;
    });
}

/// How much strangers say at once.
const BLOCK: usize = 64 * 1024;

/// The most memory that a process ever had, in KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"));
    let status = status.expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("on Linux");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Says some words without TLS, then as much as it may.
async fn pour(url: &str, from: Ipv4Addr, words: &[u8], more: usize) {
    let address = url.trim_start_matches("remuda://").split(';').next().expect("an address");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("an address of the test");
    let connect = socket.connect(address.parse().expect("an address"));
    let Ok(mut stream) = within("a connection", connect).await else { return };
    // It may be closed before all is said.
    if stream.write_all(words).await.is_ok() {
        let block = vec![0xff; BLOCK];
        for _ in 0..more / BLOCK {
            if stream.write_all(&block).await.is_err() {
                break;
            }
        }
    }
    let mut rest = Vec::new();
    // A reset is an end as well.
    drop(stream.read_to_end(&mut rest).await);
}

#[test]
fn m20_frames_that_are_too_large_or_make_no_sense_end_the_connection_and_take_no_memory() {
    const MB: usize = 1 << 20;
    on_machines(|| async {
        let herd = Herd::start(&["c1"], &["w1"], &[]).await;
        let url = herd.lab.url("c1");
        let pid = herd.lab.node("c1").pid().expect("it runs");
        let before = peak_kib(pid);
        // Without TLS: none at all, records of a length that never comes, and a whole one too long.
        let words: [&[u8]; 5] = [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            &[0xff; 64],
            &[0x16, 0x03, 0x01, 0x40, 0x00],
            &[0x16, 0x03, 0x01, 0xff, 0xff],
            b"",
        ];
        let mut attempts = tokio::task::JoinSet::new();
        for number in 0..8 {
            let from = herd.lan.stranger(101 + number);
            for words in words {
                let url = url.clone();
                attempts.spawn(async move {
                    pour(&url, from, words, 8 * MB).await;
                    false
                });
            }
            // Behind TLS: lengths that no frame has, and frames of the longest length that say nothing.
            let longest = u32::try_from(MAX_FRAME).expect("short");
            for length in [0, 1, longest, longest + 1, u32::MAX / 2, u32::MAX] {
                let url = url.clone();
                attempts.spawn(async move {
                    let raw = Raw::connect(&url, from, &Tls::default()).await;
                    // A door that is full closes at once.
                    let Ok(mut raw) = raw else { return false };
                    // It may be closed before all is said.
                    if raw.send(&length.to_be_bytes()).await.is_ok() {
                        let block = vec![0xff; BLOCK];
                        for _ in 0..8 * MB / BLOCK {
                            if raw.send(&block).await.is_err() {
                                break;
                            }
                        }
                    }
                    let said = raw.until_closed().await;
                    assert!(said.len() < 200, "{length}: {}", said.escape_ascii());
                    true
                });
            }
        }
        info(&herd.lab.client("c1"), "w1").await.expect("others are served meanwhile");
        let ended = within("the end of all of it", attempts.join_all()).await;
        assert!(ended.contains(&true), "nobody got behind TLS");
        // More than half a gigabyte was offered.
        let grown = (peak_kib(pid) - before) / 1024;
        assert!(grown < 64, "{grown} MiB");
        info(&herd.lab.client("c1"), "w1").await.expect("and afterwards");
        herd.ready(&["c1"], &["c1", "w1"]).await;
    });
}
