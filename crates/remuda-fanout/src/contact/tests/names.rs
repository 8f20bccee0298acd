//! Names that lead to where nobody may go.

use tokio::net::UdpSocket;

use super::*;

/// A name server that gives every name the same IPv4 addresses, and none of IPv6.
async fn name_server(addresses: Vec<[u8; 4]>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut question = [0; 512];
        while let Ok((n, from)) = socket.recv_from(&mut question).await {
            // Of the question: its id, and all of its section up to additional records.
            let end = 12 + question[12..n].iter().position(|byte| *byte == 0).expect("a name") + 5;
            let is_a = question[end - 3] == 1;
            let n_answers = if is_a { u8::try_from(addresses.len()).expect("few") } else { 0 };
            let mut answer = question[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, n_answers, 0, 0, 0, 0]);
            answer.extend(&question[12..end]);
            for address in addresses.iter().take(n_answers.into()) {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(address);
            }
            socket.send_to(&answer, from).await.expect("sent");
        }
    });
    address
}

async fn visit(addresses: Vec<[u8; 4]>, config: PolicyConfig, port: u16) -> Attempt {
    let names = Names::new(Some(name_server(addresses).await));
    let shared = Arc::new(Shared::with_names(config, names));
    let spec = spec(Command::Http(get(format!("http://{{{{host}}}}:{port}/"))));
    let contactor = Contactor::new(&spec, &Secrets::default(), shared).expect("a valid run");
    contactor.attempt(&given("web1.example")).await
}

fn loopback() -> PolicyConfig {
    PolicyConfig { allow_loopback: true, ..PolicyConfig::default() }
}

#[tokio::test]
async fn a_name_leads_to_its_address() {
    let server = answering(|asked| reply("200 OK", "", asked)).await;
    let done = visit(vec![[127, 0, 0, 1]], loopback(), server.port()).await;
    assert_eq!(done.record.outcome, Outcome::Ok, "{:?}", done.record);
    assert_eq!(done.record.address, Some(server.to_string()));
    assert!(done.body().contains(&format!("host: web1.example:{}\r\n", server.port())));
}

#[tokio::test]
async fn a_name_of_blocked_addresses_is_blocked() {
    for (address, rule) in [
        ([127, 0, 0, 1], "loopback"),
        ([10, 0, 0, 1], "private ranges"),
        ([169, 254, 169, 254], "link-local"),
    ] {
        let done = visit(vec![address], PolicyConfig::default(), 80).await;
        assert_eq!(done.record.outcome, Outcome::Blocked, "{:?}", done.record);
        assert!(done.message().contains(rule), "{}", done.message());
        assert_eq!((done.again, done.record.address), (Again::No, None));
    }
}

#[tokio::test]
async fn allowed_addresses_of_a_name_are_tried_one_after_the_other() {
    let server = answering(|_| reply("200 OK", "", "here")).await;
    // The first is blocked, at the second nobody listens.
    let addresses = vec![[10, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 1]];
    let done = visit(addresses, loopback(), server.port()).await;
    assert_eq!(done.body(), "here", "{:?}", done.record);
}

#[tokio::test]
async fn a_name_without_addresses_has_no_address() {
    let done = visit(Vec::new(), loopback(), 80).await;
    assert_eq!((done.record.outcome, done.kind()), (Outcome::Failed, Some(TroubleKind::Dns)));
    assert_eq!(done.message(), "`web1.example` has no address");
    assert_eq!(done.again, Again::No);
}

#[tokio::test]
async fn what_remuda_listens_on_is_blocked() {
    let server = answering(|_| reply("200 OK", "", "here")).await;
    let config = PolicyConfig { own: vec![server], ..loopback() };
    let done = visit(vec![[127, 0, 0, 1]], config, server.port()).await;
    assert!(done.message().contains("own listener"), "{:?}", done.record);
}
