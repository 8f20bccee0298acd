//! Servers of HTTP, good and bad.

use remuda_model::run::{Header, Payload};
use tokio::time::{Duration, sleep};

use super::*;

async fn fetch(http: Http) -> Attempt {
    attempt(Command::Http(http)).await
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: value.to_owned() }
}

#[tokio::test]
async fn an_answer_is_kept() {
    let server = answering(|asked| reply("201 Created", "x-one: 1\r\nx-two: 2\r\n", asked)).await;
    let mut http = get(format!("http://{{{{host}}}}:{}/a?b={{{{vars.b}}}}", server.port()));
    http.method = "POST".to_owned();
    http.headers =
        vec![header("Authorization", "Bearer {{secrets.token}}"), header("X-B", "{{vars.b}}")];
    http.body = Some(Payload::Text("b is {{vars.b}}".to_owned()));
    http.capture.headers = Keep::Only(vec!["X-Two".to_owned()]);
    let mut spec = spec(Command::Http(http));
    spec.vars.insert("b".to_owned(), "run".to_owned());
    let mut secrets = Secrets::default();
    secrets.values.insert("token".to_owned(), "s3cret".to_owned().into());
    let mut target = given("127.0.0.1");
    target.vars.push(("b".to_owned(), "own".to_owned()));
    let done = attempt_with(&spec, &secrets, &target).await;
    let Attempt { record, again } = &done;
    assert_eq!((record.outcome, record.status), (Outcome::Ok, Some(201)), "{record:?}");
    assert_eq!((record.index, record.attempts, *again), (7, 1, Again::No));
    assert_eq!(record.address, Some(server.to_string()));
    assert_eq!(record.headers, [("x-two".to_owned(), "2".to_owned())]);
    assert!(record.started_ms > 1_600_000_000_000 && record.duration_us > 0);
    let asked = done.body();
    assert!(asked.starts_with("POST /a?b=own HTTP/1.1\r\n"), "{asked}");
    for line in [
        format!("host: {server}"),
        "authorization: Bearer s3cret".to_owned(),
        "x-b: own".to_owned(),
        "content-length: 8".to_owned(),
        "connection: close".to_owned(),
        "accept: */*".to_owned(),
        format!("user-agent: remuda/{}", remuda_model::VERSION),
    ] {
        assert!(asked.contains(&format!("{line}\r\n")), "{line} is not in {asked}");
    }
    assert!(asked.ends_with("\r\n\r\nb is own"), "{asked}");
    assert!(!format!("{record:?}").contains("s3cret") || asked.contains("s3cret"));
}

#[tokio::test]
async fn the_run_has_the_last_word_on_headers() {
    let server = answering(|asked| reply("200 OK", "", asked)).await;
    let mut http = get(format!("http://{server}/"));
    http.headers = vec![header("User-Agent", "mine"), header("Host", "other.example")];
    let asked = fetch(http).await.body();
    assert!(asked.contains("user-agent: mine\r\n") && asked.contains("host: other.example\r\n"));
}

#[tokio::test]
async fn a_status_is_as_expected_or_not() {
    for (status, expect, outcome, again) in [
        ("200 OK", None, Outcome::Ok, Again::No),
        ("302 Found", None, Outcome::Ok, Again::No),
        ("404 Not Found", None, Outcome::Unexpected, Again::No),
        ("404 Not Found", Some("200-299,404"), Outcome::Ok, Again::No),
        ("302 Found", Some("200"), Outcome::Unexpected, Again::No),
        ("503 Away", None, Outcome::Unexpected, Again::Repeatable),
    ] {
        let server = answering(|_| reply(status, "", "why")).await;
        let mut http = get(format!("http://{server}/"));
        http.expect = expect.map(str::to_owned);
        let done = fetch(http).await;
        assert_eq!((done.record.outcome, done.again), (outcome, again), "{status} {expect:?}");
        assert_eq!(done.body(), "why", "the body tells why");
        let kind = (outcome == Outcome::Unexpected).then_some(TroubleKind::Status);
        assert_eq!(done.kind(), kind);
    }
}

#[tokio::test]
async fn what_may_have_happened_is_not_repeated() {
    let server = serve(|mut stream| async move {
        request(&mut stream).await;
    })
    .await;
    for (method, again) in [
        ("GET", Again::Repeatable),
        ("HEAD", Again::Repeatable),
        ("PUT", Again::Repeatable),
        ("DELETE", Again::Repeatable),
        ("POST", Again::No),
        ("PATCH", Again::No),
        ("FETCH", Again::No),
    ] {
        let mut http = get(format!("http://{server}/"));
        http.method = method.to_owned();
        let done = fetch(http).await;
        assert_eq!((done.record.outcome, done.again), (Outcome::Failed, again), "{method}");
        assert_eq!(done.kind(), Some(TroubleKind::Closed), "{}", done.message());
    }
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let mut http = get(format!("http://{address}/"));
    http.method = "POST".to_owned();
    let done = fetch(http).await;
    assert_eq!((done.kind(), done.again), (Some(TroubleKind::Refused), Again::NothingSent));
    assert_eq!(done.record.address, Some(address.to_string()));
}

