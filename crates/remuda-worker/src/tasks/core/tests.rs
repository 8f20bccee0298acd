//! Lives of tasks.

use proptest::prelude::*;

use super::*;

fn id(text: &str) -> TaskId {
    text.parse().unwrap()
}

fn class() -> ClassName {
    "test".parse().unwrap()
}

fn at(secs: u64) -> Now {
    Now { since_start: Duration::from_secs(secs), wall_ms: 1_000_000 + secs * 1000 }
}

fn new() -> Core {
    Core::new("w1".parse().unwrap(), Generation(1), Wanted::Ready, Vec::new(), Now::default()).0
}

fn ready() -> Core {
    let mut core = new();
    let shown = core.handle(at(0), Input::Connection(Connection::Placed));
    assert_eq!(shown, [Effect::ShowStatus(NodeStatus::Ready)]);
    core
}

fn start(core: &mut Core, name: &str, attached: bool) -> Vec<Effect> {
    core.handle(at(0), Input::Start { call: 1, id: id(name), class: class(), attached })
}

/// A task that runs.
fn running(core: &mut Core, name: &str, attached: bool) {
    let _ = start(core, name, attached);
    let _ = core.handle(at(0), Input::Recorded { id: id(name), outcome: Ok(()) });
    let _ = core.handle(at(0), Input::Started { id: id(name), outcome: Ok(About::default()) });
    assert_eq!(core.task(&id(name)).map(|task| task.state), Some(TaskState::Running));
}

fn end(core: &mut Core, secs: u64, name: &str) -> Vec<Effect> {
    core.handle(at(secs), Input::WorkEnded { id: id(name), end: TaskEnd::Stopped })
}

fn refusal(effects: &[Effect]) -> &Failure {
    match effects {
        [.., Effect::Reply { outcome: Err(failure), .. }] => failure,
        other => panic!("no refusal: {other:?}"),
    }
}

#[test]
fn the_record_is_on_disk_before_the_class_starts_the_work() {
    let mut core = ready();
    let effects = start(&mut core, "t", false);
    assert!(matches!(
        effects.as_slice(),
        [Effect::Record { answer: true, .. }, Effect::ShowRunning(1)]
    ));
    let effects = core.handle(at(0), Input::Recorded { id: id("t"), outcome: Ok(()) });
    assert_eq!(effects, [Effect::StartClass { id: id("t") }]);
    let about = About { summary: "sleep 1".to_owned(), output: None };
    let effects = core.handle(at(0), Input::Started { id: id("t"), outcome: Ok(about) });
    assert!(
        matches!(
            effects.as_slice(),
            [
                Effect::Record { .. },
                Effect::Report(EventBody::TaskStarted { .. }),
                Effect::Reply { outcome: Ok(Answer::Started(record)), .. },
                Effect::Run { .. },
            ] if record.summary == "sleep 1"
        ),
        "{effects:?}"
    );
}

#[test]
fn an_attached_task_waits_for_no_disk_and_needs_no_ready_node() {
    let mut core = ready();
    let _ = core.handle(at(0), Input::Wish { call: 9, wanted: Wanted::Stopped, outcome: Ok(()) });
    let effects = start(&mut core, "t", true);
    assert!(matches!(
        effects.as_slice(),
        [Effect::Record { answer: false, .. }, Effect::StartClass { .. }]
    ));
    assert_eq!(refusal(&start(&mut core, "u", false)).code, "node_not_ready");
}

#[test]
fn an_id_is_used_once_until_it_is_forgotten() {
    let mut core = ready();
    running(&mut core, "t", false);
    assert_eq!(refusal(&start(&mut core, "t", false)).code, "already_started");
    let _ = end(&mut core, 1, "t");
    assert_eq!(refusal(&start(&mut core, "t", false)).kind, ErrorKind::Exists);
    let _ = core.handle(at(2), Input::Forget { call: 2, id: id("t") });
    running(&mut core, "t", false);
}

