//! The second copy of a run, seen by its coordinator: kept up to date at a standby, another control
//! node that takes over when this one is lost.
//!
//! What is not in both copies is shown to nobody, so that no answer that somebody saw is lost with
//! one machine. Who keeps a run stands in the cluster's state; the coordinator may go on alone, and
//! the standby may take over, only by a change of it, of which one is made. This is the scheme of
//! PacificA (Lin et al., 2008).

use std::{collections::BTreeSet, io, time::Duration};

use remuda_link::{Priority, RecvHalf, SendHalf, StreamError};
use remuda_model::{ErrorKind, Failure, NodeId, RunId};
use remuda_runtime::{Backoff, blocking};
use remuda_state::{Change, ClusterState, RunRecord};
use remuda_wire::message::{
    COPY,
    copy::{FromStandby, Growing, ToStandby, Whole},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::dir::RunDir;
use crate::{Control, control::seed};

/// How long a standby may take to answer, and a message to be sent.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a standby may be away before the run goes on without it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a change of who keeps the run may take.
const CHANGE: Duration = Duration::from_secs(5);
/// How often another standby is looked for.
const LOOK: Duration = Duration::from_secs(5);
/// The longest message of a standby.
const MAX_MESSAGE: usize = 64 << 10;
/// The level from which on the state says who keeps a run.
const LEVEL: u16 = 2;

/// How much of a run is on a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// How often was written where it stands, since this start.
    pub(super) saves: u64,
    /// Bytes of contacts that were given.
    pub(super) given: u64,
    /// Bytes of records.
    pub(super) records: u64,
}

impl Kept {
    /// Whether all of `other` is there.
    fn covers(self, other: Self) -> bool {
        self.saves >= other.saves && self.given >= other.given && self.records >= other.records
    }
}

/// Where the second copy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Whether there is one is not known yet.
    Unknown,
    /// There is none: what is on this node's disk counts.
    Alone,
    /// One is made, and has so much: what both have counts, as it may be the run's already.
    Making(Kept),
    /// There is one, and it has so much: what both have counts.
    With(Kept),
    /// Another control node carries the run out.
    Displaced,
}

/// What the actor of a run knows of the second copy.
#[derive(Debug)]
pub(super) struct Second {
    here: watch::Sender<Kept>,
    standing: watch::Receiver<Standing>,
}

impl Second {
    /// So much is on this node's disk now.
    pub(super) fn has(&self, change: impl FnOnce(&mut Kept)) {
        self.here.send_modify(change);
    }

    /// How many bytes of records count.
    pub(super) fn records(&self) -> u64 {
        let here = self.here.borrow().records;
        match *self.standing.borrow() {
            Standing::Alone => here,
            Standing::Making(there) | Standing::With(there) => there.records.min(here),
            Standing::Unknown | Standing::Displaced => 0,
        }
    }

    /// Whether all that is on this node's disk counts.
    pub(super) fn has_all(&self) -> bool {
        let here = *self.here.borrow();
        match *self.standing.borrow() {
            Standing::Alone => true,
            Standing::Making(there) | Standing::With(there) => there.covers(here),
            Standing::Unknown | Standing::Displaced => false,
        }
    }

    /// Whether another control node carries the run out.
    pub(super) fn is_displaced(&self) -> bool {
        *self.standing.borrow() == Standing::Displaced
    }

    /// Whether it is known where the second copy stands.
    pub(super) fn is_settled(&self) -> bool {
        !matches!(*self.standing.borrow(), Standing::Unknown | Standing::Making(_))
    }

