//! What is wrong with a list of targets, and where.

use std::fmt;

use remuda_model::Failure;

/// How many wrong targets are named; the others are counted.
pub const MAX_SHOWN: usize = 20;

/// Where a target stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In a line of a text, from 1.
    Line(u64),
    /// In an argument, from 1.
    Argument(u64),
    /// In a list of JSON, from 1.
    Entry(u64),
    /// Nowhere in particular: it is about all of them.
    All,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(at) => write!(f, "line {at}: "),
            Self::Argument(at) => write!(f, "argument {at}: "),
            Self::Entry(at) => write!(f, "entry {at}: "),
            Self::All => Ok(()),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongTarget {
    /// Where.
    pub place: Place,
    /// What, for people.
    pub reason: String,
}

/// All that is wrong with a list of targets; of its texts at most [`MAX_SHOWN`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetErrors {
    /// The first ones.
    pub shown: Vec<WrongTarget>,
    /// How many there are.
    pub total: u64,
}

impl TargetErrors {
    pub(crate) fn add(&mut self, place: Place, reason: impl fmt::Display) {
        self.total += 1;
        if self.shown.len() < MAX_SHOWN {
            self.shown.push(WrongTarget { place, reason: reason.to_string() });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.total == 0
    }
}

impl fmt::Display for TargetErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ([only], 1) = (&*self.shown, self.total) {
            return write!(f, "a target is wrong: {}{}", only.place, only.reason);
        }
        write!(f, "{} targets are wrong", self.total)?;
        for wrong in &self.shown {
            write!(f, "\n  {}{}", wrong.place, wrong.reason)?;
        }
        match self.total - self.shown.len() as u64 {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl std::error::Error for TargetErrors {}

impl From<TargetErrors> for Failure {
    fn from(errors: TargetErrors) -> Self {
        Self::invalid(errors.to_string()).code("bad_targets")
    }
}
