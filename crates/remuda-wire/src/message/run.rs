//! The share of a worker in a fan-out run, as one stream for as long as it takes part.
//!
//! The worker asks for targets ([`FromWorker::Want`]) and gets at most as many. Each target that it
//! got comes back as a record, unless the stream breaks: then the control node gives what has no
//! record to others, and the worker lets go of it.

use remuda_model::{Epoch, Failure, RunId, run::Record};
use serde::{Deserialize, Serialize};

/// From the control node that coordinates the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The first message.
    Open(Open),
    /// Contact these.
    Targets(Vec<Given>),
    /// How much of the run's width this worker has now.
    Share(Share),
    /// Begin with no more targets, or go on again.
    Hold(bool),
    /// No more targets come; say [`FromWorker::Finished`] when the last record is sent.
    Finish,
}

/// What the run is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Under which ownership.
    pub epoch: Epoch,
    /// Its id.
    pub run: RunId,
    /// The [`RunSpec`](remuda_model::run::RunSpec) as JSON.
    pub spec: Vec<u8>,
    /// The [`Secrets`](remuda_model::run::Secrets) as JSON.
    pub secrets: Vec<u8>,
    /// How much of its width this worker has at first.
    pub share: Share,
    /// Whether it is paused.
    pub hold: bool,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open")
            .field("epoch", &self.epoch)
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

/// How much of a run's width a worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// How many targets at a time.
    pub concurrency: u32,
    /// How many targets are begun in 1,000 seconds.
    pub rate_milli: Option<u64>,
}

/// One target for a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Its place in the run.
    pub index: u32,
    /// Its host: a name or an address.
    pub host: String,
    /// Its own values of `{{vars.NAME}}`.
    pub vars: Vec<(String, String)>,
}

/// From the worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWorker {
    /// It takes part.
    Welcome {
        /// How many targets it contacts at a time, over all runs.
        slots: u32,
    },
    /// It takes so many more targets.
    Want(u32),
    /// These targets are done.
    Records(Vec<Record>),
    /// How it goes; told from time to time.
    Pace {
        /// Targets at a time, at most.
        window: u32,
        /// Targets that are contacted now.
        in_flight: u32,
    },
    /// All that was given is done.
    Finished,
    /// It takes no part, or no more.
    Failed(Failure),
}

#[cfg(test)]
mod tests {
    use remuda_model::run::{Outcome, Trouble, TroubleKind};

    use super::*;

    #[test]
    fn the_bytes_never_change() {
        let share = Share { concurrency: 300, rate_milli: Some(5) };
        let run: RunId = "r1".parse().expect("a run");
        let (spec, secrets) = (b"{}".to_vec(), b"{}".to_vec());
        let open = Open { epoch: Epoch(5), run, spec, secrets, share, hold: true };
        let golden = b"\x00\x05\x02r1\x02{}\x02{}\xac\x02\x01\x05\x01";
        assert_eq!(crate::encode(&ToWorker::Open(open))[..], golden[..]);
        let vars = vec![("k".to_owned(), "v".to_owned())];
        let given = Given { index: 300, host: "h".to_owned(), vars };
        let targets = ToWorker::Targets(vec![given]);
        assert_eq!(crate::encode(&targets)[..], b"\x01\x01\xac\x02\x01h\x01\x01k\x01v"[..]);
        assert_eq!(crate::encode(&ToWorker::Share(share))[..], [2, 0xac, 2, 1, 5]);
        assert_eq!(crate::encode(&ToWorker::Hold(true))[..], [3, 1]);
        assert_eq!(crate::encode(&ToWorker::Finish)[..], [4]);
        assert_eq!(crate::encode(&FromWorker::Welcome { slots: 300 })[..], [0, 0xac, 2]);
        assert_eq!(crate::encode(&FromWorker::Want(7))[..], [1, 7]);
        let trouble = Trouble::new(TroubleKind::Status, "no");
        let mut record = Record::without_answer(1, Outcome::Unexpected, trouble);
        record.status = Some(404);
        record.worker = Some("w".parse().expect("a name"));
        record.body = b"b".to_vec();
        let golden = b"\x02\x01\x01\x01\x01\xa8\x06\x01\x0b\x02no\0\0\0\x01\x01w\0\0\x01b\0\0";
        assert_eq!(crate::encode(&FromWorker::Records(vec![record]))[..], golden[..]);
        let pace = FromWorker::Pace { window: 1, in_flight: 2 };
        assert_eq!(crate::encode(&pace)[..], [3, 1, 2]);
        assert_eq!(crate::encode(&FromWorker::Finished)[..], [4]);
    }

    #[test]
    fn secrets_are_not_shown() {
        let share = Share { concurrency: 1, rate_milli: None };
        let run: RunId = "r1".parse().expect("a run");
        let secrets = b"hush".to_vec();
        let open = Open { epoch: Epoch(1), run, spec: Vec::new(), secrets, share, hold: false };
        assert!(!format!("{open:?}").contains("104"), "{open:?}");
    }
}
