//! Searches, moves and losses.

use proptest::prelude::*;
use remuda_model::{ErrorKind, Transport};

use super::*;

fn url(port: u16) -> LinkUrl {
    LinkUrl { host: "10.0.0.1".to_owned(), port, transport: Transport::Tls, path: None }
}

fn far(name: &str) -> Far {
    Far { node: node(name), addresses: Vec::new() }
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn failure() -> Failure {
    Failure::new(ErrorKind::NotConnected, "refused")
}

/// A core and what it wants done.
struct Play {
    core: Core,
    now: Duration,
    effects: Vec<Effect>,
}

impl Play {
    fn new() -> Self {
        Self { core: Core::new(Vec::new(), Epoch(0), 1), now: secs(100), effects: Vec::new() }
    }

    fn with(mut self, input: Input) -> Self {
        self.give(input);
        self
    }

    fn give(&mut self, input: Input) {
        self.effects = self.core.handle(self.now, input);
    }

    /// The dial that was just asked for.
    fn dial(&self) -> (DialId, LinkUrl) {
        let dial = self.effects.iter().find_map(|effect| match effect {
            Effect::Dial { dial, url } => Some((*dial, url.clone())),
            _ => None,
        });
        dial.unwrap_or_else(|| panic!("no dial in {:?}", self.effects))
    }

    fn dial_reaches(&mut self, link: LinkId, name: &str) {
        let (dial, _) = self.dial();
        self.give(Input::Dialled { dial, outcome: Ok((link, far(name))) });
    }

    fn dial_fails(&mut self) {
        let (dial, _) = self.dial();
        self.give(Input::Dialled { dial, outcome: Err(failure()) });
    }

    fn answer(&mut self, link: LinkId, placement: Placement) {
        self.give(Input::Answered { link, outcome: Ok(placement) });
    }

    fn opening(&self) -> SessionId {
        let session = self.effects.iter().find_map(|effect| match effect {
            Effect::Open { session, .. } => Some(*session),
            _ => None,
        });
        session.unwrap_or_else(|| panic!("no opening in {:?}", self.effects))
    }

    fn opens(&mut self) -> SessionId {
        let session = self.opening();
        self.give(Input::Opened { session, outcome: Ok(()) });
        session
    }

    fn announces(&self, link: LinkId, unreachable: &[&str]) {
        let unreachable = unreachable.iter().map(|name| node(name)).collect();
        let wanted = Effect::Announce { link, unreachable };
        assert!(self.effects.contains(&wanted), "{wanted:?} not in {:?}", self.effects);
    }

    /// A worker with a session at c1 on link 1.
    fn owned() -> (Self, SessionId) {
        let mut play = Self::new().with(Input::Candidates(vec![url(1)]));
        play.dial_reaches(1, "c1");
        play.announces(1, &[]);
        play.answer(1, Placement::Owned { epoch: Epoch(5) });
        let session = play.opens();
        assert_eq!(play.effects, [Effect::Show(Connection::Placed)]);
        (play, session)
    }
}

fn redirect(owner: &str, port: u16) -> Placement {
    Placement::Redirect { epoch: Epoch(5), owner: node(owner), addresses: vec![url(port)] }
}

fn moved(session: SessionId, owner: &str, port: u16) -> Input {
    Input::Moved { session, epoch: Epoch(6), owner: node(owner), addresses: vec![url(port)] }
}

#[test]
fn a_worker_is_owned_by_the_node_it_dials() {
    let (play, _) = Play::owned();
    assert_eq!(play.core.next_deadline(), None);
}

#[test]
fn an_outdated_link_is_replaced_before_it_ends() {
    let (mut play, session) = Play::owned();
    play.give(Input::Outdated { link: 7 });
    assert_eq!(play.effects, [], "not the one in use");
    play.give(Input::Outdated { link: 1 });
    assert_eq!(play.dial().1, url(1), "the present link is not good enough");
    play.dial_fails();
    assert!(play.core.next_deadline().is_some(), "it is tried again");
    play.now += secs(60);
    play.give(Input::Tick);
    play.dial_reaches(2, "c1");
    play.answer(2, Placement::Owned { epoch: Epoch(5) });
    play.opens();
    let (show, end) = (Effect::Show(Connection::Placed), Effect::End { session });
    assert_eq!(play.effects, [show, end, Effect::Retire { link: 1 }]);
    assert_eq!(play.core.next_deadline(), None, "that was all");
}

#[test]
fn a_session_that_is_replaced_may_end_before_the_new_one_is_known_to_be_up() {
    let (mut play, session) = Play::owned();
    play.give(Input::Outdated { link: 1 });
    play.dial_reaches(2, "c1");
    play.answer(2, Placement::Owned { epoch: Epoch(5) });
    let opening = play.opening();
    play.give(Input::Ended { session });
    assert_eq!(play.effects, [], "calls that come meanwhile are answered");
    play.give(Input::Opened { session: opening, outcome: Err(failure()) });
    assert!(play.effects.contains(&Effect::Show(Connection::Looking)), "{:?}", play.effects);
}

#[test]
fn a_new_link_may_lead_to_the_owner_by_way_of_another() {
    let (mut play, _) = Play::owned();
    play.give(Input::Outdated { link: 1 });
    play.dial_reaches(2, "c2");
    play.answer(2, redirect("c1", 1));
    assert_eq!(play.dial().1, url(1), "the old link to it does not count");
    play.dial_reaches(3, "c1");
    play.answer(3, Placement::Owned { epoch: Epoch(5) });
    play.opens();
    assert!(play.effects.contains(&Effect::Retire { link: 1 }), "{:?}", play.effects);
}

#[test]
fn a_redirect_is_followed_and_the_first_link_closed() {
    let mut play = Play::new().with(Input::Candidates(vec![url(1)]));
    play.dial_reaches(1, "c1");
    play.answer(1, redirect("c2", 2));
    assert_eq!(play.dial().1, url(2));
    play.dial_reaches(2, "c2");
    play.announces(2, &[]);
    play.answer(2, Placement::Owned { epoch: Epoch(5) });
    play.opens();
    assert_eq!(play.effects, [Effect::Show(Connection::Placed), Effect::Close { link: 1 }]);
}

#[test]
fn an_owner_that_cannot_be_dialled_is_reached_through_the_first() {
    let mut play = Play::new().with(Input::Candidates(vec![url(1)]));
    play.dial_reaches(1, "c1");
    play.answer(1, redirect("c2", 2));
    play.dial_fails();
    play.announces(1, &["c2"]);
    play.answer(1, Placement::Relay { epoch: Epoch(5), owner: node("c2") });
    play.opens();
    assert_eq!(play.effects, [Effect::Show(Connection::Placed)]);
}

#[test]
fn an_owner_that_does_not_answer_is_reached_through_the_first_until_it_does() {
    let mut play = Play::new().with(Input::Candidates(vec![url(1)]));
    play.dial_reaches(1, "c1");
    play.answer(1, redirect("c2", 2));
    let (late, _) = play.dial();
    assert_eq!(play.core.next_deadline(), Some(play.now + RELAY_AFTER));
    play.now += RELAY_AFTER;
    play.give(Input::Tick);
    play.announces(1, &["c2"]);
    play.answer(1, Placement::Relay { epoch: Epoch(5), owner: node("c2") });
    let relayed = play.opens();
    assert_eq!(play.core.next_deadline(), None);
    play.give(Input::Dialled { dial: late, outcome: Ok((2, far("c2"))) });
    play.announces(2, &[]);
    play.answer(2, Placement::Owned { epoch: Epoch(5) });
    play.opens();
    assert!(play.effects.contains(&Effect::End { session: relayed }), "{:?}", play.effects);
}

#[test]
fn a_node_that_insists_on_an_unreachable_owner_is_left() {
    let mut play = Play::new().with(Input::Candidates(vec![url(1)]));
    play.dial_reaches(1, "c1");
    play.answer(1, redirect("c2", 2));
    play.dial_fails();
    play.answer(1, redirect("c2", 2));
    assert!(play.effects.contains(&Effect::Close { link: 1 }));
    assert!(play.core.next_deadline().is_some());
}

#[test]
fn redirects_in_a_circle_end() {
    let mut play = Play::new().with(Input::Candidates(vec![url(1)]));
    play.dial_reaches(1, "c1");
    for hop in 0..u64::from(MAX_HOPS) {
        let owner = if hop % 2 == 0 { "c2" } else { "c3" };
        play.answer(hop + 1, redirect(owner, 2));
        play.dial_reaches(hop + 2, owner);
    }
    play.answer(u64::from(MAX_HOPS) + 1, redirect("c1", 1));
    assert!(play.core.search.is_none());
    assert!(play.core.links.is_empty(), "{:?}", play.core.links);
}

#[test]
fn a_slow_dial_gets_company_and_the_first_success_wins() {
    let mut play = Play::new().with(Input::Candidates(vec![url(1), url(2)]));
    let (slow, _) = play.dial();
    assert_eq!(play.core.next_deadline(), Some(play.now + STAGGER));
    play.now += STAGGER;
    play.give(Input::Tick);
    play.dial_reaches(7, "c2");
    play.announces(7, &[]);
    play.give(Input::Dialled { dial: slow, outcome: Ok((8, far("c1"))) });
    assert_eq!(play.effects, [Effect::Close { link: 8 }]);
}

#[test]
fn a_stale_answer_is_not_believed() {
    let mut play = Play::new();
    play.core.epoch = Epoch(9);
    play.give(Input::Candidates(vec![url(1)]));
    play.dial_reaches(1, "c1");
    play.answer(1, Placement::Owned { epoch: Epoch(5) });
    assert!(play.effects.contains(&Effect::Close { link: 1 }));
}

#[test]
fn the_old_session_is_kept_until_the_new_one_is_up() {
    let (mut play, old) = Play::owned();
    play.give(moved(old, "c2", 2));
    assert_eq!(play.effects.len(), 1);
    play.dial_reaches(2, "c2");
    play.answer(2, Placement::Owned { epoch: Epoch(6) });
    assert_eq!(play.effects.len(), 1);
    play.opens();
    assert_eq!(
        play.effects,
        [
            Effect::Show(Connection::Placed),
            Effect::End { session: old },
            Effect::Retire { link: 1 }
        ]
    );
}

#[test]
fn a_move_to_an_owner_that_cannot_be_dialled_ends_in_a_relay_on_the_old_link() {
    let (mut play, old) = Play::owned();
    play.give(moved(old, "c2", 2));
    play.dial_fails();
    play.announces(1, &["c2"]);
    play.answer(1, Placement::Relay { epoch: Epoch(6), owner: node("c2") });
    play.opens();
    assert_eq!(play.effects, [Effect::Show(Connection::Placed), Effect::End { session: old }]);
}

#[test]
fn a_move_that_fails_is_tried_again_while_the_old_session_lives() {
    let (mut play, old) = Play::owned();
    play.give(moved(old, "c2", 2));
    play.dial_fails();
    play.give(Input::Answered { link: 1, outcome: Err(failure()) });
    assert!(!play.effects.contains(&Effect::Close { link: 1 }));
    play.now = play.core.next_deadline().expect("tries again");
    play.give(Input::Tick);
    assert_eq!(play.dial().1, url(2));
}

#[test]
fn a_lost_session_is_looked_for_at_the_named_successor_first() {
    let (mut play, old) = Play::owned();
    play.give(moved(old, "c2", 2));
    play.dial_fails();
    play.give(Input::Answered { link: 1, outcome: Err(failure()) });
    play.give(Input::LinkLost { link: 1 });
    play.give(Input::Ended { session: old });
    assert_eq!(play.effects, [Effect::Show(Connection::Looking)]);
    play.now = play.core.next_deadline().expect("searches");
    play.give(Input::Tick);
    assert_eq!(play.dial().1, url(2));
}

#[test]
fn the_first_minute_after_a_loss_is_spent_on_quick_attempts() {
    let (mut play, session) = Play::owned();
    play.give(Input::LinkLost { link: 1 });
    play.give(Input::Ended { session });
    let lost = play.now;
    let mut attempts = 0;
    while let Some(at) = play.core.next_deadline()
        && at < lost + Duration::from_hours(1)
    {
        assert!(at.saturating_sub(play.now) <= if at < lost + SOON_FOR { SOON } else { LATE });
        play.now = at;
        play.give(Input::Tick);
        play.dial_fails();
        attempts += 1;
    }
    assert!(attempts > 100, "{attempts}");
}

#[test]
fn a_lasting_refusal_is_told_and_tried_slowly() {
    let mut play = Play::new().with(Input::Candidates(vec![url(1), url(2)]));
    play.dial_reaches(1, "c1");
    let refusal = failure().code("node_id_in_use");
    play.give(Input::Answered { link: 1, outcome: Err(refusal.clone()) });
    play.dial_fails();
    assert!(play.effects.contains(&Effect::Complain(refusal)));
    assert!(play.core.next_deadline().expect("tries again") >= play.now + LATE);
}

#[test]
fn a_link_from_a_control_node_is_used_at_once() {
    let mut play = Play::new().with(Input::Candidates(vec![url(1)]));
    let (dial, _) = play.dial();
    play.give(Input::Offered { link: 3, far: far("c3") });
    play.announces(3, &[]);
    play.give(Input::Dialled { dial, outcome: Ok((4, far("c1"))) });
    assert_eq!(play.effects, [Effect::Close { link: 4 }]);
    play.answer(3, Placement::Owned { epoch: Epoch(5) });
    play.opens();
    assert_eq!(play.effects, [Effect::Show(Connection::Placed)]);
}

#[test]
fn a_newer_owner_that_dials_takes_over_and_an_old_one_does_not() {
    let (mut play, old) = Play::owned();
    play.give(Input::Offered { link: 2, far: far("c2") });
    play.announces(2, &[]);
    play.answer(2, redirect("c1", 1));
    assert_eq!(play.effects, []);
    play.give(Input::Offered { link: 3, far: far("c3") });
    play.answer(3, Placement::Owned { epoch: Epoch(6) });
    play.opens();
    assert!(play.effects.contains(&Effect::End { session: old }));
}

#[test]
fn a_direct_way_replaces_a_relay() {
    let mut play = Play::new().with(Input::Candidates(vec![url(1)]));
    play.dial_reaches(1, "c1");
    play.answer(1, Placement::Relay { epoch: Epoch(5), owner: node("c2") });
    let relayed = play.opens();
    play.give(Input::Offered { link: 2, far: far("c2") });
    play.answer(2, Placement::Owned { epoch: Epoch(5) });
    play.opens();
    assert!(play.effects.contains(&Effect::End { session: relayed }));
    assert!(play.effects.contains(&Effect::Retire { link: 1 }));
}

#[test]
fn where_the_owner_was_found_is_remembered_and_tried_first() {
    let mut play = Play::new().with(Input::Candidates(vec![url(1)]));
    let (dial, _) = play.dial();
    let far = Far { node: node("c1"), addresses: vec![url(7), url(1), url(7)] };
    play.give(Input::Dialled { dial, outcome: Ok((1, far)) });
    play.answer(1, Placement::Owned { epoch: Epoch(5) });
    play.opens();
    assert!(play.effects.contains(&Effect::Learn(vec![url(7), url(1)])));

    let mut again = Core::new(vec![url(7), url(1)], Epoch(5), 2);
    let effects = again.handle(secs(0), Input::Candidates(vec![url(3)]));
    assert!(matches!(&effects[1], Effect::Dial { url: to, .. } if *to == url(7)), "{effects:?}");
}

#[test]
fn the_control_part_of_the_same_node_is_asked_first_and_not_remembered() {
    let memory = LinkUrl { transport: Transport::Mem, ..url(9) };
    let mut core = Core::new(vec![url(7)], Epoch(5), 2);
    let candidates = vec![url(1), memory.clone(), url(2)];
    let effects = core.handle(secs(0), Input::Candidates(candidates));
    let [Effect::Show(_), Effect::Dial { dial, url: to }] = effects.as_slice() else {
        panic!("no dial: {effects:?}");
    };
    assert_eq!(*to, memory);
    let far = Far { node: node("w1"), addresses: vec![memory, url(1)] };
    let _ = core.handle(secs(0), Input::Dialled { dial: *dial, outcome: Ok((1, far)) });
    let owned = Ok(Placement::Owned { epoch: Epoch(5) });
    let effects = core.handle(secs(0), Input::Answered { link: 1, outcome: owned });
    let Some(Effect::Open { session, .. }) = effects.last() else { panic!("{effects:?}") };
    let opened = Input::Opened { session: *session, outcome: Ok(()) };
    assert_eq!(core.handle(secs(0), opened), [Effect::Show(Connection::Placed)]);
}

#[test]
fn a_session_that_nobody_waits_for_is_ended() {
    let (mut play, old) = Play::owned();
    play.give(moved(old, "c2", 2));
    play.dial_reaches(2, "c2");
    play.answer(2, Placement::Owned { epoch: Epoch(6) });
    let late = play.opening();
    play.give(moved(old, "c3", 3));
    assert!(play.effects.contains(&Effect::Close { link: 2 }));
    play.give(Input::Opened { session: late, outcome: Ok(()) });
    assert_eq!(play.effects, [Effect::End { session: late }]);
}

/// What the world still owes the core.
#[derive(Debug, Default)]
struct World {
    dials: Vec<DialId>,
    announced: Vec<LinkId>,
    opening: Vec<SessionId>,
    sessions: Vec<SessionId>,
    links: BTreeSet<LinkId>,
    next_link: LinkId,
}

proptest! {
    /// Whatever the world does, the worker never rests without an owner, never keeps a spare link
    /// that it dialled, and always comes home once the world is kind.
    #[test]
    fn a_worker_always_comes_home(steps in prop::collection::vec((0..9_u8, 0..9_u8), 0..150)) {
        let mut core = Core::new(Vec::new(), Epoch(0), 3);
        let mut world = World { next_link: 1000, ..World::default() };
        let mut now = secs(1);
        let mut epoch = 5;
        let kind = (0..400).map(|_| (9, 0));
        let mut pending = vec![Input::Candidates((1..4).map(url).collect())];
        for (what, detail) in steps.into_iter().chain(kind) {
            let pick = usize::from(detail);
            let name = node(&format!("c{}", detail % 3));
            let addresses = vec![url(u16::from(detail) + 1)];
            let input = pending.pop().or_else(|| match what {
                0 | 1 | 9 if !world.dials.is_empty() => {
                    let dial = world.dials.remove(pick % world.dials.len());
                    let outcome = if what == 1 { Err(failure()) } else {
                        world.next_link += 1;
                        world.links.insert(world.next_link);
                        Ok((world.next_link, Far { node: name, addresses }))
                    };
                    Some(Input::Dialled { dial, outcome })
                }
                2 | 3 | 9 if !world.announced.is_empty() => {
                    let link = world.announced.remove(0);
                    let placed = Epoch(epoch);
                    let outcome = match (what, detail) {
                        (9, _) | (2, 0..4) => Ok(Placement::Owned { epoch: placed }),
                        (2, 4) => Ok(Placement::Relay { epoch: placed, owner: name }),
                        (2, _) => Ok(Placement::Redirect { epoch: placed, owner: name, addresses }),
                        _ => Err(failure()),
                    };
                    Some(Input::Answered { link, outcome })
                }
                4 | 9 if !world.opening.is_empty() => {
                    let session = world.opening.remove(0);
                    let outcome = if what == 9 || detail < 5 { Ok(()) } else { Err(failure()) };
                    if outcome.is_ok() {
                        world.sessions.push(session);
                    }
                    Some(Input::Opened { session, outcome })
                }
                5 if !world.sessions.is_empty() => {
                    let session = world.sessions[pick % world.sessions.len()];
                    epoch += 1;
                    Some(Input::Moved { session, epoch: Epoch(epoch), owner: name, addresses })
                }
                6 if !world.sessions.is_empty() => {
                    let session = world.sessions.remove(pick % world.sessions.len());
                    Some(Input::Ended { session })
                }
                7 => {
                    world.next_link += 1;
                    world.links.insert(world.next_link);
                    Some(Input::Offered { link: world.next_link, far: Far { node: name, addresses } })
                }
                8 if detail == 8 => {
                    let link = core.session.as_ref().map(|current| current.link);
                    link.map(|link| Input::Outdated { link })
                }
                8 => world.links.pop_first().map(|link| Input::LinkLost { link }),
                _ => None,
            });
            let input = input.unwrap_or_else(|| {
                now = core.next_deadline().unwrap_or(now).max(now);
                Input::Tick
            });
            for effect in core.handle(now, input) {
                match effect {
                    Effect::Dial { dial, .. } => world.dials.push(dial),
                    Effect::Announce { link, .. } => world.announced.push(link),
                    Effect::Open { session, .. } => world.opening.push(session),
                    Effect::End { session } => world.sessions.retain(|other| *other != session),
                    Effect::Close { link } | Effect::Retire { link } => {
                        world.links.remove(&link);
                    }
                    Effect::Learn(_) | Effect::Show(_) | Effect::Complain(_) => (),
                }
            }
            prop_assert!(world.dials.len() <= 40);
        }
        prop_assert!(core.session.is_some(), "{core:?}");
        prop_assert!(core.search.is_none(), "{core:?}");
        let spare = core.links.iter().filter(|(_, known)| known.dialled).count();
        prop_assert!(spare <= 1, "{:?}", core.links);
    }
}
