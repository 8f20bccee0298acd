//! Presence.

use remuda_model::run::{Ping, PingMode};

use super::*;

fn ping(mode: PingMode, port: u16) -> Command {
    Command::Ping(Ping { mode, port: Some(port.to_string()), tries: None })
}

#[tokio::test]
async fn a_connection_and_a_refusal_prove_presence() {
    let server = serve(|stream| async move { drop(stream) }).await;
    let done = attempt(ping(PingMode::Tcp, server.port())).await;
    assert_eq!((done.record.outcome, done.body().as_str()), (Outcome::Ok, "alive (tcp)"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let done = attempt(ping(PingMode::Tcp, port)).await;
    assert_eq!((done.record.outcome, done.body().as_str()), (Outcome::Ok, "alive (tcp, refused)"));
    assert_eq!(done.record.trouble, None);
}

#[tokio::test]
async fn presence_is_found_out_with_and_without_icmp() {
    let server = serve(|stream| async move { drop(stream) }).await;
    let by_icmp = attempt(ping(PingMode::Icmp, server.port())).await;
    let auto = attempt(ping(PingMode::Auto, server.port())).await;
    assert_eq!(auto.record.outcome, Outcome::Ok, "{auto:?}");
    // Whether this machine lets the test send echoes decides how.
    if by_icmp.record.outcome == Outcome::Ok {
        assert_eq!(
            (by_icmp.body().as_str(), auto.body().as_str()),
            ("alive (icmp)", "alive (icmp)")
        );
        assert_eq!(by_icmp.record.address.as_deref(), Some("127.0.0.1"));
    } else {
        assert_eq!(by_icmp.kind(), Some(TroubleKind::Internal), "{by_icmp:?}");
        assert!(by_icmp.message().contains("ping_group_range"));
        assert_eq!(auto.body(), "alive (tcp)");
    }
}

#[tokio::test]
async fn an_echo_is_under_the_policy_too() {
    let spec = spec(ping(PingMode::Icmp, 80));
    let shared = Arc::new(Shared::new(PolicyConfig::default()));
    let contactor = Contactor::new(&spec, &Secrets::default(), shared).expect("a valid run");
    for host in ["127.0.0.1", "10.0.0.1", "fe80::1", "255.255.255.255"] {
        let done = contactor.attempt(&given(host)).await;
        assert_eq!(done.record.outcome, Outcome::Blocked, "{host}");
    }
}
