//! Fan-out runs of another control node.

use remuda_model::{Failure, RunId, run::Record};
use serde::{Deserialize, Serialize};

/// The first message: what is wanted of the control node that coordinates a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// All runs that it coordinates.
    List,
    /// One of them.
    Show(RunId),
    /// Begin no more targets.
    Pause(RunId),
    /// Go on.
    Resume(RunId),
    /// Give up what has no record.
    Cancel(RunId),
    /// Forget a run that has ended.
    Remove(RunId),
    /// Records, as they are and as they come.
    Records {
        /// Of this run.
        run: RunId,
        /// Which ones: the filter as JSON.
        filter: Vec<u8>,
        /// Until the run has ended.
        follow: bool,
    },
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The [`RunView`](remuda_model::run::RunView)s as a JSON array: of all, of the one, or of the
    /// one after its change.
    Views(Vec<u8>),
    /// Some records, each with its host.
    Records(Vec<Hosted>),
    /// That was all.
    End,
    /// It cannot be answered.
    Failed(Failure),
}

/// A record and whom it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosted {
    /// The target's host.
    pub host: String,
    /// The target's values of `{{vars.NAME}}`.
    pub vars: Vec<(String, String)>,
    /// What became of it.
    pub record: Record,
}

#[cfg(test)]
mod tests {
    use remuda_model::run::{Outcome, Trouble, TroubleKind};

    use super::*;

    #[test]
    fn the_bytes_never_change() {
        let run: RunId = "r1".parse().expect("a run");
        assert_eq!(crate::encode(&Call::List)[..], [0]);
        assert_eq!(crate::encode(&Call::Show(run.clone()))[..], b"\x01\x02r1"[..]);
        assert_eq!(crate::encode(&Call::Pause(run.clone()))[..], b"\x02\x02r1"[..]);
        assert_eq!(crate::encode(&Call::Resume(run.clone()))[..], b"\x03\x02r1"[..]);
        assert_eq!(crate::encode(&Call::Cancel(run.clone()))[..], b"\x04\x02r1"[..]);
        assert_eq!(crate::encode(&Call::Remove(run.clone()))[..], b"\x05\x02r1"[..]);
        let records = Call::Records { run, filter: b"{}".to_vec(), follow: true };
        assert_eq!(crate::encode(&records)[..], b"\x06\x02r1\x02{}\x01"[..]);
        assert_eq!(crate::encode(&Answer::Views(b"[]".to_vec()))[..], b"\0\x02[]"[..]);
        let trouble = Trouble::new(TroubleKind::Dns, "");
        let record = Record::without_answer(0, Outcome::Ok, trouble);
        let hosted = Hosted { host: "h".to_owned(), vars: Vec::new(), record };
        let golden = [1, 1, 1, b'h', 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(crate::encode(&Answer::Records(vec![hosted]))[..], golden);
        assert_eq!(crate::encode(&Answer::End)[..], [2]);
    }
}