#[tokio::test]
async fn a_connection_that_closes_at_once_is_a_failure() {
    let server = serve(|stream| async move { drop(stream) }).await;
    let done = fetch(get(format!("http://{server}/"))).await;
    assert_eq!((done.kind(), done.again), (Some(TroubleKind::Closed), Again::Repeatable));
}

#[tokio::test]
async fn a_server_that_never_answers_ends_by_the_first_byte() {
    let server = serve(|mut stream| async move {
        request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let done = hurried(Command::Http(get(format!("http://{server}/"))), 100, 60_000).await;
    assert_eq!((done.record.outcome, done.kind()), (Outcome::TimedOut, Some(TroubleKind::Timeout)));
    assert_eq!(done.message(), "no answer in 100 ms");
}

#[tokio::test]
async fn a_drip_ends_by_the_total_and_keeps_what_came() {
    let server = serve(|mut stream| async move {
        request(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
        let mut more = stream.write_all(head).await;
        while more.is_ok() {
            more = stream.write_all(b"d").await;
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let done = hurried(Command::Http(get(format!("http://{server}/"))), 60_000, 300).await;
    assert_eq!((done.record.outcome, done.kind()), (Outcome::TimedOut, Some(TroubleKind::Timeout)));
    assert_eq!(done.record.status, Some(200));
    assert!(done.body().starts_with('d'), "{:?}", done.record);
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    for head in
        ["HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"]
    {
        let server = serve(move |mut stream| async move {
            request(&mut stream).await;
            let mut sent = stream.write_all(head.as_bytes()).await;
            let piece = vec![b'x'; 1 << 16];
            while sent.is_ok() {
                sent = stream.write_all(&piece).await;
            }
        })
        .await;
        let mut http = get(format!("http://{server}/"));
        http.capture.body = Some(1000);
        let done = fetch(http).await;
        assert_eq!(done.record.outcome, Outcome::Ok, "{:?}", done.record.trouble);
        assert_eq!((done.record.body.len(), done.record.truncated), (1000, true));
    }
}

#[tokio::test]
async fn bodies_in_pieces_are_put_together() {
    let server = serve(|mut stream| async move {
        request(&mut stream).await;
        let text =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        stream.write_all(text.as_bytes()).await.expect("sent");
    })
    .await;
    let done = fetch(get(format!("http://{server}/"))).await;
    assert_eq!((done.record.outcome, done.body().as_str()), (Outcome::Ok, "abcde"));
}

#[tokio::test]
async fn garbage_is_no_http() {
    let endless_header = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    let many_headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
    for answer in [
        "SSH-2.0-OpenSSH_10.0\r\n".to_owned(),
        "\0\u{1}\u{2}\r\n\r\n".to_owned(),
        "HTTP/1.1 9999 X\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzzz\r\n".to_owned(),
        endless_header,
        many_headers,
    ] {
        let said = answer.clone();
        let server = answering(move |_| said.clone()).await;
        let done = fetch(get(format!("http://{server}/"))).await;
        let shown = answer.chars().take(60).collect::<String>();
        assert_eq!(done.record.outcome, Outcome::Failed, "{shown}");
        assert_eq!(done.kind(), Some(TroubleKind::Protocol), "{shown}: {}", done.message());
    }
}

#[tokio::test]
async fn headers_that_are_kept_have_an_end() {
    let line = format!("h: {}\r\n", "v".repeat(150));
    let server = answering(move |_| reply("200 OK", &line.repeat(80), "")).await;
    let mut http = get(format!("http://{server}/"));
    http.capture.headers = Keep::All;
    let done = fetch(http).await;
    assert_eq!(done.record.headers.len(), 81, "all of 12 KiB");
}

#[tokio::test]
async fn redirects_are_followed_as_often_as_wished() {
    let server = answering(|asked| {
        let path = asked.split(' ').nth(1).unwrap_or_default();
        let n: u32 = path.trim_start_matches('/').parse().unwrap_or_default();
        if n == 0 {
            reply("200 OK", "", asked)
        } else {
            reply("302 Found", &format!("location: {}\r\n", n - 1), "elsewhere")
        }
    })
    .await;
    let mut http = get(format!("http://{server}/2"));
    let asis = fetch(http.clone()).await;
    assert_eq!((asis.record.status, asis.body().as_str()), (Some(302), "elsewhere"), "by default");
    http.redirects = 3;
    let done = fetch(http.clone()).await;
    assert_eq!((done.record.outcome, done.record.status), (Outcome::Ok, Some(200)));
    assert!(done.body().starts_with("GET /0 "), "{}", done.body());
    http.url = format!("http://{server}/1000000");
    let done = fetch(http).await;
    assert_eq!(done.record.outcome, Outcome::Failed);
    assert_eq!(done.message(), "it redirects more than 3 times");
    assert_eq!((done.kind(), done.again), (Some(TroubleKind::Redirect), Again::No));
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_server() {
    let last = answering(|asked| reply("200 OK", "", asked)).await;
    let first =
        answering(move |_| reply("307 Moved", &format!("location: http://{last}/there\r\n"), ""))
            .await;
    let mut http = get(format!("http://{first}/here"));
    http.method = "PUT".to_owned();
    http.redirects = 1;
    http.headers = vec![
        header("Authorization", "Basic abc"),
        header("Cookie", "session=abc"),
        header("X-Key", "{{secrets.key}}"),
        header("Host", "first.example"),
        header("Content-Type", "text/plain"),
        header("X-Plain", "stays"),
    ];
    http.body = Some(Payload::Text("{{secrets.key}}".to_owned()));
    let mut secrets = Secrets::default();
    secrets.values.insert("key".to_owned(), "s3cret".to_owned().into());
    let done = attempt_with(&spec(Command::Http(http)), &secrets, &given("127.0.0.1")).await;
    let asked = done.body();
    assert!(asked.starts_with("PUT /there HTTP/1.1\r\n"), "{asked}");
    for gone in ["authorization", "cookie", "s3cret", "first.example", "text/plain", "abc"] {
        assert!(!asked.contains(gone), "{gone} is in {asked}");
    }
    assert!(asked.contains("x-plain: stays\r\n") && asked.contains("content-length: 0\r\n"));
}

#[tokio::test]
async fn a_redirect_to_a_blocked_address_is_blocked() {
    let server = answering(|_| {
        reply("302 Found", "location: http://169.254.169.254/latest/meta-data\r\n", "")
    })
    .await;
    let mut http = get(format!("http://{server}/"));
    http.redirects = 1;
    let done = fetch(http).await;
    assert_eq!((done.record.outcome, done.kind()), (Outcome::Blocked, Some(TroubleKind::Policy)));
    assert!(done.message().contains("\"link-local\""), "{}", done.message());
    assert_eq!(done.again, Again::No);
}

#[tokio::test]
async fn headers_cannot_be_smuggled_in() {
    let server = answering(|asked| reply("200 OK", "", asked)).await;
    let mut http = get(format!("http://{server}/"));
    http.headers = vec![header("X-A", "{{vars.a}}")];
    let mut target = given("127.0.0.1");
    target.vars.push(("a".to_owned(), "1\r\nX-B: 2".to_owned()));
    let done = attempt_with(&spec(Command::Http(http)), &Secrets::default(), &target).await;
    assert_eq!((done.record.outcome, done.kind()), (Outcome::Failed, Some(TroubleKind::Template)));
    assert_eq!(done.record.address, None, "nothing was contacted");
}

#[tokio::test]
async fn malformed_runs_are_refused_before_they_start() {
    let refused = |change: fn(&mut Http)| {
        let mut http = get("http://{{host}}/".to_owned());
        change(&mut http);
        let spec = spec(Command::Http(http));
        Contactor::new(&spec, &Secrets::default(), shared()).expect_err("malformed").message
    };
    assert!(refused(|http| http.method = "GE T".to_owned()).starts_with("command.http.method"));
    assert!(refused(|http| http.url = "http://{{host}".to_owned()).starts_with("command.http.url"));
    assert!(
        refused(|http| http.url = "http://{{secrets.x}}".to_owned())
            .starts_with("command.http.url")
    );
    assert!(
        refused(|http| http.expect = Some("2oo".to_owned())).starts_with("command.http.expect")
    );
    assert!(
        refused(|http| http.headers.push(header("a b", "c"))).starts_with("command.http.headers")
    );
    assert!(
        refused(|http| http.body = Some(Payload::Base64("%".into())))
            .starts_with("command.http.body")
    );
    assert!(refused(|http| http.headers.push(header("Connection", "x"))).contains("headers"));
    assert!(refused(|http| http.tls.ca = Some("x".to_owned())).starts_with("command.http.tls.ca"));
}
