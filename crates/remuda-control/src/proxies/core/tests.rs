//! The proxy's core: sessions, ownership, events, proposals.

use proptest::{collection::vec, prelude::*};
use remuda_model::EventBody;

use super::*;

fn id(text: &str) -> NodeId {
    text.parse().unwrap()
}

fn facts(generation: u64) -> Facts {
    Facts {
        roles: Roles::WORKER,
        generation: Generation(generation),
        version: "1".into(),
        addresses: Vec::new(),
        labels: Labels::default(),
        attributes: BTreeMap::new(),
    }
}

fn hello(generation: u64, next_event: u64) -> Box<Hello> {
    let status = NodeStatus::Ready;
    let facts = facts(generation);
    let last_event = next_event + 1000;
    Box::new(Hello { facts, boot: 1, status, running_tasks: 0, next_event, last_event, via: None })
}

/// The worker asks for a session and the state says what it says.
fn attach(generation: u64, next_event: u64) -> Input {
    let recorded = Some(facts(generation));
    Input::Attach { hello: hello(generation, next_event), alive: true, recorded }
}

fn said(message: FromWorker) -> Input {
    Input::Said { message, recorded: Some(facts(1)) }
}

fn event(seq: u64) -> Event {
    let body = EventBody::NodeStatus { status: NodeStatus::Ready };
    Event { node: id("w1"), seq, generation: Generation(1), time_ms: 0, body }
}

fn core() -> Core {
    Core::new(id("w1"), Place::Mine(Epoch(5)))
}

fn connected() -> Core {
    let mut core = core();
    let effects = core.handle(attach(1, 1));
    assert_eq!(effects.first(), Some(&Effect::Welcome(0)));
    core
}

fn elsewhere() -> Place {
    Place::Elsewhere { epoch: Epoch(9), owner: id("c2"), addresses: Vec::new() }
}

fn proposes(facts: Facts) -> Effect {
    Effect::Propose(Box::new(Change::PutNode(facts.into_record(id("w1")))))
}

fn labels(text: &str) -> FromWorker {
    FromWorker::Labels(text.parse().unwrap())
}

