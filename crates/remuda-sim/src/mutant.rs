//! Deliberate mistakes, to prove that the checks find them.

use std::fmt;

/// One mistake, made at a seam of the simulator: none of this is in the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The disk says "durable" before it is.
    AckBeforeSync,
    /// A crash takes the last vote away.
    VoteNotSynced,
    /// A half-written record at the end of the log makes the whole log count as empty.
    TornTailIsEmptyLog,
    /// A crash takes the last snapshot away.
    SnapshotNotSynced,
    /// Whoever believes that it leads answers reads without asking a majority.
    ReadWithoutMajority,
    /// A change that is tried again is a new change.
    RetryUnderNewId,
    /// A request whose outcome is unknown is sent again.
    RequestSentTwice,
    /// A worker obeys whoever calls, whatever the epoch.
    StaleEpochObeyed,
    /// Events go to the owner before they are on the worker's disk.
    EventSentBeforeSync,
    /// An owner acknowledges events before it has shown them.
    EventAckedBeforeShown,
    /// A subscriber that comes back gets its last event again.
    ResumeAtIndex,
    /// The session that a newer one replaces goes on.
    TwoSessions,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::AckBeforeSync,
        Self::VoteNotSynced,
        Self::TornTailIsEmptyLog,
        Self::SnapshotNotSynced,
        Self::ReadWithoutMajority,
        Self::RetryUnderNewId,
        Self::RequestSentTwice,
        Self::StaleEpochObeyed,
        Self::EventSentBeforeSync,
        Self::EventAckedBeforeShown,
        Self::ResumeAtIndex,
        Self::TwoSessions,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::AckBeforeSync => "ack-before-sync",
            Self::VoteNotSynced => "vote-not-synced",
            Self::TornTailIsEmptyLog => "torn-tail-is-empty-log",
            Self::SnapshotNotSynced => "snapshot-not-synced",
            Self::ReadWithoutMajority => "read-without-majority",
            Self::RetryUnderNewId => "retry-under-new-id",
            Self::RequestSentTwice => "request-sent-twice",
            Self::StaleEpochObeyed => "stale-epoch-obeyed",
            Self::EventSentBeforeSync => "event-sent-before-sync",
            Self::EventAckedBeforeShown => "event-acked-before-shown",
            Self::ResumeAtIndex => "resume-at-index",
            Self::TwoSessions => "two-sessions",
        }
    }

    /// The mutant of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mutant| mutant.name() == name)
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
