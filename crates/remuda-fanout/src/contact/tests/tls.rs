//! Certificates, good and bad.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio_rustls::TlsAcceptor;

use super::*;

/// A server with a certificate for a name, and the authority that it is from.
async fn server_named(name: &str) -> (SocketAddr, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(authority, key).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("versions")
    .with_no_client_auth()
    .with_single_cert(vec![certificate.der().clone()], key)
    .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            // A client that does not believe the certificate goes away.
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut asked = vec![0; 1000];
            let n = stream.read(&mut asked).await.unwrap_or_default();
            if n > 0 {
                let _ = stream.write_all(reply("200 OK", "", "secure").as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    (server.await, authority.pem())
}

async fn fetch(server: SocketAddr, tls: Tls) -> Attempt {
    let mut http = get(format!("https://127.0.0.1:{}/", server.port()));
    http.tls = tls;
    attempt(Command::Http(http)).await
}

#[tokio::test]
async fn a_certificate_of_a_given_authority_is_believed() {
    let (server, ca) = server_named("127.0.0.1").await;
    let done = fetch(server, Tls { ca: Some(ca), ..Tls::default() }).await;
    assert_eq!((done.record.outcome, done.body().as_str()), (Outcome::Ok, "secure"), "{done:?}");
}

#[tokio::test]
async fn a_certificate_of_nobody_known_is_not_believed() {
    let (server, _) = server_named("127.0.0.1").await;
    let (_, other) = server_named("127.0.0.1").await;
    let done = fetch(server, Tls { ca: Some(other), ..Tls::default() }).await;
    assert_eq!((done.record.outcome, done.kind()), (Outcome::Failed, Some(TroubleKind::Tls)));
    assert!(done.message().starts_with("its certificate is not believed"), "{}", done.message());
    assert_eq!(done.again, Again::No);
}

#[tokio::test]
async fn a_certificate_of_another_name_is_believed_only_on_wish() {
    let (server, ca) = server_named("web1.example").await;
    let ca = Some(ca);
    let done = fetch(server, Tls { ca: ca.clone(), ..Tls::default() }).await;
    assert_eq!(done.kind(), Some(TroubleKind::Tls), "{done:?}");
    let name = Some("web1.example".to_owned());
    let done = fetch(server, Tls { ca, name, ..Tls::default() }).await;
    assert_eq!(done.body(), "secure", "{done:?}");
    let done = fetch(server, Tls { insecure: true, ..Tls::default() }).await;
    assert_eq!(done.body(), "secure", "{done:?}");
}

#[tokio::test]
async fn what_speaks_no_tls_fails_it() {
    let server = answering(|_| reply("200 OK", "", "plain")).await;
    let garbage = serve(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    for server in [server, garbage.await] {
        let mut spec = spec(Command::Http(get(format!("https://{server}/"))));
        let Command::Http(http) = &mut spec.command else { unreachable!() };
        http.tls.insecure = true;
        spec.limits.connect_ms = 500;
        let done = attempt_with(&spec, &Secrets::default(), &given("127.0.0.1")).await;
        assert_ne!(done.record.outcome, Outcome::Ok);
        assert_eq!(done.again != Again::No, done.kind() != Some(TroubleKind::Tls), "{done:?}");
    }
}

#[tokio::test]
async fn a_server_that_never_shakes_hands_ends_by_the_connection() {
    let server = serve(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let mut spec = spec(Command::Http(get(format!("https://{server}/"))));
    let Command::Http(http) = &mut spec.command else { unreachable!() };
    http.tls.insecure = true;
    spec.limits.connect_ms = 100;
    let done = attempt_with(&spec, &Secrets::default(), &given("127.0.0.1")).await;
    assert_eq!(done.kind(), Some(TroubleKind::ConnectTimeout), "{done:?}");
    assert_eq!(done.again, Again::NothingSent);
}
