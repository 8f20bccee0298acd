//! Targets behind TLS: whose certificate is believed, what is said of the others, and what lets them
//! in.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use remuda::client::dto::RunRecord;
use remuda_e2e::{Lab, Place};
use remuda_model::run::{Outcome, TroubleKind};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::field::{LOOPBACK, cluster, count, fanout, finished, json, listed, written};

const GOOD: &str = "127.2.0.1";
const SELF_SIGNED: &str = "127.2.0.2";
/// As `openssl req -x509` makes it: its own authority.
const OWN_AUTHORITY: &str = "127.2.0.3";
const EXPIRED: &str = "127.2.0.4";
const EARLY: &str = "127.2.0.5";
/// Its certificate is for this name.
const NAMED: (&str, &str) = ("127.2.0.6", "web1.example");
/// Speaks no TLS.
const PLAIN: &str = "127.2.0.7";
const ALL: [&str; 7] = [GOOD, SELF_SIGNED, OWN_AUTHORITY, EXPIRED, EARLY, NAMED.0, PLAIN];

/// Servers with a certificate each, at one port.
struct Servers {
    port: u16,
    /// The authority of all that have one.
    authority: String,
    /// The certificate of the one that signed it itself.
    self_signed: String,
    heard: Arc<Heard>,
    serving: JoinHandle<()>,
}

/// Which server was told something behind TLS, and how often.
type Heard = Mutex<BTreeMap<IpAddr, u32>>;

impl Servers {
    async fn start() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = params("an authority", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let mut acceptors = BTreeMap::new();
        let mut self_signed = String::new();
        for host in ALL {
            if host == PLAIN {
                continue;
            }
            let key = KeyPair::generate().expect("a key");
            let name = if host == NAMED.0 { NAMED.1 } else { host };
            let mut params = self::params(host, Some(name));
            match host {
                EXPIRED => params.not_after = date_time_ymd(2001, 1, 1),
                EARLY => params.not_before = date_time_ymd(3001, 1, 1),
                OWN_AUTHORITY => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
                _ => {}
            }
            let certificate = if [SELF_SIGNED, OWN_AUTHORITY].contains(&host) {
                params.self_signed(&key)
            } else {
                params.signed_by(&key, &authority)
            };
            let certificate = certificate.expect("a certificate");
            if host == SELF_SIGNED {
                self_signed = certificate.pem();
            }
            let address: IpAddr = host.parse().expect("an address");
            acceptors.insert(address, acceptor(certificate.der().clone(), &key));
        }
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
        let port = listener.local_addr().expect("it listens").port();
        let heard = Arc::default();
        let serving = tokio::spawn(serve(listener, acceptors, Arc::clone(&heard)));
        Self { port, authority: authority.pem(), self_signed, heard, serving }
    }

