//! Starts and ends of tasks that are on disk as events before the records of the tasks say so.
//!
//! Events and records are written by two actors. A mark goes to the disk with the event, in one
//! transaction, and is struck with the record that says the same. Without it, the boot after a crash
//! between the two would report the event once more, under another number (the outbox pattern).

use remuda_model::{EventBody, TaskId};
use remuda_wire::encode;

use crate::{
    spool::Written,
    store::{Change, Loaded, Table},
    tasks::Stored,
};

const START: &str = "told-start/";
const END: &str = "told-end/";

/// The mark that belongs to an event.
pub(crate) fn mark(body: &EventBody) -> Option<Change> {
    Written::of(body).map(|written| Change::meta(&key(&written), []))
}

/// Takes the mark away.
pub(crate) fn strike(written: &Written) -> Change {
    Change::Delete { table: Table::Meta, key: key(written).into_bytes() }
}

/// Takes all marks of a task away.
pub(crate) fn strike_all(task: &TaskId) -> [Change; 2] {
    [strike(&Written::Start(task.clone())), strike(&Written::End(task.clone()))]
}

fn key(written: &Written) -> String {
    match written {
        Written::Start(task) => format!("{START}{task}"),
        Written::End(task) => format!("{END}{task}"),
    }
}

/// Lets the records of the last boot say what the marks say. Gives what is to be written for that.
pub(crate) fn settle(loaded: &Loaded, tasks: &mut [Stored]) -> Vec<Change> {
    let mut changes = Vec::new();
    for (key, _) in &loaded.meta {
        let text = String::from_utf8_lossy(key);
        let (start, id) = match (text.strip_prefix(START), text.strip_prefix(END)) {
            (Some(id), _) => (true, id),
            (_, Some(id)) => (false, id),
            (None, None) => continue,
        };
        if let Some(task) = tasks.iter_mut().find(|task| task.record.id.as_str() == id) {
            task.start_reported |= start;
            task.reported |= !start && task.record.end.is_some();
            let (key, value) = (id.as_bytes().to_vec(), encode(task).to_vec());
            changes.push(Change::Put { table: Table::Tasks, key, value });
        }
        changes.push(Change::Delete { table: Table::Meta, key: key.clone() });
    }
    changes
}
