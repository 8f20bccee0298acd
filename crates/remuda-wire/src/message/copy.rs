//! The second copy of a fan-out run at another control node, its standby.
//!
//! The coordinator opens the stream and says which run ([`ToStandby::Open`]); the standby says what
//! it has ([`FromStandby::Has`]). Then the coordinator sends what is missing and what comes, and
//! asks from time to time whether all of it is there ([`ToStandby::Sync`]).

use remuda_model::{Failure, RunId};
use serde::{Deserialize, Serialize};

/// From the coordinator.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToStandby {
    /// The first message.
    Open {
        /// Which run.
        run: RunId,
        /// Tells it from an earlier or later one of the same name.
        incarnation: u64,
    },
    /// More of a part that only grows.
    Append {
        /// Of this part.
        part: Growing,
        /// From this byte on; what was there from here on is cut off.
        offset: u64,
        /// What is there now.
        bytes: Vec<u8>,
    },
    /// All of a part that is written whole.
    Replace {
        /// This part.
        part: Whole,
        /// What is there now.
        bytes: Vec<u8>,
    },
    /// Say [`FromStandby::Kept`] with this number when everything before this is on disk.
    Sync(u64),
}

impl std::fmt::Debug for ToStandby {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open { run, .. } => f.debug_tuple("Open").field(run).finish(),
            Self::Append { part, offset, bytes } => {
                f.debug_tuple("Append").field(part).field(offset).field(&bytes.len()).finish()
            }
            Self::Replace { part, bytes } => {
                f.debug_tuple("Replace").field(part).field(&bytes.len()).finish()
            }
            Self::Sync(number) => f.debug_tuple("Sync").field(number).finish(),
        }
    }
}

/// A part that only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Growing {
    /// The targets, one a line.
    Targets,
    /// Which contacts were given to workers.
    Given,
    /// The records.
    Records,
}

impl Growing {
    /// All of them, in the order of [`FromStandby::Has`].
    pub const ALL: [Self; 3] = [Self::Targets, Self::Given, Self::Records];
}

/// A part that is written whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Whole {
    /// What nobody may read.
    Secrets,
    /// What the run is and where it stands.
    State,
}

/// From the standby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromStandby {
    /// The length and the CRC-32C of each of [`Growing::ALL`].
    Has([(u64, u32); 3]),
    /// Everything before this [`ToStandby::Sync`] is on disk.
    Kept(u64),
    /// It keeps no copy of this run.
    Failed(Failure),
    /// It is at work on what was asked.
    Busy,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_never_change() {
        let run: RunId = "r1".parse().expect("a run");
        let open = ToStandby::Open { run, incarnation: 300 };
        assert_eq!(crate::encode(&open)[..], b"\x00\x02r1\xac\x02"[..]);
        let append =
            ToStandby::Append { part: Growing::Records, offset: 300, bytes: b"ab".to_vec() };
        assert_eq!(crate::encode(&append)[..], b"\x01\x02\xac\x02\x02ab"[..]);
        let replace = ToStandby::Replace { part: Whole::State, bytes: b"{}".to_vec() };
        assert_eq!(crate::encode(&replace)[..], b"\x02\x01\x02{}"[..]);
        assert_eq!(crate::encode(&ToStandby::Sync(300))[..], [3, 0xac, 2]);
        let has = FromStandby::Has([(1, 2), (3, 4), (300, 300)]);
        assert_eq!(crate::encode(&has)[..], [0, 1, 2, 3, 4, 0xac, 2, 0xac, 2]);
        assert_eq!(crate::encode(&FromStandby::Kept(7))[..], [1, 7]);
        assert_eq!(crate::encode(&FromStandby::Busy)[..], [3]);
    }

    #[test]
    fn contents_are_not_shown() {
        let replace = ToStandby::Replace { part: Whole::Secrets, bytes: b"hush".to_vec() };
        assert_eq!(format!("{replace:?}"), "Replace(Secrets, 4)");
    }
}
