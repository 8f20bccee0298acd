//! What each change does and refuses.

use remuda_model::{ClusterId, Generation, Labels, Roles};

use super::*;
use crate::{
    Certificate,
    seen::window,
    testing::{id, ids, joins, node, token},
};

/// A state, and a short way to change it.
#[derive(Default)]
struct Driver {
    state: ClusterState,
}

impl Driver {
    fn change(&mut self, change: Change) -> Result<Outcome, Refusal> {
        self.command(&Command::once(change))
    }

    fn command(&mut self, command: &Command) -> Result<Outcome, Refusal> {
        let index = self.state.applied() + 1;
        self.state.apply(index, command).outcome
    }

    fn put(&mut self, name: &str, roles: Roles) {
        self.change(Change::PutNode(node(name, roles))).expect("accepted");
    }

    fn set_active(&mut self, name: &str, active: bool) -> Result<Outcome, Refusal> {
        self.change(Change::SetActive { node: id(name), active })
    }

    fn remove(&mut self, name: &str) -> Result<Outcome, Refusal> {
        self.change(Change::RemoveNode { node: id(name), now_ms: 1 })
    }
}

fn renews(name: &str, number: u8) -> Change {
    let certificate = Certificate { serial: vec![number], until_ms: 1_000 };
    Change::IssueCertificate { node: id(name), certificate, joins: false, now_ms: 1 }
}

fn cluster(id: &str) -> ClusterRecord {
    let id: ClusterId = id.parse().unwrap();
    ClusterRecord { id, name: "c".to_owned(), created_ms: 1 }
}

#[test]
fn a_cluster_keeps_its_identity() {
    let mut driver = Driver::default();
    let (ours, theirs) =
        (cluster("0123456789abcdefghjkmnpqrs"), cluster("zzzzzzzzzzzzzzzzzzzzzzzzzz"));
    assert_eq!(driver.change(Change::Init(ours.clone())), Ok(Outcome::Changed(Revision(1))));
    assert_eq!(driver.change(Change::Init(ours.clone())), Ok(Outcome::Unchanged));
    let refused = driver.change(Change::Init(theirs));
    assert_eq!(refused, Err(Refusal::ForeignCluster(ours.id.clone())));
    assert_eq!(driver.state.cluster(), Some(&ours));
}

#[test]
fn an_index_is_applied_once() {
    let mut state = ClusterState::new();
    state.advance(5);
    let before = state.clone();
    let applied = state.apply(5, &Command::once(Change::CreateToken(token("t"))));
    assert_eq!(applied.outcome, Err(Refusal::OldIndex { index: 5, applied: 5 }));
    assert_eq!(state, before);
}

#[test]
fn an_announcement_replaces_what_the_node_says_of_itself_and_no_more() {
    let mut driver = Driver::default();
    driver.put("a", Roles::CONTROL);
    driver.set_active("a", true).unwrap();
    let mut announced = node("a", Roles::CONTROL);
    assert_eq!(driver.change(Change::PutNode(announced.clone())), Ok(Outcome::Unchanged));
    announced.version = "0.2.0".to_owned();
    announced.created = Revision(99);
    announced.modified = Revision(99);
    assert_eq!(driver.change(Change::PutNode(announced)), Ok(Outcome::Changed(Revision(4))));
    let record = driver.state.node(&id("a")).unwrap();
    assert!(record.active);
    assert_eq!((record.created, record.modified), (Revision(1), Revision(4)));
    assert_eq!(record.version, "0.2.0");
}

#[test]
fn an_earlier_boot_is_refused() {
    let mut driver = Driver::default();
    let mut record = node("a", Roles::WORKER);
    record.generation = Generation(3);
    driver.change(Change::PutNode(record.clone())).unwrap();
    record.generation = Generation(2);
    let refused = driver.change(Change::PutNode(record.clone()));
    assert!(matches!(refused, Err(Refusal::StaleGeneration { .. })), "{refused:?}");
    driver.remove("a").unwrap();
    driver.command(&joins("a", 1)).unwrap();
    driver.change(Change::PutNode(record)).expect("a new node under the name");
}

#[test]
fn a_removed_node_is_forgotten_and_comes_back_only_by_joining_anew() {
    let mut driver = Driver::default();
    driver.command(&joins("a", 1)).unwrap();
    driver.put("a", Roles::WORKER);
    driver.change(renews("a", 2)).unwrap();
    assert!(!driver.state.is_revoked(&id("a"), &[1]) && !driver.state.is_revoked(&id("a"), &[2]));
    driver.remove("a").unwrap();
    assert_eq!(driver.state.node(&id("a")), None);
    assert_eq!(driver.state.revoked_at(), Revision(4));
    assert_eq!(driver.remove("a"), Err(Refusal::UnknownNode(id("a"))));
    // Neither the boot that was running nor a later one.
    for generation in [1, 2] {
        let mut again = node("a", Roles::WORKER);
        again.generation = Generation(generation);
        assert_eq!(driver.change(Change::PutNode(again)), Err(Refusal::Removed(id("a"))));
    }
    assert_eq!(driver.change(renews("a", 3)), Err(Refusal::UnknownNode(id("a"))));
    for serial in [1, 2, 77] {
        assert!(driver.state.is_revoked(&id("a"), &[serial]), "{serial}");
        assert!(!driver.state.is_revoked(&id("b"), &[serial]), "{serial}");
    }
    driver.command(&joins("a", 3)).unwrap();
    driver.put("a", Roles::WORKER);
    assert!(!driver.state.is_revoked(&id("a"), &[3]));
    assert!(driver.state.is_revoked(&id("a"), &[1]) && driver.state.is_revoked(&id("a"), &[2]));
}