    /// Waits until something about it changes.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub(super) async fn changed(&mut self) {
        if self.standing.changed().await.is_err() {
            // The node shuts down.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until all that is on this node's disk counts. Whether that came in time.
    pub(super) async fn all_counts(&mut self, limit: Duration) -> bool {
        let waited = async {
            while !self.has_all() {
                self.changed().await;
            }
        };
        timeout(limit, waited).await.is_ok()
    }

    /// Waits until it is known where the second copy stands.
    pub(super) async fn settled(&mut self) {
        while !self.is_settled() {
            self.changed().await;
        }
    }
}

/// A second copy and what keeps it, for a run that begins or is taken up.
pub(super) fn second(
    control: Control,
    run: RunId,
    created_ms: u64,
    dir: RunDir,
    here: Kept,
) -> (Second, Keeper) {
    let (here, of) = watch::channel(here);
    let (standing, seen) = watch::channel(Standing::Unknown);
    let keeper = Keeper { control, run, created_ms, dir, here: of, standing };
    (Second { here, standing: seen }, keeper)
}

/// Keeps the second copy of a run, until its [`Second`] is dropped.
pub(super) struct Keeper {
    control: Control,
    run: RunId,
    created_ms: u64,
    dir: RunDir,
    here: watch::Receiver<Kept>,
    standing: watch::Sender<Standing>,
}

/// Why copying stopped.
enum Broken {
    /// The standby is lost, or keeps no copy.
    Lost(Failure),
    /// The files here cannot be read.
    Files(io::Error),
    /// The state says something else than before, or may.
    Moved,
    /// The run has ended, or the node shuts down.
    Over,
}

impl From<StreamError> for Broken {
    fn from(error: StreamError) -> Self {
        Self::Lost(Failure::new(ErrorKind::Unavailable, error.to_string()))
    }
}

impl Keeper {
    /// Keeps it. A run of an earlier start is not carried out before it is known that nobody else
    /// does.
    pub(super) async fn keep(mut self, is_new: bool) {
        let (base, cap) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut backoff = Backoff::new(base, cap, seed());
        if !is_new {
            while self.control.catch_up(CHANGE).await.is_err() {
                if self.pause(backoff.next_delay()).await.is_err() {
                    return;
                }
            }
        }
        let mut refused = BTreeSet::new();
        let mut away: Option<Instant> = None;
        loop {
            let record = self.record();
            let (standby, revision) = match &record {
                Some(record) if record.coordinator != self.control.shared.me => {
                    self.standing.send_replace(Standing::Displaced);
                    return;
                }
                Some(record) => (record.standby.clone(), Some(record.revision)),
                None => (None, None),
            };
            let broken = match standby {
                Some(standby) => {
                    let there = match *self.standing.borrow() {
                        Standing::With(there) | Standing::Making(there) => there,
                        _ => Kept::default(),
                    };
                    self.standing.send_replace(Standing::With(there));
                    let began = Instant::now();
                    let broken = self.copy(&standby, None).await;
                    // Whoever was well for a while may be away anew.
                    let since = match away {
                        Some(since) if began.elapsed() < PATIENCE => since,
                        _ => {
                            backoff.reset();
                            Instant::now()
                        }
                    };
                    away = Some(since);
                    let is_lost = matches!(broken, Broken::Lost(_));
                    if is_lost && since.elapsed() >= PATIENCE {
                        let change = self.put(None, revision);
                        if self.control.propose(change, CHANGE).await.is_ok() {
                            tracing::info!(run = %self.run, %standby, "a run goes on without its second copy");
                            refused.insert(standby);
                            self.standing.send_replace(Standing::Alone);
                        }
                    }
                    broken
                }
                None => match self.candidate(&refused) {
                    Some(standby) => {
                        let broken = self.copy(&standby, Some(revision)).await;
                        if let Broken::Lost(failure) = &broken {
                            tracing::warn!(run = %self.run, %standby, %failure, "no second copy of a run there");
                            refused.insert(standby);
                            self.standing.send_replace(Standing::Alone);
                        }
                        broken
                    }
                    None => {
                        self.standing.send_replace(Standing::Alone);
                        if self.pause(LOOK.mul_f64(0.5 + fastrand::f64())).await.is_err() {
                            return;
                        }
                        refused.clear();
                        continue;
                    }
                },
            };
            match broken {
                Broken::Over => return,
                Broken::Moved => {
                    // A change may have been made of which nothing was heard.
                    while self.control.catch_up(CHANGE).await.is_err() {
                        if self.pause(backoff.next_delay()).await.is_err() {
                            return;
                        }
                    }
                }
                Broken::Files(error) => {
                    tracing::warn!(run = %self.run, %error, "a run cannot be copied");
                }
                Broken::Lost(_) => {}
            }
            if self.pause(backoff.next_delay()).await.is_err() {
                return;
            }
        }
    }

    /// Sleeps, unless the run is over.
    async fn pause(&mut self, delay: Duration) -> Result<(), Broken> {
        let stop = self.control.shared.supervisor.token();
        tokio::select! {
            () = sleep(delay) => Ok(()),
            () = closed(&mut self.here) => Err(Broken::Over),
            () = stop.cancelled() => Err(Broken::Over),
        }
    }

