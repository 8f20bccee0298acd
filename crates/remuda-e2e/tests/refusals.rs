//! What is wrong is refused with words that help, and nothing is left half done.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use remuda_e2e::{Finished, Lab, info, run};

/// Runs an agent that should not start.
fn refused(arguments: &[&str]) -> Finished {
    let ended = run(&[&["agent"], arguments].concat(), &[("REMUDA_LOG", "warn")]);
    assert!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
    assert!(ended.stderr.contains("error:"), "{ended:?}");
    ended
}

fn says(ended: &Finished, words: &[&str]) {
    for word in words {
        assert!(ended.stderr.contains(word), "`{word}` is not in:\n{}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_kept_out() {
    let lab = Lab::start(1, 0).await;
    let other = Lab::start(1, 0).await;
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let url = lab.url("c1");
    let good = std::fs::read_to_string(lab.node("c1").dir().join("join-token-worker"));
    let good = good.expect("a token").trim().to_owned();
    let foreign = std::fs::read_to_string(other.node("c1").dir().join("join-token-worker"));
    let foreign = foreign.expect("a token").trim().to_owned();

    // The right cluster and the wrong secret: the last part of a token is its secret.
    let (head, _) = good.rsplit_once('.').expect("parts");
    let wrong = format!("{head}.{}", "A".repeat(43));
    says(&refused(&["--data-dir", &at("a"), "--join", &url, "--token", &wrong]), &["hint:"]);
    // A token of another cluster.
    says(&refused(&["--data-dir", &at("b"), "--join", &url, "--token", &foreign]), &["hint:"]);
    // A worker's token does not make a control node.
    let arguments = ["--control", "--data-dir", &at("c"), "--join", &url, "--token", &good];
    says(&refused(&arguments), &["hint:"]);
    // Nonsense, and nothing at all.
    says(&refused(&["--data-dir", &at("d"), "--join", &url, "--token", "rmd1.x"]), &["token"]);
    says(&refused(&["--data-dir", &at("e")]), &["no cluster", "hint:"]);
    assert_eq!(lab.wait_ready(1).await.len(), 1, "nobody came in");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_machine_cannot_give_is_named() {
    let lab = Lab::start(1, 0).await;
    let dir = lab.node("c1").dir().to_str().expect("UTF-8").to_owned();
    let in_use = refused(&["--control", "--bootstrap", "--data-dir", &dir]);
    says(&in_use, &["in use by another agent", &dir, "hint:"]);

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "x").expect("written");
    let below = file.join("data");
    let below = below.to_str().expect("UTF-8");
    says(&refused(&["--control", "--bootstrap", "--data-dir", below]), &[below, "hint:"]);

    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = format!("remuda://{}", taken.local_addr().expect("bound"));
    let data = folder.path().join("data");
    let data = data.to_str().expect("UTF-8");
    let arguments = [
        "--control",
        "--bootstrap",
        "--data-dir",
        data,
        "--listen",
        &listen,
        "--api",
        "127.0.0.1:0",
    ];
    says(&refused(&arguments), &["cannot listen", "hint:"]);
    let api = taken.local_addr().expect("bound").to_string();
    let arguments = [
        "--control",
        "--bootstrap",
        "--data-dir",
        data,
        "--listen",
        "remuda://127.0.0.1:0",
        "--api",
        &api,
    ];
    says(&refused(&arguments), &[&api]);
}

#[test]
fn mistakes_in_the_configuration_are_all_told_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("remuda.toml");
    std::fs::write(
        &file,
        "listen = [\"remuda://a:99999\"]\ncolour = \"blue\"\nlabels = \"a;;b\"\n",
    )
    .expect("written");
    let file = file.to_str().expect("UTF-8");
    let ended = refused(&["--config", file]);
    says(&ended, &["remuda.toml:1", "remuda.toml:2", "colour", "remuda.toml:3"]);
    let unknown = run(&["agent", "--colour", "blue"], &[]);
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    says(&unknown, &["--colour"]);
    let plain =
        refused(&["--control", "--bootstrap", "--listen", "remuda://192.0.2.1:0;transport=tcp"]);
    says(&plain, &["hint:"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_link_port_does_no_harm() {
    let lab = Lab::start(1, 1).await;
    let address = lab.url("c1");
    let address = address.trim_start_matches("remuda://").split(';').next().expect("an address");
    let frames: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0xff; 64],
        // A TLS record that claims 16 KiB and never comes; a client hello cut in half.
        &[0x16, 0x03, 0x01, 0x40, 0x00],
        &[0x16, 0x03, 0x01, 0x00, 0x05, 0x01, 0x00],
        b"",
    ];
    let mut open = Vec::new();
    for frame in frames.iter().cycle().take(60) {
        let mut socket = TcpStream::connect(address).expect("it accepts");
        drop(socket.write_all(frame));
        open.push(socket);
    }
    info(&lab.client("c1"), "w1").await.expect("the cluster works meanwhile");
    for mut socket in open {
        // Half-open connections are closed within the five seconds that a peer has to prove itself.
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let mut rest = Vec::new();
        if let Err(error) = socket.read_to_end(&mut rest) {
            let kind = error.kind();
            assert_eq!(kind, std::io::ErrorKind::ConnectionReset, "not closed: {error}");
        }
    }
    lab.wait_ready(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_bad_tokens_keeps_nobody_out() {
    let lab = Lab::start(1, 0).await;
    let ready = std::fs::read(lab.node("c1").dir().join("ready.json")).expect("ready");
    let ready: serde_json::Value = serde_json::from_slice(&ready).expect("JSON");
    let api = ready["api"].as_str().expect("an address").to_owned();
    let mut refused = 0;
    for number in 0..300 {
        let mut socket = TcpStream::connect(&api).expect("it accepts");
        let request = format!(
            "GET /v1/nodes HTTP/1.1\r\nHost: {api}\r\nAuthorization: Bearer rmt1.x.{number}\r\n\
             Connection: close\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("answered");
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(matches!(status, "401" | "429"), "{answer}");
        refused += u32::from(status == "429");
    }
    assert!(refused > 0, "the flood was never slowed down");
    lab.client("c1").nodes().await.expect("a good token is heard");
}
