//! What a CA signs and what it refuses.

use super::*;
use crate::identity::CertificateFacts;

fn authority() -> Authority {
    Authority::generate(&ClusterId::random()).expect("a CA")
}

fn node(text: &str) -> NodeId {
    text.parse().expect("a node name")
}

#[test]
fn a_certificate_says_who_its_holder_is_and_for_how_long() {
    let authority = authority();
    let certificate = authority.certify(&node("ctl-1"), Role::Control).expect("signed");
    let facts = certificate.read().expect("a node certificate");
    assert_eq!(facts.claim.cluster, *authority.cluster());
    assert_eq!((facts.claim.role, facts.claim.node), (Role::Control, node("ctl-1")));
    let now = wall_ms();
    assert!(facts.not_before_ms <= now - ms(BACKDATE));
    assert!(facts.not_after_ms > now + ms(LIFE) - 60_000 && facts.not_after_ms <= now + ms(LIFE));
    assert_eq!(certificate.pin(), Ok(authority.pin()));
    let again = authority.certify(&node("ctl-1"), Role::Control).expect("signed");
    assert_ne!(again.read().expect("a node certificate").serial, facts.serial);
}

#[test]
fn only_the_key_of_a_request_counts() {
    let authority = authority();
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("root");
    let other = format!("remuda://{}/control/ctl-1", authority.cluster());
    params.subject_alt_names = vec![SanType::URI(other.try_into().expect("ascii"))];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    let csr = params.serialize_request(&key).expect("a request");
    let certificate = authority.issue(&node("w-1"), Role::Worker, csr.der()).expect("signed");
    let facts = CertificateFacts::read(&certificate).expect("a node certificate");
    assert_eq!((facts.claim.role, facts.claim.node), (Role::Worker, node("w-1")));
    assert_eq!(public_key(&certificate).expect("a key"), key.subject_public_key_info());
}

#[test]
fn bad_requests_are_refused() {
    let authority = authority();
    let issue = |csr: &[u8]| authority.issue(&node("w-1"), Role::Worker, csr);
    assert!(matches!(issue(b"noise"), Err(AuthorityError::Request(_))));
    assert!(matches!(issue(&[0; 5_000]), Err(AuthorityError::RequestTooLong(5_000))));
    let mut tampered = Request::generate().expect("a request").csr;
    *tampered.last_mut().expect("bytes") ^= 1;
    assert!(matches!(issue(&tampered), Err(AuthorityError::Request(_))));
    let large = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key");
    let csr = CertificateParams::default().serialize_request(&large).expect("a request");
    assert!(matches!(issue(csr.der()), Err(AuthorityError::KeyKind)));
    let fine = Request::generate().expect("a request");
    let client = authority.issue(&node("c"), Role::Client, &fine.csr);
    assert!(matches!(client, Err(AuthorityError::Role(Role::Client))));
}

#[test]
fn an_authority_survives_its_way_over_the_wire() {
    let first = authority();
    let second = Authority::from_wire(first.cluster(), first.ca_der(), first.to_wire());
    let second = second.expect("the same CA");
    assert_eq!(second.pin(), first.pin());
    assert_eq!(second.join_token(Role::Worker), first.join_token(Role::Worker));
    assert_ne!(first.join_token(Role::Worker), first.join_token(Role::Control));
    assert_eq!(first.join_token(Role::Client), None);
    let foreign = Authority::from_wire(first.cluster(), authority().ca_der(), first.to_wire());
    assert!(matches!(foreign, Err(AuthorityError::Mismatch)));
}

#[test]
fn nothing_secret_is_shown() {
    let authority = authority();
    let shown = format!(
        "{authority:?} {:?} {:?}",
        authority.certify(&node("w-1"), Role::Worker),
        authority.join_token(Role::Worker)
    );
    let secret = format!("{:?}", authority.to_wire().worker_secret);
    assert!(!shown.contains(&secret[1..20]) && shown.contains("***"), "{shown}");
}