    fn record(&self) -> Option<RunRecord> {
        self.control.shared.replica.state().run(&self.run).cloned()
    }

    fn put(&self, standby: Option<NodeId>, if_revision: Option<remuda_model::Revision>) -> Change {
        let (run, coordinator) = (self.run.clone(), self.control.shared.me.clone());
        Change::PutRun { run, coordinator, standby, if_revision }
    }

    /// A control node that may become the standby.
    fn candidate(&self, refused: &BTreeSet<NodeId>) -> Option<NodeId> {
        let state = self.control.shared.replica.state();
        if state.level() < LEVEL {
            return None;
        }
        let linked = self.control.shared.peers.linked();
        let me = &self.control.shared.me;
        let able: Vec<NodeId> = state
            .controls()
            .into_iter()
            .filter(|node| node != me && linked.contains(node) && !refused.contains(node))
            .collect();
        fastrand::choice(able)
    }

    /// Copies, and goes on copying what comes. A new standby is made the run's when it has
    /// everything; `new` is the revision at which the run had none.
    async fn copy(
        &mut self,
        standby: &NodeId,
        mut new: Option<Option<remuda_model::Revision>>,
    ) -> Broken {
        let opened = async {
            let link = self.control.shared.peers.link_to(standby)?;
            let stream = link.open(COPY, Priority::Bulk).await.ok()?;
            Some(stream.split())
        };
        let opened = timeout(ANSWER, opened).await.ok().flatten();
        let Some((mut send, mut recv)) = opened else {
            let text = format!("control node `{standby}` cannot be reached");
            return Broken::Lost(Failure::new(ErrorKind::Unavailable, text));
        };
        let mut sent = match self.begin(&mut send, &mut recv).await {
            Ok(sent) => sent,
            Err(broken) => return broken,
        };
        let mut states = self.control.shared.replica.watch_state();
        let mut number = 0;
        loop {
            number += 1;
            let there = match self.bring(&mut send, &mut recv, &mut sent, number).await {
                Ok(there) => there,
                Err(broken) => return broken,
            };
            match new {
                None => drop(self.standing.send_replace(Standing::With(there))),
                // From now on nothing is shown that it lacks. What was shown before comes with the
                // next round.
                Some(_) if number == 1 => {
                    self.standing.send_replace(Standing::Making(there));
                    continue;
                }
                Some(revision) => {
                    self.standing.send_replace(Standing::Making(there));
                    let change = self.put(Some(standby.clone()), revision);
                    match self.control.propose(change, CHANGE).await {
                        Ok(_) => drop(self.standing.send_replace(Standing::With(there))),
                        Err(failure) if failure.kind == ErrorKind::NoCapacity => {
                            return Broken::Lost(failure);
                        }
                        Err(_) => return Broken::Moved,
                    }
                    new = None;
                }
            }
            // Until there is more.
            while there.covers(*self.here.borrow()) {
                let is_mine = |state: &ClusterState| {
                    state.run(&self.run).is_some_and(|record| {
                        record.coordinator == self.control.shared.me
                            && record.standby.as_ref() == Some(standby)
                    })
                };
                if !is_mine(&states.borrow_and_update()) {
                    return Broken::Moved;
                }
                tokio::select! {
                    changed = self.here.changed() => if changed.is_err() {
                        return Broken::Over;
                    },
                    _ = states.changed() => {}
                    said = recv.recv::<FromStandby>(MAX_MESSAGE) => return match said {
                        Ok(Some(FromStandby::Failed(failure))) => Broken::Lost(failure),
                        Ok(_) => StreamError::Truncated.into(),
                        Err(error) => error.into(),
                    },
                }
            }
        }
    }

    /// Says which run it is. Returns how much of each growing file the standby has.
    async fn begin(&self, send: &mut SendHalf, recv: &mut RecvHalf) -> Result<Sent, Broken> {
        let open = ToStandby::Open { run: self.run.clone(), created_ms: self.created_ms };
        deliver(send, &open).await?;
        let there = match hear(recv).await? {
            FromStandby::Has(there) => there,
            FromStandby::Failed(failure) => return Err(Broken::Lost(failure)),
            FromStandby::Kept(_) => return Err(StreamError::Truncated.into()),
        };
        let dir = self.dir.clone();
        let checked = blocking(move || {
            let mut sent = Sent::default();
            for (part, (length, sum)) in Growing::ALL.into_iter().zip(there) {
                if dir.check(part, length)? == Some(sum) {
                    *sent.of(part) = length;
                }
            }
            Ok(sent)
        });
        checked
            .await
            .map_err(|error| Broken::Files(io::Error::other(error)))?
            .map_err(Broken::Files)
    }

