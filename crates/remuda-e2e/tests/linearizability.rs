//! The checker of histories: what it accepts and rejects, and what it says of real clusters.

use std::{collections::BTreeMap, path::PathBuf};

use remuda_e2e::{
    faults::{Options, Report, find, run},
    in_private_network,
    linear::{Model, Operation, check},
};
use todc_utils::{Action, History, Specification, WGLChecker};

/// A register with compare-and-set, which begins with 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Read,
    Write(u32),
    /// Sets the second value if it holds the first.
    Swap(u32, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Out {
    Value(u32),
    Written,
    Swapped(bool),
}

struct Register;

fn answer(state: u32, op: Op) -> (u32, Out) {
    match op {
        Op::Read => (state, Out::Value(state)),
        Op::Write(value) => (value, Out::Written),
        Op::Swap(old, new) if old == state => (new, Out::Swapped(true)),
        Op::Swap(..) => (state, Out::Swapped(false)),
    }
}

impl Model for Register {
    type State = u32;
    type Op = Op;
    type Out = Out;

    fn start() -> u32 {
        0
    }

    fn step(state: &u32, op: &Op, out: Option<&Out>) -> Option<u32> {
        let (after, given) = answer(*state, *op);
        out.is_none_or(|out| *out == given).then_some(after)
    }
}

type Step = Operation<Op, Out>;

/// A history of clients that do one thing after the other, each at one moment between call and
/// answer. Every value is written once. Some outcomes stay unknown; of those some never happen.
fn legal(rng: &mut fastrand::Rng, n_clients: u32, n_operations: usize, unknown: f64) -> Vec<Step> {
    let mut free_at = vec![0_u64; n_clients as usize];
    let mut planned = Vec::new();
    for number in 0..n_operations {
        let client = rng.usize(..free_at.len());
        let call = free_at[client] + rng.u64(1..100);
        let at = call + rng.u64(1..100);
        let end = at + rng.u64(1..100);
        free_at[client] = end;
        planned.push((at, client, call, end, number));
    }
    planned.sort_unstable();
    let (mut state, mut history) = (0, Vec::new());
    let mut next_client = n_clients;
    for (_, client, call, end, number) in planned {
        let value = u32::try_from(number).expect("few") + 1;
        let op = match rng.u32(..4) {
            0 => Op::Write(value),
            1 => Op::Swap(if rng.bool() { state } else { value }, value + 1_000_000),
            _ => Op::Read,
        };
        let is_unknown = rng.f64() < unknown;
        let client = u32::try_from(client).expect("few");
        if is_unknown && rng.bool() {
            history.push(Operation { client: next_client, call, op, answer: None });
            next_client += 1;
            continue;
        }
        let (after, out) = answer(state, op);
        state = after;
        let answer = (!is_unknown).then_some((end, out));
        history.push(Operation { client, call, op, answer });
    }
    rng.shuffle(&mut history);
    history
}

#[test]
fn legal_histories_are_accepted() {
    for seed in 0..1000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let n_clients = rng.u32(2..9);
        let n_operations = rng.usize(5..120);
        let history = legal(&mut rng, n_clients, n_operations, 0.05);
        let order = check::<Register>(&history);
        let order = order.unwrap_or_else(|violation| panic!("seed {seed}: {violation:?}"));
        // It is an order, of all that was answered, and it explains every answer.
        let mut state = 0;
        for index in &order {
            let Operation { op, answer, .. } = &history[*index];
            let out = answer.as_ref().map(|(_, out)| out);
            state = Register::step(&state, op, out).expect("explained");
        }
        let answered = |index: &usize| history[*index].answer.is_some();
        assert_eq!(
            order.iter().filter(|index| answered(index)).count(),
            (0..history.len()).filter(answered).count()
        );
        for (position, later) in order.iter().enumerate() {
            for earlier in &order[..position] {
                let end = history[*later].answer.map_or(u64::MAX, |(end, _)| end);
                assert!(history[*earlier].call <= end, "seed {seed}: order against time");
            }
        }
    }
}

/// Changes a read so that it sees a value that was overwritten before it began.
fn with_stale_read(history: &mut [Step]) -> bool {
    let end = |step: &Step| step.answer.map_or(u64::MAX, |(end, _)| end);
    let is_write = |step: &&Step| matches!(step.op, Op::Write(_)) && step.answer.is_some();
    let writes: Vec<Step> = history.iter().filter(is_write).cloned().collect();
    let is_read =
        |index: &usize| history[*index].op == Op::Read && history[*index].answer.is_some();
    let reads: Vec<usize> = (0..history.len()).filter(is_read).collect();
    for read in reads {
        for old in &writes {
            let overwritten =
                writes.iter().any(|new| end(old) < new.call && end(new) < history[read].call);
            if let (true, Op::Write(value)) = (overwritten, old.op) {
                let (at, _) = history[read].answer.expect("answered");
                history[read].answer = Some((at, Out::Value(value)));
                return true;
            }
        }
    }
    false
}

