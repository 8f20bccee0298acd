//! The object that the control state is checked as: a slot that holds API tokens.
//!
//! Tokens with a common beginning of their names make a slot. Each is added once and taken away at
//! most once: of two clients that revoke it, one succeeds and the other is told that there is none,
//! as with compare-and-set. A read sees all of the slot.

use std::collections::BTreeSet;

use super::{Model, Operation};

/// A token, by a number that is used once.
pub type Element = u32;

/// What a slot can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Adds an element that was never there.
    Add(Element),
    /// Takes an element away.
    Remove(Element),
    /// Looks.
    Read,
}

/// What a slot answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is done.
    Done,
    /// There was none.
    Missing,
    /// What it holds.
    All(BTreeSet<Element>),
}

/// A slot.
#[derive(Clone, Copy, Debug)]
pub struct Slot;

impl Model for Slot {
    type State = BTreeSet<Element>;
    type Op = Op;
    type Out = Seen;

    fn start() -> Self::State {
        BTreeSet::new()
    }

    fn step(state: &Self::State, op: &Op, out: Option<&Seen>) -> Option<Self::State> {
        let changed = |change: &dyn Fn(&mut Self::State) -> bool| {
            let mut after = state.clone();
            change(&mut after).then_some(after)
        };
        match (op, out) {
            (Op::Add(element), None | Some(Seen::Done)) => changed(&|after| after.insert(*element)),
            (Op::Remove(element), None | Some(Seen::Done)) => {
                changed(&|after| after.remove(element))
            }
            (Op::Remove(element), Some(Seen::Missing)) => {
                (!state.contains(element)).then(|| state.clone())
            }
            (Op::Read, Some(Seen::All(seen))) => (seen == state).then(|| state.clone()),
            (Op::Read, None) => Some(state.clone()),
            _ => None,
        }
    }
}

/// Leaves out operations of unknown outcome that explain nothing: additions of what nobody saw and
/// nobody took away, removals of what nobody missed afterwards, and reads. When the history has an
/// order with them, it has one without, and the search has less to try.
pub fn settle(history: Vec<Operation<Op, Seen>>) -> Vec<Operation<Op, Seen>> {
    let explains: Vec<bool> = history
        .iter()
        .map(|asked| match (&asked.op, &asked.answer) {
            (_, Some(_)) => true,
            (Op::Add(element), None) => history.iter().any(|other| notices(other, *element)),
            (Op::Remove(element), None) => {
                history.iter().any(|other| misses(other, *element, asked.call))
            }
            (Op::Read, None) => false,
        })
        .collect();
    let mut explains = explains.into_iter();
    history.into_iter().filter(|_| explains.next() == Some(true)).collect()
}

fn notices(operation: &Operation<Op, Seen>, element: Element) -> bool {
    match (&operation.op, &operation.answer) {
        (Op::Read, Some((_, Seen::All(seen)))) => seen.contains(&element),
        (Op::Remove(removed), Some((_, Seen::Done))) => *removed == element,
        _ => false,
    }
}

fn misses(operation: &Operation<Op, Seen>, element: Element, since: u64) -> bool {
    match (&operation.op, &operation.answer) {
        (Op::Read, Some((end, Seen::All(seen)))) => *end >= since && !seen.contains(&element),
        (Op::Remove(removed), Some((end, Seen::Missing))) => *end >= since && *removed == element,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check, *};

    fn op(client: u32, call: u64, op: Op, answer: Option<(u64, Seen)>) -> Operation<Op, Seen> {
        Operation { client, call, op, answer }
    }

    fn all(elements: &[Element]) -> Seen {
        Seen::All(elements.iter().copied().collect())
    }

    #[test]
    fn an_acknowledged_addition_is_seen_by_whoever_asks_afterwards() {
        let add = op(1, 0, Op::Add(7), Some((10, Seen::Done)));
        let late = |seen| op(2, 20, Op::Read, Some((30, seen)));
        assert_eq!(check::<Slot>(&[add.clone(), late(all(&[7]))]), Ok(vec![0, 1]));
        let violation = check::<Slot>(&[add.clone(), late(all(&[]))]).expect_err("stale");
        assert_eq!((violation.prefix, violation.stuck), (vec![0], 1));
        // While it is under way, both may be seen; but nobody looks back.
        let early = |from, seen| op(3, from, Op::Read, Some((from + 1, seen)));
        assert!(check::<Slot>(&[add.clone(), early(4, all(&[])), early(6, all(&[7]))]).is_ok());
        assert!(check::<Slot>(&[add, early(4, all(&[7])), early(6, all(&[]))]).is_err());
    }

    #[test]
    fn one_of_two_takes_an_element_away() {
        let add = op(1, 0, Op::Add(1), Some((1, Seen::Done)));
        let take = |client, out| op(client, 2, Op::Remove(1), Some((9, out)));
        let both = |a, b| check::<Slot>(&[add.clone(), take(1, a), take(2, b)]);
        assert!(both(Seen::Done, Seen::Missing).is_ok());
        assert!(both(Seen::Done, Seen::Done).is_err());
        assert!(both(Seen::Missing, Seen::Missing).is_err());
    }

    #[test]
    fn what_nobody_knows_may_come_late_or_never() {
        let add = op(1, 0, Op::Add(1), None);
        let read = |from, seen| op(2, from, Op::Read, Some((from + 1, seen)));
        for seen in [vec![all(&[]), all(&[1])], vec![all(&[1])], vec![all(&[])]] {
            let reads = seen.into_iter().zip(1..).map(|(seen, at)| read(10 * at, seen));
            let history: Vec<_> = [add.clone()].into_iter().chain(reads).collect();
            assert!(check::<Slot>(&history).is_ok(), "{history:?}");
            assert!(check::<Slot>(&settle(history)).is_ok());
        }
        // But not before it was asked, and not twice.
        let late = op(1, 50, Op::Add(1), None);
        assert!(check::<Slot>(&[read(10, all(&[1])), late]).is_err());
        let twice = [add, read(10, all(&[1])), read(20, all(&[])), read(30, all(&[1]))];
        assert!(check::<Slot>(&twice).is_err());
    }

    #[test]
    fn only_what_explains_something_is_kept() {
        let unknown = |number: u32, what| op(number, u64::from(number), what, None);
        let history = vec![
            unknown(1, Op::Add(1)),
            unknown(2, Op::Add(2)),
            unknown(3, Op::Remove(1)),
            unknown(4, Op::Remove(2)),
            unknown(5, Op::Read),
            op(6, 6, Op::Read, Some((7, all(&[1, 2])))),
            op(6, 8, Op::Read, Some((9, all(&[1])))),
        ];
        let kept: Vec<_> = settle(history).into_iter().map(|operation| operation.client).collect();
        assert_eq!(kept, [1, 2, 4, 6, 6]);
    }
}
