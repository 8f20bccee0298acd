//! The board, and the way to it over loopback.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use remuda_runtime::{Supervisor, wall_ms};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::*;
use crate::lan::{Announcer, Key, Now};

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));

fn packet(json: Value) -> Packet {
    serde_json::from_value(json).expect("a packet")
}

/// The ports of the hosts that are listed.
fn ports(board: &mut Board, at: u64) -> (Vec<u16>, Vec<u16>) {
    let Hosts { masters, workers } = board.hosts(Duration::from_secs(at));
    let ports = |hosts: Vec<Host>| hosts.into_iter().map(|host| host.port).collect();
    (ports(masters), ports(workers))
}

#[test]
fn supercluster_packets_are_listed_and_expire() {
    let mut board = Board::default();
    let worker = |port: u16| {
        packet(json!({
            "name": "worker", "interval": 1000, "available": true, "local": true,
            "data": {"role": "worker", "port": port, "restApiPort": 44401, "commune": "a"},
        }))
    };
    let now = Duration::from_secs(1);
    // All of them have the same name: the port tells them apart.
    for port in [9998, 9997] {
        board.announce(now, HOME, worker(port)).expect("listed");
    }
    let master = json!({"name": "x", "data": {"role": "master", "port": 9999}});
    board.announce(now, HOME, packet(master)).expect("listed");
    let listed = serde_json::to_value(board.hosts(now)).expect("JSON");
    assert_eq!(
        listed,
        json!({
            "masters": [{"addr": "10.0.0.9", "port": 9999, "data": {"role": "master", "port": 9999}}],
            "workers": [
                {"addr": "10.0.0.9", "port": 9997, "data":
                    {"role": "worker", "port": 9997, "restApiPort": 44401, "commune": "a"}},
                {"addr": "10.0.0.9", "port": 9998, "data":
                    {"role": "worker", "port": 9998, "restApiPort": 44401, "commune": "a"}},
            ],
        })
    );
    // Two and a half intervals: 2.5 s for those who say so, 7.5 s for those who say nothing.
    assert_eq!(ports(&mut board, 3), (vec![9999], vec![9997, 9998]));
    assert_eq!(ports(&mut board, 4), (vec![9999], vec![]));
    assert_eq!(ports(&mut board, 9), (vec![], vec![]));
    let late = Duration::from_secs(10);
    board.announce(late, HOME, worker(1)).expect("listed");
    board.announce(late, HOME, Packet { available: false, ..worker(1) }).expect("taken down");
    assert_eq!(ports(&mut board, 10), (vec![], vec![]));
}

#[test]
fn what_no_host_can_be_is_refused_by_field() {
    let mut board = Board::default();
    for (json, refused) in [
        (json!({"name": "tracker"}), Refused::Role),
        (json!({"name": "master", "data": {"role": "king"}}), Refused::Role),
        (json!({"name": ""}), Refused::Length("name")),
        (json!({"name": "master", "id": "x".repeat(129)}), Refused::Length("id")),
        (json!({"name": "master", "data": {"port": 70_000}}), Refused::Port),
        (json!({"name": "master", "data": {"port": "80"}}), Refused::Port),
        (json!({"name": "master", "data": {"x": vec![1e15; 400]}}), Refused::TooLong),
    ] {
        assert_eq!(board.announce(Duration::ZERO, HOME, packet(json)), Err(refused));
    }
    assert!(serde_json::from_value::<Packet>(json!({"name": 1})).is_err());
    assert_eq!(board.hosts(Duration::ZERO), Hosts::default());
}

#[test]
fn one_address_fills_no_board_and_a_full_one_forgets_the_most_silent() {
    let mut board = Board::default();
    let master = |id: usize| packet(json!({"name": "master", "id": id.to_string()}));
    let from = |host: usize| IpAddr::from(u32::try_from(host).expect("small").to_be_bytes());
    for id in 0..MAX_OF_ONE {
        board.announce(Duration::ZERO, HOME, master(id)).expect("listed");
    }
    assert_eq!(board.announce(Duration::ZERO, HOME, master(999)), Err(Refused::TooMany));
    board.announce(Duration::ZERO, HOME, master(1)).expect("it is there already");
    for host in 0..MAX_HOSTS {
        board.announce(Duration::from_secs(1), from(host), master(0)).expect("listed");
    }
    let hosts = board.hosts(Duration::from_secs(1)).masters;
    assert_eq!(hosts.len(), MAX_HOSTS);
    assert!(hosts.iter().all(|host| host.addr != HOME));
}

