//! One exchange over HTTP for a guest.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Uri,
    body::Bytes,
    client::conn::http1,
    header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::bindings::remuda::job::http::{Error, Request, Response};

const LIMIT: Duration = Duration::from_secs(30);
const MAX_HEADERS: usize = 100;

type Address = (String, u16);
type Asked = hyper::Request<Full<Bytes>>;

/// Asks one of the granted hosts.
pub(super) async fn fetch(
    granted: &[String],
    max: usize,
    request: Request,
) -> Result<Response, Error> {
    let (host, request) = prepare(granted, request)?;
    tokio::time::timeout(LIMIT, exchange(&host, request, max)).await.unwrap_or(Err(Error::TimedOut))
}

/// Where to connect, and what to ask there.
fn prepare(granted: &[String], request: Request) -> Result<(Address, Asked), Error> {
    let invalid = |text: String| Error::Invalid(text);
    let uri: Uri = request.url.parse().map_err(|error| invalid(format!("url: {error}")))?;
    let authority = uri.authority().ok_or_else(|| invalid("url: it has no host".to_owned()))?;
    if uri.scheme_str() != Some("http") {
        return Err(invalid("url: only `http` is spoken".to_owned()));
    }
    if authority.as_str().contains('@') {
        return Err(invalid("url: it must not hold a name or password".to_owned()));
    }
    let (host, port) = (authority.host(), authority.port_u16().unwrap_or(80));
    if !granted.iter().any(|granted| is_granted(granted, host, port)) {
        return Err(Error::Forbidden(format!("{host}:{port}")));
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut made = hyper::Request::builder()
        .method(request.method.as_str())
        .uri(path)
        .header(HOST, authority.as_str());
    if request.headers.len() > MAX_HEADERS {
        return Err(invalid(format!("headers: at most {MAX_HEADERS}")));
    }
    for (name, value) in request.headers {
        let name: HeaderName =
            name.parse().map_err(|_bad| invalid(format!("headers: `{name}` is no name")))?;
        let value: HeaderValue = value
            .parse()
            .map_err(|_bad| invalid(format!("headers: the value of `{name}` is none")))?;
        // These decide where one message ends.
        if [HOST, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name) {
            return Err(invalid(format!("headers: `{name}` is not yours to set")));
        }
        made = made.header(name, value);
    }
    let made =
        made.body(Full::new(request.body.into())).map_err(|error| invalid(error.to_string()))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(((host, port), made))
}

fn is_granted(granted: &str, host: &str, port: u16) -> bool {
    let Ok(granted) = granted.parse::<hyper::http::uri::Authority>() else { return false };
    granted.host().eq_ignore_ascii_case(host) && granted.port_u16().unwrap_or(80) == port
}

async fn exchange(host: &Address, request: Asked, max: usize) -> Result<Response, Error> {
    let failed = |error: &dyn std::error::Error| Error::Failed(error.to_string());
    let address = (host.0.as_str(), host.1);
    let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, max).collect().await.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                Error::TooLarge
            } else {
                Error::Failed(error.to_string())
            }
        })?;
        let headers = head.headers.iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        let (status, headers) = (head.status.as_u16(), headers.collect());
        Ok(Response { status, headers, body: body.to_bytes().to_vec() })
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // It may end before its last bytes have been taken up.
        _ended = &mut connection => answer.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str) -> Request {
        let method = "GET".to_owned();
        Request { method, url: url.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    #[test]
    fn only_granted_hosts_are_asked() {
        let granted = ["example.org".to_owned(), "other:8080".to_owned(), "[::1]:80".to_owned()];
        let asked = |url: &str| prepare(&granted, request(url)).map(|(host, _)| host);
        assert_eq!(asked("http://Example.org/x").expect("granted").1, 80);
        assert_eq!(asked("http://other:8080").expect("granted"), ("other".to_owned(), 8080));
        assert_eq!(asked("http://[::1]/").expect("granted"), ("::1".to_owned(), 80));
        for bad in
            ["http://example.org:81/", "http://other/", "http://example.org.evil/", "http://evil"]
        {
            assert!(matches!(asked(bad), Err(Error::Forbidden(_))), "{bad}");
        }
        for bad in ["https://example.org/", "/x", "http://a@example.org/", "", "http://"] {
            assert!(matches!(asked(bad), Err(Error::Invalid(_))), "{bad}");
        }
    }

    #[test]
    fn headers_that_frame_the_message_are_refused() {
        let granted = ["h".to_owned()];
        for name in ["Host", "content-length", "Transfer-Encoding", "a b", ""] {
            let headers = vec![(name.to_owned(), "1".to_owned())];
            let asked = prepare(&granted, Request { headers, ..request("http://h/") });
            assert!(matches!(asked, Err(Error::Invalid(_))), "{name}");
        }
        let headers = vec![("a".to_owned(), "1\r\nb: 2".to_owned())];
        assert!(prepare(&granted, Request { headers, ..request("http://h/") }).is_err());
    }

    /// Answers one connection with these bytes; gives its address and what was asked.
    async fn server(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("an address").to_string();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("somebody asks");
            let mut asked = vec![0; 4096];
            let length = stream.read(&mut asked).await.expect("readable");
            stream.write_all(answer.as_bytes()).await.expect("written");
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        (address, asked)
    }

    #[tokio::test]
    async fn an_exchange_brings_the_whole_answer() {
        let (address, asked) =
            server("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 5\r\n\r\nhello")
                .await;
        let headers = vec![("X-Own".to_owned(), "1".to_owned())];
        let (method, url) = ("POST".to_owned(), format!("http://{address}/path?q"));
        let request = Request { method, url, headers, body: b"body".to_vec() };
        let answer = fetch(&[address], 100, request).await.expect("an answer");
        assert_eq!((answer.status, answer.body.as_slice()), (302, b"hello".as_slice()));
        assert!(answer.headers.contains(&("location".to_owned(), b"/elsewhere".to_vec())));
        let asked = asked.await.expect("no panic");
        assert!(asked.starts_with("POST /path?q HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("x-own: 1\r\n") && asked.ends_with("\r\n\r\nbody"), "{asked}");
    }

    #[tokio::test]
    async fn an_answer_is_bounded_and_may_be_none() {
        let (address, _asked) = server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
        let answer =
            fetch(std::slice::from_ref(&address), 4, request(&format!("http://{address}/"))).await;
        assert!(matches!(answer, Err(Error::TooLarge)), "{answer:?}");
        let (address, _asked) = server("nonsense\r\n\r\n").await;
        let answer =
            fetch(std::slice::from_ref(&address), 4, request(&format!("http://{address}/"))).await;
        assert!(matches!(answer, Err(Error::Failed(_))), "{answer:?}");
        // Nobody listens there any more.
        let answer =
            fetch(std::slice::from_ref(&address), 4, request(&format!("http://{address}/"))).await;
        assert!(matches!(answer, Err(Error::Failed(_))), "{answer:?}");
    }
}
