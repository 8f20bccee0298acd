//! Counters that must not be mixed up, each with a type of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The value after this one.
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter! {
    /// Counts the boots of one node; a message from an older generation is recognisable as such.
    Generation
}
counter! {
    /// Counts ownership: the log index that made the present list of active control nodes.
    ///
    /// A worker obeys only the highest epoch it has seen.
    Epoch
}
counter! {
    /// The log index of the last change to an object.
    Revision
}
