//! Decisions of a rotation.

use remuda_link::Authority;
use remuda_model::ClusterId;

use super::*;

fn authority() -> Authority {
    Authority::generate(&ClusterId::random()).expect("made")
}

fn record(new: NewAuthority, revision: u64) -> AuthorityRecord {
    // As the state makes it.
    let bytes = remuda_state::encode(&(
        Revision(revision),
        new.step,
        new.trusted,
        new.secrets,
        new.until_ms,
        new.grace_ms,
        Vec::<NodeId>::new(),
    ));
    remuda_state::decode(&bytes).expect("of the same form")
}

#[test]
fn a_rotation_ends_with_the_new_ca_and_the_latest_join_secrets() {
    let old = authority();
    let next = old.successor().expect("made");
    assert_ne!(old.pin(), next.pin());
    assert_eq!(
        old.join_token(Role::Worker).map(|token| token.secret.to_vec()),
        next.join_token(Role::Worker).map(|token| token.secret.to_vec())
    );
    let keys = Keys { signs: old.clone(), next: None };
    let announced = NewAuthority {
        step: AuthorityStep::Announced,
        trusted: vec![old.ca_der().to_vec(), next.ca_der().to_vec()],
        grace_ms: 1_000,
        secrets: Keys { signs: old.clone(), next: Some(next.clone()) }.to_secrets(),
        ..plan(None, &keys)
    };
    let announced = record(announced, 5);
    let keys = Keys::of(&announced).expect("readable");
    // The join secret is exchanged in the middle of it.
    let signs = keys.signs.with_new_secret(Role::Worker).expect("made");
    let token = signs.join_token(Role::Worker).expect("for workers").secret;
    let changed = NewAuthority {
        secrets: Keys { signs, next: keys.next }.to_secrets(),
        ..plan(Some(&announced), &Keys { signs: old.clone(), next: None })
    };
    let announced = record(changed, 6);
    let issuing = next_step(&announced, &Keys::of(&announced).expect("readable")).expect("a step");
    assert_eq!((issuing.replaces, issuing.step), (Revision(6), AuthorityStep::Issuing));
    assert_eq!(issuing.trusted, announced.trusted);
    let issuing = record(issuing, 7);
    let keys = Keys::of(&issuing).expect("readable");
    assert_eq!(keys.signs.pin(), next.pin());
    assert_eq!(keys.signs.join_token(Role::Worker).expect("for workers").secret, token);
    let settled = next_step(&issuing, &keys).expect("a step");
    assert_eq!(settled.step, AuthorityStep::Settled);
    assert_eq!(settled.trusted, [next.ca_der().to_vec()]);
    let settled = record(settled, 8);
    assert!(next_step(&settled, &Keys::of(&settled).expect("readable")).is_err());
    assert_eq!(key_ids(&settled).len(), 1);
}