#[test]
fn a_start_that_its_class_refuses_leaves_nothing() {
    let mut core = ready();
    let _ = start(&mut core, "t", false);
    let _ = core.handle(at(0), Input::Recorded { id: id("t"), outcome: Ok(()) });
    let outcome = Err(Failure::invalid("no"));
    let effects = core.handle(at(0), Input::Started { id: id("t"), outcome });
    assert_eq!(effects[0], Effect::Erase { id: id("t") });
    assert!(effects.contains(&Effect::ShowRunning(0)));
    assert_eq!(core.task(&id("t")), None);
}

#[test]
fn a_stop_gives_grace_then_drops_the_work() {
    let mut core = ready();
    running(&mut core, "t", false);
    let grace = Duration::from_secs(5);
    let effects = core.handle(at(1), Input::Stop { call: 2, id: id("t"), grace });
    assert!(matches!(effects[0], Effect::Record { .. }));
    assert_eq!(effects[1], Effect::AskToStop { id: id("t"), grace });
    assert_eq!(effects[2], Effect::Accept { call: 2 }, "not before it is on disk");
    assert_eq!(core.next_deadline(), Duration::from_secs(6) + LAST_WORDS);
    assert_eq!(core.handle(at(6), Input::Tick), []);
    assert_eq!(core.handle(at(8), Input::Tick), [Effect::Kill { id: id("t") }]);
    let effects = end(&mut core, 8, "t");
    assert!(matches!(effects[1], Effect::Ended { end: TaskEnd::Stopped, .. }));
    assert!(matches!(effects[2], Effect::Report(EventBody::TaskEnded { .. })));
}

#[test]
fn a_second_stop_can_only_shorten_the_grace() {
    let mut core = ready();
    running(&mut core, "t", false);
    let stop = |secs| Input::Stop { call: 2, id: id("t"), grace: Duration::from_secs(secs) };
    let _ = core.handle(at(0), stop(10));
    assert_eq!(core.handle(at(0), stop(60)).len(), 1);
    let effects = core.handle(at(1), stop(1));
    assert!(matches!(effects[0], Effect::AskToStop { .. }));
    assert_eq!(core.next_deadline(), Duration::from_secs(2) + LAST_WORDS);
}

#[test]
fn a_task_that_is_stopped_while_it_starts_is_stopped_once_it_runs() {
    let mut core = ready();
    let _ = start(&mut core, "t", false);
    let grace = Duration::from_secs(1);
    let effects = core.handle(at(0), Input::Stop { call: 2, id: id("t"), grace });
    let [Effect::Record { stored, answer: false, .. }, Effect::Accept { call: 2 }] = &effects[..]
    else {
        panic!("the stop is not written down: {effects:?}");
    };
    assert_eq!(stored.record.state, TaskState::Stopping);
    let _ = core.handle(at(0), Input::Recorded { id: id("t"), outcome: Ok(()) });
    let effects = core.handle(at(0), Input::Started { id: id("t"), outcome: Ok(About::default()) });
    assert!(effects.contains(&Effect::AskToStop { id: id("t"), grace }));
}

#[test]
fn the_last_task_turns_stopping_into_stopped() {
    let mut core = ready();
    running(&mut core, "t", false);
    running(&mut core, "a", true);
    let wish = Input::Wish { call: 3, wanted: Wanted::Stopped, outcome: Ok(()) };
    let effects = core.handle(at(0), wish);
    let answer = Ok(Answer::Status(NodeStatus::Stopping));
    assert_eq!(effects[0], Effect::Reply { call: 3, outcome: answer });
    assert!(effects.contains(&Effect::ShowStatus(NodeStatus::Stopping)));
    assert!(end(&mut core, 1, "t").contains(&Effect::ShowStatus(NodeStatus::Stopped)));
}

#[test]
fn an_attached_task_ends_when_nobody_follows_it() {
    let mut core = ready();
    running(&mut core, "t", true);
    let _ = core.handle(at(1), Input::Follow { id: id("t") });
    assert_eq!(core.handle(at(60), Input::Tick), []);
    let _ = core.handle(at(61), Input::Unfollow { id: id("t"), to_end: false });
    assert_eq!(core.next_deadline(), Duration::from_secs(61) + LEASE);
    let effects = core.handle(at(71), Input::Tick);
    assert!(matches!(effects[1], Effect::AskToStop { .. }), "{effects:?}");
}