/// Exchanges what two reads saw, of which the first ended before the second value was written.
fn with_swapped_reads(history: &mut [Step]) -> bool {
    let written: BTreeMap<u32, u64> = history
        .iter()
        .filter_map(|step| match step.op {
            Op::Write(value) | Op::Swap(_, value) => Some((value, step.call)),
            Op::Read => None,
        })
        .collect();
    for first in 0..history.len() {
        for second in 0..history.len() {
            let (a, b) = (&history[first], &history[second]);
            if (a.op, b.op) != (Op::Read, Op::Read) {
                continue;
            }
            let (Some((a_end, a_seen)), Some((b_end, b_seen))) = (a.answer, b.answer) else {
                continue;
            };
            let Out::Value(value) = b_seen else { continue };
            if written.get(&value).is_some_and(|call| *call > a_end) {
                history[first].answer = Some((a_end, b_seen));
                history[second].answer = Some((b_end, a_seen));
                return true;
            }
        }
    }
    false
}

/// Adds a write that was acknowledged and a later read that sees what was there before.
fn with_lost_write(history: &mut Vec<Step>) -> bool {
    let last = history.iter().map(|step| step.answer.map_or(step.call, |(end, _)| end)).max();
    let last = last.unwrap_or(0);
    let read = |from: u64, seen| Operation {
        client: 900,
        call: last + from,
        op: Op::Read,
        answer: Some((last + from + 1, Out::Value(seen))),
    };
    let write = |from: u64, value| Operation {
        client: 900,
        call: last + from,
        op: Op::Write(value),
        answer: Some((last + from + 1, Out::Written)),
    };
    // What is unknown may still happen, but none of it writes these values.
    history.extend([write(1, 7_000_000), write(3, 8_000_000), read(5, 7_000_000)]);
    true
}

#[test]
fn mutated_histories_are_rejected() {
    let mut counts = [0; 3];
    for seed in 0.. {
        let mut rng = fastrand::Rng::with_seed(seed);
        let n_operations = rng.usize(20..100);
        let mut history = legal(&mut rng, 4, n_operations, 0.05);
        let kind = rng.usize(..3);
        let changed = match kind {
            0 => with_stale_read(&mut history),
            1 => with_swapped_reads(&mut history),
            _ => with_lost_write(&mut history),
        };
        if !changed || counts[kind] >= 350 {
            continue;
        }
        let violation = check::<Register>(&history);
        let violation = violation.expect_err(&format!("seed {seed}, mutation {kind}"));
        assert!(violation.prefix.len() < history.len());
        assert!(!violation.prefix.contains(&violation.stuck));
        counts[kind] += 1;
        if counts.iter().all(|count| *count >= 350) {
            break;
        }
    }
}

/// The same register for another checker, which has the answer in the operation.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Asked(Op, Option<Out>);

struct Oracle;

impl Specification for Oracle {
    type State = u32;
    type Operation = Asked;

    fn init() -> u32 {
        0
    }

    fn apply(asked: &Asked, state: &u32) -> (bool, u32) {
        let (after, out) = answer(*state, asked.0);
        (asked.1 == Some(out), after)
    }
}

#[test]
fn another_checker_agrees() {
    let mut verdicts = [0; 2];
    for seed in 0..3000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let n_clients = rng.u32(2..5);
        let n_operations = rng.usize(2..12);
        let mut history = legal(&mut rng, n_clients, n_operations, 0.0);
        // Some answers are as good as any.
        for step in &mut history {
            let (end, out) = step.answer.expect("known");
            if let (true, Out::Value(_)) = (rng.u32(..4) == 0, out) {
                step.answer = Some((end, Out::Value(rng.u32(..13))));
            }
            if let (true, Out::Swapped(done)) = (rng.u32(..6) == 0, out) {
                step.answer = Some((end, Out::Swapped(!done)));
            }
        }
        let mut actions = Vec::new();
        for step in &history {
            let (end, out) = step.answer.expect("known");
            let client = step.client as usize;
            actions.push((step.call, 0, client, Action::Call(Asked(step.op, None))));
            actions.push((end, 1, client, Action::Response(Asked(step.op, Some(out)))));
        }
        actions.sort_by_key(|(time, is_return, ..)| (*time, *is_return));
        let actions = actions.into_iter().map(|(.., client, action)| (client, action)).collect();
        let theirs = WGLChecker::<Oracle>::is_linearizable(History::from_actions(actions));
        let ours = check::<Register>(&history).is_ok();
        assert_eq!(ours, theirs, "seed {seed}: {history:#?}");
        verdicts[usize::from(ours)] += 1;
    }
    assert!(verdicts.iter().all(|count| *count > 300), "{verdicts:?}");
}

/// Runs in a network of its own and reports on the last fault.
fn outcome(names: &[&str], operations: u64) -> Report {
    let scenarios = names.iter().map(|name| find(name).expect("known")).collect();
    let evidence = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("linearizability");
    let options = Options { scenarios, rounds: 1, seed: 1, operations, evidence };
    let mut reports = in_private_network(|| run(&options, |_| {}));
    reports.pop().expect("one was asked for")
}

#[test]
fn the_control_state_is_linearizable_over_namespaces_that_part() {
    let report = outcome(&[], 1000);
    assert_eq!(report.failure, None);
    let round = &report.rounds[0];
    assert!(round.checked > 500 && round.acked > 100 && !round.faults.is_empty(), "{round:#?}");
}

#[test]
fn stale_reads_over_namespaces_that_part_are_found_out() {
    let report = outcome(&["stale-reads"], 0);
    let failure = report.failure.expect("stale reads are not linearizable");
    assert!(
        failure.contains("not linearizable") && failure.contains("nothing explains"),
        "{failure}"
    );
}