    /// Sends what is missing, and waits until it is kept.
    async fn bring(
        &mut self,
        send: &mut SendHalf,
        recv: &mut RecvHalf,
        sent: &mut Sent,
        number: u64,
    ) -> Result<Kept, Broken> {
        // In this order: what stands in the file of the state is true of the records that are there
        // when it was read, and these go first.
        let saves = self.here.borrow().saves;
        let state =
            if sent.saves == Some(saves) { None } else { Some(self.whole(Whole::State).await?) };
        let mut here = *self.here.borrow_and_update();
        here.saves = saves;
        let targets = if sent.saves.is_none() { self.length(Growing::Targets).await? } else { 0 };
        for (part, end) in [
            (Growing::Targets, targets),
            (Growing::Given, here.given),
            (Growing::Records, here.records),
        ] {
            let mut offset = *sent.of(part);
            while offset < end {
                let dir = self.dir.clone();
                let read = blocking(move || dir.piece(part, offset, end)).await;
                let read = read.map_err(|error| Broken::Files(io::Error::other(error)))?;
                let bytes = read.map_err(Broken::Files)?;
                let length = bytes.len() as u64;
                deliver(send, &ToStandby::Append { part, offset, bytes }).await?;
                offset += length;
            }
            *sent.of(part) = offset.max(*sent.of(part));
        }
        if let Some(bytes) = state {
            if sent.saves.is_none() {
                let secrets = self.whole(Whole::Secrets).await?;
                deliver(send, &ToStandby::Replace { part: Whole::Secrets, bytes: secrets }).await?;
            }
            deliver(send, &ToStandby::Replace { part: Whole::State, bytes }).await?;
            sent.saves = Some(saves);
        }
        deliver(send, &ToStandby::Sync(number)).await?;
        match hear(recv).await? {
            FromStandby::Kept(said) if said == number => Ok(here),
            FromStandby::Failed(failure) => Err(Broken::Lost(failure)),
            _ => Err(StreamError::Truncated.into()),
        }
    }

    async fn whole(&self, part: Whole) -> Result<Vec<u8>, Broken> {
        let dir = self.dir.clone();
        let read = blocking(move || dir.all_of(part)).await;
        read.map_err(|error| Broken::Files(io::Error::other(error)))?.map_err(Broken::Files)
    }

    async fn length(&self, part: Growing) -> Result<u64, Broken> {
        let dir = self.dir.clone();
        let read = blocking(move || dir.length(part)).await;
        read.map_err(|error| Broken::Files(io::Error::other(error)))?.map_err(Broken::Files)
    }
}

/// What a standby was sent.
#[derive(Debug, Default)]
struct Sent {
    targets: u64,
    given: u64,
    records: u64,
    /// Where the run stands, as of this many saves.
    saves: Option<u64>,
}

impl Sent {
    fn of(&mut self, part: Growing) -> &mut u64 {
        match part {
            Growing::Targets => &mut self.targets,
            Growing::Given => &mut self.given,
            Growing::Records => &mut self.records,
        }
    }
}

async fn deliver(send: &mut SendHalf, message: &ToStandby) -> Result<(), Broken> {
    match timeout(ANSWER, send.send(message)).await {
        Ok(sent) => Ok(sent?),
        Err(_elapsed) => Err(silent()),
    }
}

async fn hear(recv: &mut RecvHalf) -> Result<FromStandby, Broken> {
    match timeout(ANSWER, recv.recv(MAX_MESSAGE)).await {
        Ok(Ok(Some(said))) => Ok(said),
        Ok(Ok(None)) => Err(StreamError::Truncated.into()),
        Ok(Err(error)) => Err(error.into()),
        Err(_elapsed) => Err(silent()),
    }
}

fn silent() -> Broken {
    Broken::Lost(Failure::new(ErrorKind::TimedOut, "it does not answer"))
}

/// Waits until nobody knows more of the run here.
async fn closed(here: &mut watch::Receiver<Kept>) {
    while here.changed().await.is_ok() {}
}