fn refusal(effects: &[Effect]) -> &str {
    match effects {
        [Effect::Refuse(failure)] => &failure.code,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_session_is_welcomed_routed_and_shown() {
    let mut core = core();
    let expected = [
        Effect::Welcome(6),
        Effect::Route(Some(Epoch(5))),
        Effect::Publish,
        Effect::Missed(6),
        Effect::Say(6, NodeStatus::Ready),
    ];
    assert_eq!(core.handle(attach(1, 7)), expected);
    let view = core.view(&id("c1")).expect("heard");
    assert_eq!((view.status, view.owner), (NodeStatus::Ready, Some(id("c1"))));
}

#[test]
fn a_lost_session_takes_the_route_away() {
    let mut core = connected();
    let expected = [Effect::Route(None), Effect::Publish, Effect::Say(0, NodeStatus::NotConnected)];
    assert_eq!(core.handle(Input::Lost), expected);
    assert_eq!(core.view(&id("c1")).expect("heard").status, NodeStatus::NotConnected);
    assert_eq!(core.handle(Input::Lost), []);
}

#[test]
fn of_two_copies_of_a_node_the_first_stays_until_it_is_gone() {
    let copy = |alive| {
        let hello = Box::new(Hello { boot: 2, ..*hello(1, 1) });
        Input::Attach { hello, alive, recorded: Some(facts(1)) }
    };
    let mut core = connected();
    for _ in 0..3 {
        assert_eq!(refusal(&core.handle(copy(true))), "node_id_in_use");
        assert!(matches!(core.handle(attach(1, 1))[0], Effect::Welcome(_)), "the first again");
    }
    assert!(matches!(core.handle(copy(false))[0], Effect::Welcome(_)));
    assert_eq!(refusal(&core.handle(attach(1, 1))), "node_id_in_use");
}

#[test]
fn a_later_boot_replaces_a_live_session() {
    let mut core = connected();
    assert!(matches!(core.handle(attach(2, 1))[0], Effect::Welcome(_)));
    assert_eq!(refusal(&core.handle(attach(1, 1))), "node_id_in_use");
    let dead = Input::Attach { hello: hello(2, 1), alive: false, recorded: None };
    assert!(matches!(core.handle(dead)[0], Effect::Welcome(_)));
}

#[test]
fn an_earlier_boot_is_refused() {
    let mut core = core();
    let old = Input::Attach { hello: hello(1, 1), alive: false, recorded: Some(facts(2)) };
    assert_eq!(refusal(&core.handle(old)), "stale_generation");
}

#[test]
fn sessions_go_to_the_owner_only() {
    let mut core = Core::new(id("w1"), elsewhere());
    assert_eq!(refusal(&core.handle(attach(1, 1))), "moved");
}

#[test]
fn events_are_reported_once_and_acknowledged_when_seen() {
    let mut core = connected();
    let events = said(FromWorker::Events(vec![event(1), event(2)]));
    assert_eq!(core.handle(events), [Effect::Report(vec![event(1), event(2)])]);
    let again = said(FromWorker::Events(vec![event(2), event(3)]));
    assert_eq!(core.handle(again), [Effect::Report(vec![event(3)])]);
    assert_eq!(core.handle(Input::Seen(2)), [Effect::Acknowledge(2)]);
    let old = said(FromWorker::Events(vec![event(1)]));
    assert_eq!(core.handle(old), [Effect::Acknowledge(2)]);
    assert_eq!(core.handle(Input::Seen(1)), []);
}

#[test]
fn a_new_session_says_what_was_seen_before() {
    let mut core = connected();
    let _ = core.handle(said(FromWorker::Events(vec![event(1), event(2), event(3)])));
    let _ = core.handle(Input::Seen(3));
    let _ = core.handle(Input::Lost);
    assert_eq!(core.handle(attach(1, 2))[0], Effect::Welcome(3));
}

#[test]
fn a_worker_that_has_lost_its_events_is_heard_from_the_start() {
    let mut core = connected();
    let _ = core.handle(said(FromWorker::Events((1..=9).map(event).collect())));
    let _ = core.handle(Input::Seen(9));
    let again = |last_event| {
        let hello = Box::new(Hello { last_event, ..*hello(2, 1) });
        Input::Attach { hello, alive: false, recorded: Some(facts(2)) }
    };
    let effects = core.handle(again(3));
    assert_eq!(effects[..2], [Effect::Afresh, Effect::Welcome(0)]);
    let events = said(FromWorker::Events(vec![event(1), event(2)]));
    assert_eq!(core.handle(events), [Effect::Report(vec![event(1), event(2)])]);
    assert_eq!(core.handle(Input::Seen(2)), [Effect::Acknowledge(2)]);
    // Whoever has made as many as were heard has lost nothing.
    assert_eq!(core.handle(again(2))[0], Effect::Welcome(2));
}

#[test]
fn an_event_that_is_too_large_is_a_gap() {
    let mut core = connected();
    let of_size = |seq, size| {
        let class = "a".parse().unwrap();
        let body = EventBody::Class { class, task: None, payload: "x".repeat(size) };
        Event { body, ..event(seq) }
    };
    let (fits, too_large) = (of_size(1, 255 * 1024), of_size(2, 256 * 1024));
    let gap = Event { body: EventBody::Gap { from: 2, to: 2 }, ..event(2) };
    let events = said(FromWorker::Events(vec![fits.clone(), too_large, event(3)]));
    assert_eq!(core.handle(events), [Effect::Report(vec![fits, gap, event(3)])]);
}

#[test]
fn a_worker_that_sends_too_many_events_at_a_time_loses_its_session() {
    let mut core = connected();
    let most: Vec<Event> = (1..=256).map(event).collect();
    assert_eq!(core.handle(said(FromWorker::Events(most.clone()))), [Effect::Report(most)]);
    let too_many = said(FromWorker::Events((300..=556).map(event).collect()));
    assert_eq!(core.handle(too_many), [Effect::End]);
}

#[test]
fn a_worker_speaks_for_itself_only() {
    let mut core = connected();
    let foreign = Event { node: id("w2"), ..event(1) };
    let events = said(FromWorker::Events(vec![foreign]));
    assert_eq!(core.handle(events), [Effect::Acknowledge(0)]);
    let status = said(FromWorker::Status(NodeStatus::NotConnected));
    assert_eq!(core.handle(status), []);
}

#[test]
fn an_unknown_node_is_proposed_once_at_a_time() {
    let mut core = core();
    let first = Input::Attach { hello: hello(1, 1), alive: false, recorded: None };
    let propose = proposes(facts(1));
    assert_eq!(core.handle(first).last(), Some(&propose));
    let stats = |recorded| {
        let stats = NodeStats::default();
        Input::Said { message: FromWorker::Stats { stats, running_tasks: 2 }, recorded }
    };
    assert_eq!(core.handle(stats(None)), [Effect::Publish]);
    let done = Input::Proposed { ended: Proposal::Committed, recorded: Some(facts(1)) };
    assert_eq!(core.handle(done), []);
    assert_eq!(core.handle(stats(Some(facts(1)))), [Effect::Publish]);
}

#[test]
fn a_worker_cannot_break_the_view_of_itself_with_what_is_no_number() {
    let mut core = connected();
    let stats = NodeStats { load: [f64::NAN, f64::INFINITY, 1.5], ..NodeStats::default() };
    let recorded = Some(facts(1));
    let message = FromWorker::Stats { stats, running_tasks: 0 };
    assert_eq!(core.handle(Input::Said { message, recorded }), [Effect::Publish]);
    let view = core.view(&"c1".parse().unwrap()).expect("connected");
    let load = view.stats.expect("said").load.map(|load| load.to_string());
    assert_eq!(load, ["0", "0", "1.5"]);
}

#[test]
fn a_record_that_is_gone_is_not_proposed_again() {
    let mut core = connected();
    let gone = Input::Said { message: labels("a"), recorded: None };
    assert_eq!(core.handle(gone), [Effect::Publish]);
    // Also when it was removed while a change of it was under way.
    let mut core = connected();
    let effects = core.handle(said(labels("a")));
    assert!(matches!(effects[..], [Effect::Publish, Effect::Propose(_)]), "{effects:?}");
    assert_eq!(core.handle(Input::Proposed { ended: Proposal::Committed, recorded: None }), []);
    // Whoever is let in again says it anew.
    let anew = Input::Attach { hello: hello(1, 1), alive: true, recorded: None };
    assert!(matches!(core.handle(anew).last(), Some(Effect::Propose(_))));
}

#[test]
fn labels_are_proposed_when_they_change_and_after_a_failure_with_the_next_words() {
    let mut core = connected();
    let labels: Labels = "a".parse().unwrap();
    let changed = Facts { labels: labels.clone(), ..facts(1) };
    let propose = proposes(changed);
    let effects = core.handle(said(FromWorker::Labels(labels)));
    assert_eq!(effects, [Effect::Publish, propose]);
    let refused = Input::Proposed { ended: Proposal::Failed, recorded: Some(facts(1)) };
    assert_eq!(core.handle(refused), []);
    let stats = FromWorker::Stats { stats: NodeStats::default(), running_tasks: 0 };
    assert!(matches!(core.handle(said(stats))[..], [Effect::Publish, Effect::Propose(_)]));
}

#[test]
fn what_was_refused_is_not_proposed_again_unchanged() {
    let mut core = connected();
    assert!(matches!(core.handle(said(labels("a")))[..], [Effect::Publish, Effect::Propose(_)]));
    let refused = Input::Proposed { ended: Proposal::Refused, recorded: Some(facts(1)) };
    assert_eq!(core.handle(refused), []);
    assert_eq!(core.handle(said(labels("a"))), [Effect::Publish]);
    assert!(matches!(core.handle(said(labels("b")))[..], [Effect::Publish, Effect::Propose(_)]));
}

#[test]
fn what_is_too_large_is_not_proposed_at_all() {
    let mut core = core();
    let large = Facts { version: "v".repeat(300), ..facts(2) };
    let hello = Box::new(Hello { facts: large, ..*hello(2, 1) });
    let input = Input::Attach { hello, alive: false, recorded: Some(facts(1)) };
    assert_eq!(core.handle(input).last(), Some(&Effect::TooMuch(Limit::Name)));
    let stats = FromWorker::Stats { stats: NodeStats::default(), running_tasks: 0 };
    assert_eq!(core.handle(said(stats)), [Effect::Publish], "said once");
}

#[test]
fn only_the_last_of_many_changes_is_proposed_after_a_pause() {
    let mut core = connected();
    let n_proposed = |effects: Vec<Effect>| {
        effects.iter().filter(|effect| matches!(effect, Effect::Propose(_))).count()
    };
    let all = (0..100).map(|number| labels(if number % 2 == 0 { "a" } else { "b" }));
    assert_eq!(all.map(|message| n_proposed(core.handle(said(message)))).sum::<usize>(), 1);
    let recorded = Some(Facts { labels: "a".parse().unwrap(), ..facts(1) });
    let effects = core.handle(Input::Proposed { ended: Proposal::Committed, recorded });
    assert_eq!(effects, [proposes(Facts { labels: "b".parse().unwrap(), ..facts(1) })]);
}

#[test]
fn a_moved_worker_keeps_its_route_until_it_has_gone() {
    let mut core = connected();
    let moved = Effect::Moved { epoch: Epoch(9), owner: id("c2"), addresses: Vec::new() };
    assert_eq!(core.handle(Input::Placed(elsewhere())), [moved]);
    let expected = [Effect::Route(None), Effect::Publish, Effect::Finish];
    assert_eq!(core.handle(Input::Lost), expected);
}

#[test]
fn a_new_epoch_of_the_same_owner_is_used_for_calls() {
    let mut core = connected();
    let place = Place::Mine(Epoch(9));
    assert_eq!(core.handle(Input::Placed(place.clone())), [Effect::Route(Some(Epoch(9)))]);
    assert_eq!(core.handle(Input::Placed(place)), []);
}

#[test]
fn a_removed_node_is_let_go() {
    let mut core = connected();
    assert_eq!(core.handle(Input::Placed(Place::Removed)), [Effect::End]);
    let idle = &mut Core::new(id("w1"), Place::Mine(Epoch(5)));
    assert_eq!(idle.handle(Input::Placed(Place::Removed)), [Effect::Finish]);
}

proptest! {
    /// Sessions come and go, batches repeat, job classes are slow.
    #[test]
    fn events_are_reported_in_order_and_acknowledged_only_when_seen(
        steps in vec((0_u8..4, 1_u64..30), 1..60),
    ) {
        let mut core = core();
        let (mut reported, mut seen) = (0, 0);
        for (kind, number) in steps {
            let input = match kind {
                0 => attach(1, 1),
                1 => Input::Lost,
                2 => said(FromWorker::Events((number..number + 5).map(event).collect())),
                _ => {
                    seen = seen.max(number.min(reported));
                    Input::Seen(number.min(reported))
                }
            };
            for effect in core.handle(input) {
                match effect {
                    Effect::Report(events) => {
                        for event in events {
                            prop_assert!(event.seq > reported);
                            reported = event.seq;
                        }
                    }
                    Effect::Acknowledge(number) | Effect::Welcome(number) => {
                        prop_assert!(number <= seen);
                    }
                    _ => (),
                }
            }
        }
    }
}

#[test]
fn what_another_owner_had_is_named_before_anything_is_said() {
    let mut core = core();
    let effects = core.handle(attach(1, 8));
    let ready = NodeStatus::Ready;
    let told = |effects: Vec<Effect>| -> Vec<Effect> {
        let told = |effect: &Effect| matches!(effect, Effect::Missed(_) | Effect::Say(..));
        effects.into_iter().filter(told).collect()
    };
    assert_eq!(told(effects), [Effect::Missed(7), Effect::Say(7, ready)]);
    drop(core.handle(said(FromWorker::Events(vec![event(8)]))));
    drop(core.handle(Input::Seen(8)));
    drop(core.handle(Input::Lost));
    assert_eq!(told(core.handle(attach(1, 9))), [Effect::Say(8, ready)], "it had them itself");
    drop(core.handle(Input::Lost));
    let effects = core.handle(attach(1, 12));
    assert_eq!(told(effects), [Effect::Missed(11), Effect::Say(11, ready)]);
}
