//! One attempt at a target, and whether another one is safe.

use futures_util::future::BoxFuture;
use remuda_model::run::Record;
use remuda_wire::message::run::Given;

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The record of the target, if there is no further attempt. Whoever counts attempts fills in
    /// `index`, `attempts` and `worker`.
    pub record: Record,
    /// Whether there may be a further one.
    pub again: Again,
}

/// Whether a target may be contacted again after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// No: it answered, or nothing would change, or the target may have acted upon the attempt.
    No,
    /// Yes: nothing of the command was sent.
    NothingSent,
    /// Yes: the command may be repeated without harm.
    Repeatable,
}

/// What contacts the targets of one run.
pub trait Contact: Send + Sync {
    /// Contacts a target once. Ends within the limits of the run; what the target does wrong is in
    /// the record, and so is a text that cannot be made of its template.
    ///
    /// Dropping the future breaks the attempt off at once. A panic ends only this target.
    fn attempt<'a>(&'a self, given: &'a Given) -> BoxFuture<'a, Attempt>;
}