#[test]
fn nobody_joins_under_the_name_of_a_node_that_is_there() {
    let mut driver = Driver::default();
    driver.command(&joins("a", 1)).unwrap();
    driver.command(&joins("a", 2)).expect("the first answer may have been lost");
    driver.put("a", Roles::CONTROL);
    assert_eq!(driver.command(&joins("a", 3)), Err(Refusal::NameTaken(id("a"))));
    driver.change(renews("a", 3)).expect("it renews its certificate");
}

#[test]
fn a_certificate_may_be_revoked_by_its_number() {
    let mut driver = Driver::default();
    driver.put("a", Roles::WORKER);
    let revoke = Change::Revoke { node: id("a"), serial: vec![1] };
    assert_eq!(driver.change(revoke.clone()), Ok(Outcome::Changed(Revision(2))));
    assert_eq!(driver.change(revoke), Ok(Outcome::Unchanged));
    assert!(driver.state.is_revoked(&id("a"), &[1]) && !driver.state.is_revoked(&id("a"), &[2]));
    assert_eq!(driver.state.revoked_at(), Revision(2));
}

#[test]
fn labels_change_only_at_the_revision_that_was_read() {
    let mut driver = Driver::default();
    driver.put("a", Roles::WORKER);
    let set = |text: &str, if_revision| Change::SetLabels {
        node: id("a"),
        labels: text.parse().unwrap(),
        if_revision,
    };
    driver.change(set("x", Some(Revision(1)))).unwrap();
    let refused = driver.change(set("y", Some(Revision(1))));
    let (expected, found) = (Revision(1), Revision(2));
    assert_eq!(refused, Err(Refusal::RevisionConflict { node: id("a"), expected, found }));
    assert_eq!(driver.change(set("x", None)), Ok(Outcome::Unchanged));
    driver.change(set("y", None)).unwrap();
    let labels: Labels = "y".parse().unwrap();
    assert_eq!(driver.state.node(&id("a")).unwrap().labels, labels);
}

#[test]
fn the_epoch_is_the_last_change_of_the_active_control_nodes() {
    let mut driver = Driver::default();
    assert_eq!(driver.state.epoch(), Epoch(0));
    assert_eq!(driver.state.owner_of(&id("w")), None);
    driver.put("a", Roles::CONTROL);
    driver.put("b", Roles::CONTROL);
    driver.put("w", Roles::WORKER);
    assert_eq!(driver.state.epoch(), Epoch(0));
    driver.set_active("b", true).unwrap();
    driver.set_active("a", true).unwrap();
    assert_eq!((driver.state.epoch(), driver.state.controls()), (Epoch(5), ids(&["a", "b"])));
    assert_eq!(driver.set_active("a", true), Ok(Outcome::Unchanged));
    assert_eq!(driver.set_active("w", true), Err(Refusal::NotControl(id("w"))));
    assert_eq!(driver.state.epoch(), Epoch(5));
    driver.set_active("a", false).unwrap();
    assert_eq!((driver.state.epoch(), driver.state.controls()), (Epoch(8), ids(&["b"])));
    assert_eq!(driver.state.owner_of(&id("w")), Some(id("b")));
}

#[test]
fn the_last_active_control_node_stays_and_others_lose_their_workers_when_removed() {
    let mut driver = Driver::default();
    let mut first = node("a", Roles::CONTROL);
    first.active = true;
    driver.change(Change::PutNode(first)).unwrap();
    assert_eq!(driver.state.controls(), ids(&["a"]));
    assert_eq!(driver.remove("a"), Err(Refusal::LastControl(id("a"))));
    assert_eq!(driver.set_active("a", false), Err(Refusal::LastControl(id("a"))));
    driver.put("b", Roles::CONTROL);
    driver.set_active("b", true).unwrap();
    driver.remove("a").unwrap();
    assert_eq!(driver.state.controls(), ids(&["b"]));
    assert_eq!(driver.state.epoch().0, driver.state.applied());
}

#[test]
fn a_node_keeps_its_roles() {
    let mut driver = Driver::default();
    for name in ["a", "b"] {
        driver.put(name, Roles::CONTROL);
        driver.set_active(name, true).unwrap();
    }
    driver.put("w", Roles::WORKER);
    for (name, roles) in [("a", Roles::WORKER), ("w", Roles::CONTROL)] {
        let mut other = node(name, roles);
        other.generation = Generation(9);
        let refused = driver.change(Change::PutNode(other));
        assert_eq!(refused, Err(Refusal::OtherRoles(id(name))));
    }
    assert_eq!(driver.state.controls(), ids(&["a", "b"]));
}