    /// Which servers were told something, and how often; they forget it.
    fn heard(&self) -> BTreeMap<String, u32> {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        heard.into_iter().map(|(host, times)| (host.to_string(), times)).collect()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What is signed: a subject of its own, and a name for it.
fn params(subject: &str, name: Option<&str>) -> CertificateParams {
    let names: Vec<String> = name.into_iter().map(str::to_owned).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, subject);
    params
}

fn acceptor(certificate: CertificateDer<'static>, key: &KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate");
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(listener: TcpListener, acceptors: BTreeMap<IpAddr, TlsAcceptor>, heard: Arc<Heard>) {
    while let Ok((socket, _)) = listener.accept().await {
        let Ok(address) = socket.local_addr() else { continue };
        let acceptor = acceptors.get(&address.ip()).cloned();
        let heard = Arc::clone(&heard);
        // Whoever does not believe the certificate goes away.
        tokio::spawn(async move { drop(answer(socket, acceptor, &heard).await) });
    }
}

async fn answer(
    mut socket: TcpStream,
    acceptor: Option<TlsAcceptor>,
    heard: &Heard,
) -> std::io::Result<()> {
    let host = socket.local_addr()?.ip();
    let Some(acceptor) = acceptor else {
        let mut hello = [0; 16];
        socket.read_exact(&mut hello).await?;
        return socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    };
    let mut stream = acceptor.accept(socket).await?;
    if is_told(&mut stream).await? {
        *heard.lock().unwrap_or_else(PoisonError::into_inner).entry(host).or_default() += 1;
    }
    stream.shutdown().await
}

/// Whether somebody says anything; answers him.
async fn is_told(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<bool> {
    let mut said = [0; 4096];
    let length = stream.read(&mut said).await?;
    let is_http = said[..length].starts_with(b"GET /well HTTP/1.1\r\n");
    let answer =
        if is_http { "HTTP/1.1 200 Well\r\ncontent-length: 6\r\n\r\nsecure" } else { "secure\r\n" };
    stream.write_all(answer.as_bytes()).await?;
    Ok(length > 0)
}

/// Asks servers over HTTPS and over bare TLS, as these options say; what became of them by host,
/// which must be the same both ways.
async fn asked(
    lab: &Lab,
    servers: &Servers,
    id: &str,
    targets: &str,
    options: &[&str],
) -> BTreeMap<String, RunRecord> {
    let (url, port) =
        (format!("https://{{{{host}}}}:{}/well", servers.port), servers.port.to_string());
    let https = ["http", "GET", &url];
    let bare =
        ["tcp", &port, "--tls", "--send", "hello\\r\\n", "--until", "line", "--expect", "secure"];
    let mut both = Vec::new();
    for (door, words) in [("https", &https[..]), ("tls", &bare[..])] {
        let id = format!("{id}-{door}");
        let words = [words, &["--targets", targets, "--id", &id], options].concat();
        let ended = fanout(lab, "c1", &words).await;
        let kept = finished(&lab.client("c1"), &id.parse().expect("an id")).await;
        let is_ok = kept.iter().all(|record| record.outcome == Outcome::Ok);
        assert_eq!(ended.code, Some(if is_ok { 0 } else { 7 }), "{ended:#?}");
        let by_host = kept.into_iter().map(|record| (record.host.clone(), record));
        both.push(by_host.collect::<BTreeMap<_, _>>());
    }
    let troubles = |records: &BTreeMap<String, RunRecord>| -> Vec<_> {
        records.values().map(|record| (record.outcome, record.trouble.clone())).collect()
    };
    assert_eq!(troubles(&both[0]), troubles(&both[1]), "not the same over HTTPS and bare TLS");
    both.swap_remove(0)
}

/// A server is believed.
fn assert_believed(records: &BTreeMap<String, RunRecord>, host: &str) {
    let record = &records[host];
    assert_eq!((record.outcome, record.body.as_str()), (Outcome::Ok, "secure"), "{record:?}");
}

/// A server is not believed, in these words.
fn assert_disbelieved(records: &BTreeMap<String, RunRecord>, host: &str, words: &[&str]) {
    let record = &records[host];
    let trouble = record.trouble.as_ref().unwrap_or_else(|| panic!("believed: {record:?}"));
    assert_eq!((record.outcome, trouble.kind), (Outcome::Failed, TroubleKind::Tls), "{record:?}");
    assert_eq!((record.status, record.body.as_str()), (None, ""), "{record:?}");
    for word in words {
        assert!(trouble.message.contains(word), "no `{word}`: {record:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_believed_says_why_and_what_allows_it() {
    let lab = cluster(1, 1).await;
    let servers = Servers::start().await;
    let targets = listed(&lab, "hosts.txt", &ALL);
    let authority = written(&lab, "authority.pem", &servers.authority);
    let believed = asked(&lab, &servers, "strict", &targets, &["--target-ca", &authority]).await;
    assert_believed(&believed, GOOD);
    for (host, words) in [
        (SELF_SIGNED, ["signed by no authority that counts here", "--target-ca"]),
        (OWN_AUTHORITY, ["that of an authority, not of a server", "--insecure"]),
        (EXPIRED, ["it expired", "d ago"]),
        (EARLY, ["it is not valid before", "d have passed"]),
        (NAMED.0, ["it is for `web1.example`, not for `127.2.0.6`", "--tls-name"]),
    ] {
        assert_disbelieved(&believed, host, &words);
        assert_disbelieved(&believed, host, &["its certificate is not believed", "--insecure"]);
    }
    assert_disbelieved(&believed, PLAIN, &["it does not speak TLS"]);
    assert_eq!(
        servers.heard(),
        BTreeMap::from([(GOOD.to_owned(), 2)]),
        "told before it was believed"
    );

    // All of them, on wish.
    let believed = asked(&lab, &servers, "insecure", &targets, &["--insecure"]).await;
    for host in ALL {
        match host {
            PLAIN => assert_disbelieved(&believed, host, &["it does not speak TLS"]),
            _ => assert_believed(&believed, host),
        }
    }
    assert_eq!(servers.heard().len(), ALL.len() - 1);

    // A certificate can be its own authority.
    let own = written(&lab, "own.pem", &servers.self_signed);
    let believed = asked(&lab, &servers, "own", &targets, &["--target-ca", &own]).await;
    assert_believed(&believed, SELF_SIGNED);
    assert_disbelieved(&believed, GOOD, &["signed by no authority that counts here"]);
    assert_eq!(servers.heard(), BTreeMap::from([(SELF_SIGNED.to_owned(), 2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_is_asked_for_on_wish_also_for_each_target() {
    let lab = cluster(1, 1).await;
    let servers = Servers::start().await;
    let authority = written(&lab, "authority.pem", &servers.authority);
    let two =
        written(&lab, "two.csv", &format!("host,name\n{GOOD},{GOOD}\n{},{}\n", NAMED.0, NAMED.1));
    let options = ["--target-ca", &authority, "--tls-name"];
    let believed = asked(&lab, &servers, "one", &two, &[&options[..], &[NAMED.1]].concat()).await;
    assert_believed(&believed, NAMED.0);
    assert_disbelieved(&believed, GOOD, &["it is for `127.2.0.1`, not for `web1.example`"]);
    let each = [&options[..], &["{{vars.name}}"]].concat();
    let believed = asked(&lab, &servers, "each", &two, &each).await;
    assert_believed(&believed, NAMED.0);
    assert_believed(&believed, GOOD);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authorities_of_the_worker_count_unless_others_are_given() {
    let servers = Servers::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let roots = dir.path().join("roots.pem");
    std::fs::write(&roots, &servers.authority).expect("it is written");
    let place = Place::default().with("SSL_CERT_FILE", roots.to_str().expect("UTF-8"));
    let mut lab = Lab::found(&place, &[LOOPBACK]).await;
    lab.join_at(&place, "w1", &[LOOPBACK]).await;
    lab.wait_ready(2).await;
    let targets = listed(&lab, "hosts.txt", &[GOOD, SELF_SIGNED]);
    let believed = asked(&lab, &servers, "system", &targets, &[]).await;
    assert_believed(&believed, GOOD);
    assert_disbelieved(&believed, SELF_SIGNED, &["--target-ca", "--insecure"]);
    let own = written(&lab, "own.pem", &servers.self_signed);
    let believed = asked(&lab, &servers, "given", &targets, &["--target-ca", &own]).await;
    assert_believed(&believed, SELF_SIGNED);
    assert_disbelieved(&believed, GOOD, &["signed by no authority that counts here"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_that_are_none_are_named_and_nobody_is_contacted() {
    let lab = cluster(1, 1).await;
    let servers = Servers::start().await;
    let url = format!("https://{{{{host}}}}:{}/well", servers.port);
    let none = ["http", "GET", &url, "-t", GOOD, "--id", "none", "--target-ca"];
    for text in ["", "nonsense\n"] {
        let file = written(&lab, "none.pem", text);
        let refused = fanout(&lab, "c1", &[&none[..], &[&file]].concat()).await;
        assert_eq!(refused.code, Some(2), "{text:?}: {refused:#?}");
        assert!(refused.stderr.contains("tls.ca: no certificate in PEM"), "{refused:#?}");
    }
    assert_eq!(json(&lab, "c1", &["list"]).await["runs"], serde_json::json!([]));
    // What looks like one is read by workers only. That none can ends the run.
    let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let file = written(&lab, "none.pem", text);
    let failed = fanout(&lab, "c1", &[&none[..], &[&file]].concat()).await;
    assert_eq!(failed.code, Some(7), "{failed:#?}");
    assert!(failed.stdout.contains("refuses the run: tls.ca: "), "{failed:#?}");
    let kept = finished(&lab.client("c1"), &"none".parse().expect("an id")).await;
    assert_eq!(count(&kept, Outcome::Failed), 1);
    assert_eq!(servers.heard(), BTreeMap::new());
}