#[test]
fn addresses_of_trackers() {
    for (text, shown) in [
        ("http://t.example", "http://t.example:44201"),
        (" http://10.0.0.1:80/ ", "http://10.0.0.1:80"),
        ("http://[::1]:7", "http://[::1]:7"),
    ] {
        assert_eq!(text.parse::<TrackerUrl>().expect(text).to_string(), shown);
    }
    for (text, reason) in [
        ("t.example", "expected http://"),
        ("https://t.example", "over http"),
        ("http://", "expected http://"),
        ("http://u:p@t.example", "user and password"),
        ("http://t.example/list", "a path"),
        ("http://t.example:0", "port 0"),
    ] {
        let error = text.parse::<TrackerUrl>().expect_err(text);
        assert!(error.to_string().contains(reason), "{text}: {error}");
    }
}

async fn board(supervisor: &Supervisor) -> (SocketAddr, TrackerUrl) {
    let address = serve((Ipv4Addr::LOCALHOST, 0).into(), supervisor).await.expect("serves");
    (address, format!("http://{address}").parse().expect("a URL"))
}

fn announcer(secret: [u8; 32]) -> Announcer {
    Announcer {
        cluster: "00000000000000000000000001".parse().expect("a cluster id"),
        node: "c1".parse().expect("a name"),
        addresses: vec!["remuda://10.0.0.9:1973".parse().expect("a URL")],
        now: Arc::new(move || Now { name: "herd".to_owned(), keys: vec![Key::of_secret(&secret)] }),
    }
}

#[tokio::test]
async fn a_control_node_is_pinned_up_and_taken_down() {
    let (supervisor, control) = (Supervisor::new(), Supervisor::new());
    let (_, url) = board(&supervisor).await;
    keep_announced(url.clone(), announcer([7; 32]), &control);
    let listed = async || fetch(&url).await.expect("the tracker answers").masters;
    let host = loop {
        if let Some(host) = listed().await.pop() {
            break host;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(host.data["node"], "c1");
    let now_s = wall_ms() / 1000;
    let told =
        |secret, now_s| told(&host, Some(&Key::of_secret(&[secret; 32])), now_s).expect("told");
    assert!(told(7, now_s).verified);
    assert!(!told(8, now_s).verified, "another secret");
    assert!(!told(7, now_s + 3600).verified, "an old announcement");
    assert_eq!(told(7, now_s).addresses, ["remuda://10.0.0.9:1973".parse().expect("a URL")]);
    assert!(control.shutdown(Duration::from_secs(10)).await);
    assert_eq!(listed().await, []);
    supervisor.shutdown(Duration::from_secs(10)).await;
}

/// Sends bytes; returns the answer.
async fn send(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // A refusal may come before everything was read.
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n\r\n{body}")
}

#[tokio::test]
async fn bad_requests_are_answered_with_what_is_wrong() {
    let supervisor = Supervisor::new();
    let (address, url) = board(&supervisor).await;
    for (request, status, words) in [
        (post("/announce", "{"), "400", "EOF while parsing"),
        (post("/announce", r#"{"name":"king"}"#), "400", "`data.role`"),
        (post("/announce", &"x".repeat(MAX_PACKET + 1)), "413", "at most 4096 bytes"),
        (post("/other", "{}"), "404", "GET /hostsAvailable"),
        ("DELETE /announce HTTP/1.1\r\nHost: t\r\n\r\n".to_owned(), "405", "POST /announce"),
        (format!("GET /{} HTTP/1.1\r\nHost: t\r\n\r\n", "x".repeat(20_000)), "431", ""),
    ] {
        let answer = send(address, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains(words), "{answer}");
    }
    assert_eq!(fetch(&url).await.expect("it still answers"), Hosts::default());
    let good =
        send(address, &post("/hostsAvailable", r#"{"name":"worker","data":{"port":1}}"#)).await;
    assert!(
        good.ends_with(
            r#"{"masters":[],"workers":[{"addr":"127.0.0.1","port":1,"data":{"port":1}}]}"#
        ),
        "{good}"
    );
    supervisor.shutdown(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn what_is_no_tracker_is_named() {
    let supervisor = Supervisor::new();
    let (address, _) = board(&supervisor).await;
    supervisor.shutdown(Duration::from_secs(10)).await;
    let url: TrackerUrl = format!("http://{address}").parse().expect("a URL");
    let error = fetch(&url).await.expect_err("nobody is there");
    assert!(matches!(&error, TrackerError::Unreachable { url: named, .. } if *named == url));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("binds");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let liar = async {
        let (mut stream, _) = listener.accept().await.expect("connects");
        let mut request = [0; 1024];
        assert_ne!(stream.read(&mut request).await.expect("reads"), 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n42").await.expect("writes");
        stream
    };
    let url: TrackerUrl = url.parse().expect("a URL");
    let (asked, _stream) = tokio::join!(fetch(&url), liar);
    let error = asked.expect_err("it is no list");
    assert!(error.to_string().contains("no list of hosts"), "{error}");
}
