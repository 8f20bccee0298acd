//! What a story says about the cluster: nothing acknowledged was lost, and there is one order.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::load::{Histories, Story};
use crate::linear::{Element, Op, Operation, Seen, Slot, check, settle, timeline};

/// How many operations of the longest order are told.
const TOLD: usize = 12;

/// Elements whose fate is known and different from what the last reads show.
pub(super) fn lost(histories: &Histories) -> Vec<String> {
    let mut lost = Vec::new();
    for (slot, history) in histories {
        let (mut added, mut maybe_removed, mut removed) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for operation in history {
            match (&operation.op, &operation.answer) {
                (Op::Add(element), Some(_)) => drop(added.insert(*element)),
                (Op::Remove(element), Some((_, Seen::Done))) => drop(removed.insert(*element)),
                (Op::Remove(element), None) => drop(maybe_removed.insert(*element)),
                _ => {}
            }
        }
        let Some(last) = last_read(history) else { continue };
        let kept =
            |element: &&Element| !removed.contains(*element) && !maybe_removed.contains(*element);
        let missing = added.iter().filter(kept).filter(|element| !last.contains(element));
        lost.extend(missing.map(|element| format!("slot {slot} lost {element}")));
        let back = removed.iter().filter(|element| last.contains(element));
        lost.extend(back.map(|element| format!("slot {slot} has {element} again")));
    }
    lost
}

fn last_read(history: &[Operation<Op, Seen>]) -> Option<&BTreeSet<Element>> {
    let reads = history.iter().filter_map(|operation| match &operation.answer {
        Some((_, Seen::All(seen))) => Some((operation.call, seen)),
        _ => None,
    });
    reads.max_by_key(|(call, _)| *call).map(|(_, seen)| seen)
}

/// Checks that each slot's history has an order. Returns the number of operations.
///
/// # Errors
///
/// What is wrong, with the files in `dir` that show it.
pub fn judge(story: &Story, dir: &Path) -> Result<u64, String> {
    let lost = lost(&story.histories);
    if !lost.is_empty() {
        return Err(format!("{} acknowledged changes lost: {}", lost.len(), lost.join(", ")));
    }
    let mut n_checked = 0;
    for (slot, history) in &story.histories {
        n_checked += u64::try_from(history.len()).unwrap_or(u64::MAX);
        let history = settle(history.clone());
        if let Err(violation) = check::<Slot>(&history) {
            let shown = write(dir, *slot, &history, &timeline(&history, &violation));
            let n_placed = violation.prefix.len();
            let skipped = n_placed.saturating_sub(TOLD);
            let prefix: Vec<String> =
                violation.prefix.iter().skip(skipped).map(|index| told(&history[*index])).collect();
            return Err(format!(
                "slot {slot} is not linearizable: of {} operations {n_placed} have an order, which \
                 ends with\n  {}\nand nothing explains\n  {}\nsee {}",
                history.len(),
                prefix.join("\n  "),
                told(&history[violation.stuck]),
                shown.display(),
            ));
        }
    }
    Ok(n_checked)
}

fn told(operation: &Operation<Op, Seen>) -> String {
    let Operation { client, call, op, answer } = operation;
    match answer {
        Some((end, seen)) => {
            format!("client {client}, {} to {} µs: {op:?} → {seen:?}", call / 1000, end / 1000)
        }
        None => format!("client {client}, from {} µs: {op:?}, outcome unknown", call / 1000),
    }
}

/// Writes the history as lines of JSON and its picture; returns the path of the latter.
fn write(dir: &Path, slot: u32, history: &[Operation<Op, Seen>], picture: &str) -> PathBuf {
    let lines: Vec<String> = history
        .iter()
        .map(|operation| {
            let (ret, out) = match &operation.answer {
                Some((end, seen)) => (Some(end), Some(format!("{seen:?}"))),
                None => (None, None),
            };
            let line = serde_json::json!({
                "client": operation.client, "key": slot, "op": format!("{:?}", operation.op),
                "call": operation.call, "ret": ret, "out": out,
            });
            line.to_string()
        })
        .collect();
    let path = dir.join(format!("slot-{slot}.svg"));
    let written = fs::create_dir_all(dir)
        .and_then(|()| fs::write(dir.join(format!("slot-{slot}.jsonl")), lines.join("\n") + "\n"))
        .and_then(|()| fs::write(&path, picture));
    written.unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(operations: &[(Op, Option<Seen>)]) -> Story {
        let history = operations
            .iter()
            .zip(0..)
            .map(|((op, seen), at)| Operation {
                client: 1,
                call: 10 * at,
                op: op.clone(),
                answer: seen.clone().map(|seen| (10 * at + 5, seen)),
            })
            .collect();
        Story { histories: [(0, history)].into(), ..Story::default() }
    }

    #[test]
    fn what_was_acknowledged_and_is_missing_is_lost() {
        let all = |elements: &[Element]| Some(Seen::All(elements.iter().copied().collect()));
        let dir = tempfile::tempdir().expect("a folder");
        let add = |element| (Op::Add(element), Some(Seen::Done));
        let good = story(&[add(1), (Op::Add(2), None), (Op::Read, all(&[1]))]);
        assert_eq!(judge(&good, dir.path()), Ok(3));
        let bad = story(&[add(1), add(2), (Op::Read, all(&[1]))]);
        assert!(judge(&bad, dir.path()).expect_err("lost").contains("slot 0 lost 2"));
        let back = story(&[add(1), (Op::Remove(1), Some(Seen::Done)), (Op::Read, all(&[1]))]);
        assert!(judge(&back, dir.path()).expect_err("back").contains("has 1 again"));
        // Seen in between, and then right again: only the order tells.
        let stale = story(&[add(1), (Op::Read, all(&[])), (Op::Read, all(&[1]))]);
        let words = judge(&stale, dir.path()).expect_err("stale");
        assert!(words.contains("not linearizable") && words.contains("slot-0.svg"), "{words}");
        assert!(dir.path().join("slot-0.svg").exists() && dir.path().join("slot-0.jsonl").exists());
    }
}