#[test]
fn a_worker_is_never_active() {
    let mut driver = Driver::default();
    let mut worker = node("w", Roles::WORKER);
    worker.active = true;
    driver.change(Change::PutNode(worker)).unwrap();
    assert!(!driver.state.node(&id("w")).unwrap().active);
}

#[test]
fn tokens_have_ids_of_their_own() {
    let mut driver = Driver::default();
    driver.change(Change::CreateToken(token("t"))).unwrap();
    let other = TokenRecord { hash: [8; 32], ..token("t") };
    let again = driver.change(Change::CreateToken(other));
    assert_eq!(again, Err(Refusal::TokenExists("t".parse().unwrap())));
    assert_eq!(driver.state.token(&"t".parse().unwrap()), Some(&token("t")));
    driver.change(Change::RevokeToken("t".parse().unwrap())).unwrap();
    let again = driver.change(Change::RevokeToken("t".parse().unwrap()));
    assert_eq!(again, Err(Refusal::UnknownToken("t".parse().unwrap())));
    assert_eq!(driver.state.tokens().count(), 0);
}

#[test]
fn founding_may_be_repeated_after_any_of_its_steps() {
    let mut founder = node("a", Roles::CONTROL);
    founder.active = true;
    let steps = [
        Change::PutNode(founder),
        Change::CreateToken(token("t")),
        Change::CreateToken(token("u")),
        Change::Init(cluster("0123456789abcdefghjkmnpqrs")),
    ];
    for done in 0..=steps.len() {
        let mut driver = Driver::default();
        for change in &steps[..done] {
            driver.change(change.clone()).expect("the first time");
        }
        for (number, change) in steps.iter().enumerate() {
            let again = driver.change(change.clone()).expect("repeated");
            assert_eq!(again == Outcome::Unchanged, number < done, "{change:?} after {done}");
        }
    }
}

#[test]
fn a_token_expires() {
    let mut record = token("t");
    assert!(!record.is_expired(u64::MAX));
    record.expires_ms = Some(10);
    assert!(!record.is_expired(9) && record.is_expired(10));
}

#[test]
fn a_repeated_id_returns_the_first_outcome_even_of_a_refusal() {
    let mut driver = Driver::default();
    let remove = Change::RemoveNode { node: id("a"), now_ms: 1 };
    let refused = driver.command(&Command::with_id([1; 16], remove.clone()));
    assert!(refused.is_err());
    driver.put("a", Roles::WORKER);
    assert_eq!(driver.command(&Command::with_id([1; 16], remove.clone())), refused);
    assert!(driver.state.node(&id("a")).is_some());
    driver.command(&Command::with_id([2; 16], remove)).unwrap();
}

#[test]
fn the_oldest_id_is_forgotten_first() {
    let mut seen = Seen::default();
    let applied = Applied { outcome: Ok(Outcome::Unchanged) };
    let id = |n: usize| u128::try_from(n).unwrap().to_be_bytes();
    let window = window(1);
    for n in 1..=window + 1 {
        seen.insert(u64::try_from(n).unwrap(), id(n), applied.clone(), window);
    }
    assert_eq!(seen.get(&id(1)), None);
    assert!(seen.get(&id(2)).is_some() && seen.get(&id(window + 1)).is_some());
    assert_eq!(seen.check(window), Ok(()));
}

#[test]
fn ids_of_one_index_are_remembered_in_their_order() {
    let mut seen = Seen::default();
    let applied = Applied { outcome: Ok(Outcome::Unchanged) };
    for (index, id) in [(5, 1), (5, 2), (5, 3), (6, 4), (9, 5)] {
        seen.insert(index, [id; 16], applied.clone(), 3);
    }
    let remembered: Vec<u8> = (1..=5).filter(|id| seen.get(&[*id; 16]).is_some()).collect();
    assert_eq!(remembered, [3, 4, 5]);
    assert_eq!(seen.check(3), Ok(()));
}

#[test]
fn what_is_too_large_is_refused() {
    let mut driver = Driver::default();
    let mut large = node("a", Roles::WORKER);
    large.version = "v".repeat(257);
    let mut many = node("a", Roles::WORKER);
    many.attributes = (0..30_000).map(|n| (n.to_string(), String::new())).collect();
    let mut named = token("t");
    named.name = "n".repeat(257);
    for (change, limit) in [
        (Change::PutNode(large), Limit::Name),
        (Change::PutNode(many), Limit::Attributes),
        (Change::CreateToken(named), Limit::Name),
        (Change::Revoke { node: id("a"), serial: vec![0; 65] }, Limit::Serial),
    ] {
        assert_eq!(driver.change(change), Err(Refusal::TooMuch(limit)));
    }
    assert_eq!(driver.state.n_nodes(), 0);
}

#[test]
fn refusals_tell_users_what_to_do() {
    let failure = Failure::from(Refusal::LastControl(id("a")));
    assert_eq!(failure.code, "last_control");
    assert_eq!(failure.message, "`a` is the last active control node");
    assert!(failure.hint.is_some());
}
