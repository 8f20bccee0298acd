//! Windows in front of hosts that the test makes up.

use std::{cmp::Reverse, collections::BinaryHeap};

use proptest::prelude::*;

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What hosts do with an attempt.
#[derive(Clone, Copy, Debug)]
struct Hosts {
    /// How long an answer takes when nobody waits.
    takes: Duration,
    /// How many answers a second there are at most, all hosts together.
    capacity: f64,
    /// One of so many never answers and fails after [`TIMEOUT`](Self::TIMEOUT); none for 0.
    stuck: u64,
    /// How many attempts may go on before further ones fail at once; no limit for 0.
    crowd: u32,
    /// Whether each attempt fails at once.
    is_down: bool,
}

impl Hosts {
    const TIMEOUT: Duration = Duration::from_secs(10);
    const FAST: Self =
        Self { takes: ms_const(2), capacity: 20_000.0, stuck: 0, crowd: 0, is_down: false };
}

const fn ms_const(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// When an attempt ends, and what [`Window::end`] is told.
type Going = Reverse<(Duration, Begun, Duration, bool)>;

/// A window that always has targets, and hosts.
struct World {
    window: Window,
    now: Duration,
    going: BinaryHeap<Going>,
    /// When the hosts have answered all they have.
    busy_until: Duration,
    begun: u64,
    ended: u64,
    lowest: u32,
}

impl World {
    fn new(cap: u32) -> Self {
        Self {
            window: Window::new(true, cap, ms(0)),
            now: ms(0),
            going: BinaryHeap::new(),
            busy_until: ms(0),
            begun: 0,
            ended: 0,
            lowest: u32::MAX,
        }
    }

    /// Goes on for a while; tells how many targets were answered in a second.
    fn run(&mut self, hosts: Hosts, time: Duration) -> f64 {
        let until = self.now + time;
        let ended = self.ended;
        self.lowest = self.window.limit();
        while self.now < until {
            self.window.tick(self.now);
            self.lowest = self.lowest.min(self.window.limit());
            while self.in_flight() < self.window.limit() {
                self.begin(hosts);
            }
            self.window.note(true);
            self.now += ms(1);
            while let Some(&Reverse((at, begun, began, is_bad))) = self.going.peek() {
                if at > self.now {
                    break;
                }
                self.going.pop();
                self.window.end(begun, at.saturating_sub(began), is_bad);
                self.ended += u64::from(!is_bad);
            }
        }
        let answered = u32::try_from(self.ended - ended).expect("few");
        f64::from(answered) / time.as_secs_f64()
    }

    fn in_flight(&self) -> u32 {
        u32::try_from(self.going.len()).expect("few")
    }

    fn begin(&mut self, hosts: Hosts) {
        self.begun += 1;
        let is_stuck = hosts.stuck > 0 && self.begun.is_multiple_of(hosts.stuck);
        let is_crowd = hosts.crowd > 0 && self.in_flight() >= hosts.crowd;
        let (at, is_bad) = if is_stuck {
            (self.now + Hosts::TIMEOUT, true)
        } else if hosts.is_down || is_crowd {
            (self.now + hosts.takes, true)
        } else {
            let each = Duration::from_secs_f64(1.0 / hosts.capacity);
            self.busy_until = self.busy_until.max(self.now) + each;
            ((self.now + hosts.takes).max(self.busy_until), false)
        };
        let begun = self.window.begin();
        self.going.push(Reverse((at, begun, self.now, is_bad)));
    }
}

#[test]
fn a_window_that_does_not_adapt_is_what_it_may_be() {
    let mut window = Window::new(false, 700, ms(0));
    assert_eq!((window.limit(), window.next()), (700, None));
    window.set_cap(20);
    window.tick(ms(10_000));
    assert_eq!(window.limit(), 20);
}

#[test]
fn slow_hosts_have_a_wide_window_within_a_second() {
    let mut world = World::new(10_000);
    let hosts = Hosts { takes: ms(1_000), capacity: 1e9, ..Hosts::FAST };
    world.run(hosts, ms(1_000));
    assert_eq!(world.window.limit(), 10_000);
    world.run(hosts, ms(10_000));
    assert_eq!(world.lowest, 10_000, "and keep it");
}

#[test]
fn fast_hosts_have_a_narrow_window() {
    let mut world = World::new(10_000);
    // 40 at a time are as fast as it gets.
    world.run(Hosts::FAST, ms(2_000));
    let rate = world.run(Hosts::FAST, ms(20_000));
    assert!(rate > 19_000.0, "{rate}");
    assert!(world.window.limit() <= 160, "{}", world.window.limit());
}

#[test]
fn hosts_that_never_answer_do_not_slow_the_others_down() {
    let mut world = World::new(10_000);
    // 100 begin and stay in each second.
    let hosts = Hosts { stuck: 100, capacity: 10_000.0, ..Hosts::FAST };
    world.run(hosts, ms(4_000));
    let rate = world.run(hosts, ms(20_000));
    assert!(rate > 8_500.0, "{rate}");
}

#[test]
fn hosts_that_become_slow_have_a_wider_window() {
    let mut world = World::new(2_500);
    world.run(Hosts::FAST, ms(5_000));
    let slow = Hosts { takes: ms(300), capacity: 1e9, ..Hosts::FAST };
    world.run(slow, ms(15_000));
    let rate = world.run(slow, ms(5_000));
    // 2,500 at a time would be 8,333 a second.
    assert!(rate > 4_000.0, "{rate} with {}", world.window.limit());
}

#[test]
fn errors_of_a_crowd_narrow_the_window() {
    let mut world = World::new(2_500);
    world.run(Hosts { takes: ms(100), capacity: 1e9, ..Hosts::FAST }, ms(3_000));
    assert_eq!(world.window.limit(), 2_500);
    let crowded = Hosts { takes: ms(100), capacity: 1e9, crowd: 200, ..Hosts::FAST };
    world.run(crowded, ms(1_000));
    assert!(world.window.limit() <= 1_250, "{}", world.window.limit());
    world.run(crowded, ms(5_000));
    assert!(world.window.limit() <= 500, "{}", world.window.limit());
}

#[test]
fn errors_that_the_crowd_is_not_to_blame_for_do_not_narrow_it() {
    let mut world = World::new(2_500);
    let hosts = Hosts { takes: ms(100), capacity: 1e9, ..Hosts::FAST };
    world.run(hosts, ms(3_000));
    // Every host is down, as a rack may be.
    let down = Hosts { is_down: true, ..hosts };
    world.run(down, ms(400));
    assert!(world.window.limit() <= 1_250, "halved at once");
    world.run(down, ms(20_000));
    assert!(world.lowest >= 625, "{}", world.lowest);
    world.run(hosts, ms(5_000));
    let rate = world.run(hosts, ms(5_000));
    assert!(rate > 20_000.0, "{rate}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The right window is as many as are answered in the time that an answer takes.
    #[test]
    fn it_finds_about_the_right_window(takes in 20_u64..400, right in 100_u32..2_000) {
        let capacity = f64::from(right) * 1000.0 / f64::from(u32::try_from(takes).expect("small"));
        prop_assume!(capacity < 20_000.0);
        let hosts = Hosts { takes: ms(takes), capacity, ..Hosts::FAST };
        let mut world = World::new(10_000);
        world.run(hosts, ms(20_000));
        let rate = world.run(hosts, ms(10_000));
        let limit = world.window.limit();
        prop_assert!(rate > capacity * 0.8, "{rate} of {capacity} with {limit}");
        // It may be looked at in the middle of a try, which goes half as far again.
        prop_assert!(limit <= right * 5 + START, "{limit} where {right} are enough");
    }

    #[test]
    fn it_is_never_wider_than_it_may_be_and_never_closed(
        caps in prop::collection::vec(1_u32..3_000, 1..8),
        takes in 1_u64..3_000,
        stuck in 0_u64..20,
        crowd in 0_u32..300,
    ) {
        let hosts = Hosts { takes: ms(takes), capacity: 5_000.0, stuck, crowd, is_down: false };
        let mut world = World::new(caps[0]);
        for cap in caps {
            world.window.set_cap(cap);
            world.run(hosts, ms(1_500));
            prop_assert!(world.window.limit() <= cap);
            prop_assert!(world.lowest >= cap.min(FLOOR));
        }
    }
}