#[test]
fn an_attached_task_is_forgotten_once_it_was_seen_to_the_end() {
    let mut core = ready();
    running(&mut core, "t", true);
    let _ = core.handle(at(1), Input::Follow { id: id("t") });
    let _ = end(&mut core, 2, "t");
    let effects = core.handle(at(3), Input::Unfollow { id: id("t"), to_end: true });
    assert!(matches!(
        effects.as_slice(),
        [Effect::Erase { .. }, Effect::ForgetClass { .. }, Effect::Drop { .. }]
    ));
}

#[test]
fn an_attached_task_that_nobody_saw_end_is_forgotten_after_its_lease() {
    let mut core = ready();
    running(&mut core, "t", true);
    let _ = end(&mut core, 2, "t");
    assert!(core.task(&id("t")).is_some());
    let _ = core.handle(at(12), Input::Tick);
    assert!(core.task(&id("t")).is_none());
}

#[test]
fn only_so_many_ended_tasks_are_remembered() {
    let mut core = ready();
    for n in 0..=MAX_ENDED as u64 {
        running(&mut core, &format!("t{n}"), false);
        let _ = end(&mut core, n, &format!("t{n}"));
    }
    assert!(core.task(&id("t0")).is_none());
    assert_eq!(core.tasks().count(), MAX_ENDED);
}

#[test]
fn old_tasks_are_forgotten() {
    let mut core = ready();
    running(&mut core, "t", false);
    let _ = end(&mut core, 1, "t");
    let _ = core.handle(at(3 * 24 * 3600), Input::Tick);
    assert!(core.task(&id("t")).is_some());
    let _ = core.handle(at(8 * 24 * 3600), Input::Tick);
    assert!(core.task(&id("t")).is_none());
}

fn stored(name: &str, end: Option<TaskEnd>, attached: bool) -> Stored {
    let record = TaskRecord {
        id: id(name),
        class: class(),
        node: "w1".parse().unwrap(),
        generation: Generation(1),
        state: if end.is_some() { TaskState::Ended } else { TaskState::Running },
        ended_ms: end.is_some().then_some(5),
        end,
        summary: String::new(),
        started_ms: 1,
    };
    Stored { record, attached, start_reported: true, reported: false, output: None }
}

#[test]
fn after_a_restart_running_tasks_go_to_their_class_and_unreported_ends_are_reported() {
    let stored = vec![
        stored("ended", Some(TaskEnd::Stopped), false),
        stored("attached", None, true),
        stored("runs", None, false),
    ];
    let node: NodeId = "w1".parse().unwrap();
    let (mut core, effects) = Core::new(node, Generation(2), Wanted::Ready, stored, at(0));
    assert!(
        matches!(&effects[0], Effect::Report(EventBody::TaskEnded { task, .. }) if *task == id("ended"))
    );
    assert!(effects.contains(&Effect::RecoverClass { id: id("runs"), class: class() }));
    assert!(effects.contains(&Effect::ShowRunning(1)));
    let lost = core.task(&id("attached")).and_then(|task| task.end.clone());
    assert!(matches!(lost, Some(TaskEnd::Lost { .. })));

    let outcome = Err(Failure::failed("its holder is gone"));
    let effects = core.handle(at(1), Input::Started { id: id("runs"), outcome });
    let end = TaskEnd::Lost { message: "its holder is gone".to_owned() };
    let event = EventBody::TaskEnded { class: class(), task: id("runs"), end };
    assert!(effects.contains(&Effect::Report(event)));
}

