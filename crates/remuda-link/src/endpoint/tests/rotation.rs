//! Two authorities at a time, and one of them no more.

use std::slice::from_ref;

use remuda_model::Role;

use super::support::{Cluster, TestNode, code_of, node, soon};
use crate::{CertificateError, KeyId, pin_of};

#[tokio::test]
async fn two_authorities_count_until_one_is_dropped() {
    let cluster = Cluster::new();
    let next = cluster.authority.successor().expect("made");
    let cas = [&cluster.authority, &next].map(|authority| authority.ca_der().to_vec());
    let [old_key, new_key] = [&cas[0], &cas[1]].map(|ca| KeyId::of_ca(ca).expect("a CA"));
    assert_ne!(old_key, new_key);
    for transport in ["tls", "wss", "quic"] {
        let mut control = cluster.control("ctl-1");
        let at = control.listen(transport).await;
        let worker = cluster.worker("w-1");
        // Who has not heard of the second authority does not believe it.
        let renewed = next.certify(&node("w-1"), Role::Worker).expect("signed");
        worker.endpoint.set_trusted(cas.to_vec()).expect("usable");
        worker.endpoint.set_certificate(renewed).expect("usable");
        assert_eq!(code_of(soon(worker.endpoint.dial(&at)).await), "tls", "{transport}");
        // Both count: links rest on one each.
        control.endpoint.set_trusted(cas.to_vec()).expect("usable");
        let (dialled, accepted) = worker.link_to(&mut control, &at).await;
        for link in [&dialled, &accepted] {
            assert!(!link.peer().is_outdated(&[old_key.clone(), new_key.clone()]));
            assert!(link.peer().is_outdated(from_ref(&new_key)), "{:?}", link.peer());
            assert!(link.peer().is_outdated(from_ref(&old_key)), "{:?}", link.peer());
        }
        // The first is dropped.
        let renewed = next.certify(&node("ctl-1"), Role::Control).expect("signed");
        control.endpoint.set_certificate(renewed).expect("usable");
        control.endpoint.set_trusted(vec![cas[1].clone()]).expect("usable");
        worker.endpoint.set_trusted(vec![cas[1].clone()]).expect("usable");
        let (fresh, _accepted) = worker.link_to(&mut control, &at).await;
        assert!(!fresh.peer().is_outdated(from_ref(&new_key)));
        // Those who were away are refused, even if they believe the new one.
        let late = cluster.worker("w-2");
        late.endpoint.set_trusted(cas.to_vec()).expect("usable");
        assert_eq!(code_of(soon(late.endpoint.dial(&at)).await), "tls", "{transport}");
        assert!(!dialled.is_closed() && !accepted.is_closed(), "open links stay");
    }
}

#[tokio::test]
async fn what_is_no_authority_is_not_believed() {
    let cluster = Cluster::new();
    let worker: TestNode = cluster.worker("w-1");
    let before = worker.endpoint.trusted();
    assert_eq!(before, [cluster.authority.ca_der().to_vec()]);
    assert!(worker.endpoint.set_trusted(vec![vec![1, 2, 3]]).is_err());
    assert_eq!(worker.endpoint.trusted(), before, "as it was");
    let leaf = cluster.authority.certify(&node("w-1"), Role::Worker).expect("signed");
    assert_eq!(KeyId::of_ca(&leaf.certificate), Err(CertificateError::NoCa));
    assert_eq!(pin_of(cluster.authority.ca_der()).expect("a CA"), cluster.authority.pin());
}

#[test]
fn secrets_are_exchanged_one_by_one() {
    let cluster = Cluster::new();
    let old = &cluster.authority;
    let secret =
        |authority: &crate::Authority, role| authority.join_token(role).expect("a token").secret;
    let new = old.with_new_secret(Role::Worker).expect("made");
    assert_eq!(new.pin(), old.pin());
    assert_ne!(secret(&new, Role::Worker), secret(old, Role::Worker));
    assert_eq!(secret(&new, Role::Control), secret(old, Role::Control));
    assert!(old.with_new_secret(Role::Client).is_err());
    let next = old.successor().expect("made");
    assert_ne!(next.pin(), old.pin());
    let both = next.with_secrets_of(&new).expect("made");
    assert_eq!((both.pin(), secret(&both, Role::Worker)), (next.pin(), secret(&new, Role::Worker)));
}