#[test]
fn a_start_that_is_not_on_disk_as_an_event_is_reported_again_and_before_the_end() {
    let untold = |name, end| Stored { start_reported: false, ..stored(name, end, false) };
    let stored =
        vec![untold("ended", Some(TaskEnd::Stopped)), untold("runs", None), untold("lost", None)];
    let node: NodeId = "w1".parse().unwrap();
    let (mut core, mut effects) = Core::new(node, Generation(2), Wanted::Ready, stored, at(0));
    for (name, outcome) in [("runs", Ok(About::default())), ("lost", Err(Failure::failed("no")))] {
        effects.extend(core.handle(at(1), Input::Started { id: id(name), outcome }));
    }
    let told: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Report(EventBody::TaskStarted { task, .. }) => Some((task.as_str(), "start")),
            Effect::Report(EventBody::TaskEnded { task, .. }) => Some((task.as_str(), "end")),
            _ => None,
        })
        .collect();
    let expected = [
        ("ended", "start"),
        ("ended", "end"),
        ("runs", "start"),
        ("lost", "start"),
        ("lost", "end"),
    ];
    assert_eq!(told, expected);
    let effects = core.handle(at(2), Input::StartReported { id: id("runs") });
    assert!(
        matches!(&effects[..], [Effect::Record { stored, .. }] if stored.start_reported),
        "{effects:?}"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Start(u8, bool),
    Recorded(u8),
    Started(u8, bool),
    End(u8),
    Stop(u8, u64),
    Forget(u8),
    Follow(u8),
    Unfollow(u8, bool),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4_u8, any::<bool>()).prop_map(|(task, attached)| Step::Start(task, attached)),
        (0..4_u8).prop_map(Step::Recorded),
        (0..4_u8, prop::bool::weighted(0.8)).prop_map(|(task, ok)| Step::Started(task, ok)),
        (0..4_u8).prop_map(Step::End),
        (0..4_u8, 0..20_u64).prop_map(|(task, grace)| Step::Stop(task, grace)),
        (0..4_u8).prop_map(Step::Forget),
        (0..4_u8).prop_map(Step::Follow),
        (0..4_u8, any::<bool>()).prop_map(|(task, to_end)| Step::Unfollow(task, to_end)),
        (0..30_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Every start is answered once, and every task that was reported started is reported ended at
    /// most once and only after that.
    #[test]
    fn lives_are_whole(steps in prop::collection::vec(step(), 0..120)) {
        let mut core = ready();
        let mut secs = 0;
        let mut asked = BTreeSet::new();
        let mut living = BTreeSet::new();
        for (call, step) in steps.into_iter().enumerate() {
            let call = call as u64;
            let name = |task: u8| id(&format!("t{task}"));
            let failed = || Err(Failure::invalid("no"));
            let input = match step {
                Step::Start(task, attached) => {
                    asked.insert(call);
                    Input::Start { call, id: name(task), class: class(), attached }
                }
                Step::Recorded(task) => Input::Recorded { id: name(task), outcome: Ok(()) },
                Step::Started(task, ok) => {
                    let outcome = if ok { Ok(About::default()) } else { failed() };
                    Input::Started { id: name(task), outcome }
                }
                Step::End(task) if living.contains(&name(task)) => {
                    Input::WorkEnded { id: name(task), end: TaskEnd::Stopped }
                }
                Step::End(_) => Input::Tick,
                Step::Stop(task, grace) => {
                    asked.insert(call);
                    Input::Stop { call, id: name(task), grace: Duration::from_secs(grace) }
                }
                Step::Forget(task) => {
                    asked.insert(call);
                    Input::Forget { call, id: name(task) }
                }
                Step::Follow(task) => Input::Follow { id: name(task) },
                Step::Unfollow(task, to_end) => Input::Unfollow { id: name(task), to_end },
                Step::Wait(for_secs) => {
                    secs += for_secs;
                    Input::Tick
                }
            };
            for effect in core.handle(at(secs), input) {
                match effect {
                    Effect::Reply { call, .. } | Effect::Accept { call } => prop_assert!(asked.remove(&call)),
                    Effect::Report(EventBody::TaskStarted { task, .. }) => {
                        prop_assert!(living.insert(task));
                    }
                    Effect::Report(EventBody::TaskEnded { task, .. }) => {
                        prop_assert!(living.remove(&task));
                    }
                    Effect::Erase { id } => prop_assert!(!living.contains(&id)),
                    _ => (),
                }
            }
            prop_assert!(core.next_deadline() > Duration::from_secs(secs));
        }
    }
}
