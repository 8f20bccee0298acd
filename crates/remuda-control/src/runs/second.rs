//! The second copy of a run, seen by its coordinator: kept up to date at a standby, another control
//! node that takes over when this one is lost.
//!
//! What is not in both copies is shown to nobody, so that no answer that somebody saw is lost with
//! one machine. Who keeps a run stands in the cluster's state; the coordinator may go on alone, and
//! the standby may take over, only by a change of it, of which one is made. This is the scheme of
//! `PacificA` (Lin et al., 2008).

use std::{collections::BTreeSet, io, time::Duration};

use remuda_link::{Priority, RecvHalf, SendHalf, StreamError};
use remuda_model::{ErrorKind, Failure, NodeId, Revision, RunId};
use remuda_runtime::{Backoff, blocking};
use remuda_state::{Change, RunRecord};
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

/// How long a message may take to be sent, and a standby to say anything.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a standby may be at work on what was asked.
const WORK: Duration = Duration::from_mins(1);
/// How much is sent before it is asked whether all of it is there.
const ROUND: u64 = 16 << 20;
/// How long a standby may be away before the run goes on without it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a change of who keeps the run may take.
const CHANGE: Duration = Duration::from_secs(5);
/// How often another standby is looked for: the longer in vain, the more seldom.
const LOOK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(2));
/// With fewer control nodes a majority is lost with either copy.
const CONTROLS: usize = 3;
/// The longest message of a standby.
const MAX_MESSAGE: usize = 64 << 10;

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

    /// How many bytes of contacts that were given count.
    pub(super) fn given(&self) -> u64 {
        let here = self.here.borrow().given;
        match *self.standing.borrow() {
            Standing::Alone => here,
            Standing::Making(there) | Standing::With(there) => there.given.min(here),
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

/// A second copy and what keeps it, for a run that is carried out from now on, or has ended.
pub(super) fn second(
    control: Control,
    (run, incarnation): (RunId, Option<u64>),
    dir: RunDir,
    here: Kept,
) -> (Second, Keeper) {
    let (here, of) = watch::channel(here);
    let (standing, seen) = watch::channel(Standing::Unknown);
    let keeper = Keeper {
        control,
        run,
        incarnation: incarnation.unwrap_or_default(),
        is_claimed: incarnation.is_some(),
        dir,
        here: of,
        standing,
        of: None,
        refused: BTreeSet::new(),
        away: None,
        is_unsure: false,
    };
    (Second { here, standing: seen }, keeper)
}

/// Keeps the second copy of a run, until its [`Second`] is dropped.
pub(super) struct Keeper {
    control: Control,
    run: RunId,
    incarnation: u64,
    /// Whether the state says who keeps the run. It does not say so of those of a lower level.
    is_claimed: bool,
    dir: RunDir,
    here: watch::Receiver<Kept>,
    standing: watch::Sender<Standing>,
    /// Whose copy [`Standing`] is about.
    of: Option<NodeId>,
    /// Those that keep no copy, for now.
    refused: BTreeSet<NodeId>,
    /// Since when the standby is away.
    away: Option<Instant>,
    /// A change was proposed that may still be made.
    is_unsure: bool,
}

/// Why copying stopped.
enum Broken {
    /// The standby is lost, or keeps no copy.
    Lost(Failure),
    /// What the standby has is no copy of this.
    Differs,
    /// The files here cannot be read.
    Files(io::Error),
    /// The state says something else than before, or may.
    Moved,
    /// The standby has become the run's, and has everything.
    Registered,
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
        if !self.is_claimed {
            self.standing.send_replace(Standing::Alone);
            return;
        }
        let (base, cap) = (Duration::from_millis(50), Duration::from_secs(2));
        let mut backoff = Backoff::new(base, cap, seed());
        let mut looks = Backoff::new(LOOK.0, LOOK.1, seed());
        // A second copy may have been proposed just before this node stopped.
        self.is_unsure = !is_new;
        if (!is_new || self.mine().is_none()) && self.catch_up(&mut backoff).await.is_err() {
            return;
        }
        self.settle().await;
        loop {
            let Some(record) = self.mine() else {
                self.standing.send_replace(Standing::Displaced);
                return;
            };
            let broken = match record.standby.clone() {
                Some(standby) => self.with(&standby, record.revision).await,
                None if self.is_unsure => Broken::Moved,
                None => {
                    let Some(standby) = self.candidate() else {
                        self.standing.send_replace(Standing::Alone);
                        let delay = LOOK.0 + looks.next_delay();
                        if self.pause(delay, Some(&record)).await.is_err() {
                            return;
                        }
                        self.refused.clear();
                        continue;
                    };
                    self.make(&standby, record.revision).await
                }
            };
            match broken {
                Broken::Over => return,
                Broken::Registered => {
                    looks.reset();
                    backoff.reset();
                    // The change is made, but this node may not know it yet.
                    if self.catch_up(&mut backoff).await.is_err() {
                        return;
                    }
                    continue;
                }
                Broken::Moved => {
                    if self.catch_up(&mut backoff).await.is_err() {
                        return;
                    }
                    self.settle().await;
                }
                Broken::Files(error) => {
                    tracing::warn!(run = %self.run, %error, "a run cannot be copied");
                }
                Broken::Lost(_) | Broken::Differs => {}
            }
            if self.pause(backoff.next_delay(), None).await.is_err() {
                return;
            }
        }
    }

    /// Makes a second copy of a run that has ended, once.
    pub(super) async fn keep_ended(mut self) {
        if let Some(record) = self.mine()
            && record.standby.is_none()
            && let Some(standby) = self.candidate()
        {
            self.make(&standby, record.revision).await;
        }
    }

    /// Copies to the standby of the run, and goes on without it when it is away too long.
    async fn with(&mut self, standby: &NodeId, revision: Revision) -> Broken {
        self.is_unsure = false;
        let is_its = self.of.as_ref() == Some(standby);
        self.standing.send_modify(|standing| {
            *standing = match *standing {
                Standing::With(there) | Standing::Making(there) if is_its => Standing::With(there),
                _ => Standing::Unknown,
            };
        });
        let broken = self.copy(standby, None).await;
        let is_over = match broken {
            Broken::Lost(_) => self.away.get_or_insert_with(Instant::now).elapsed() >= PATIENCE,
            Broken::Differs => true,
            _ => false,
        };
        if is_over && self.control.propose(self.put(None, revision), CHANGE).await.is_ok() {
            tracing::info!(run = %self.run, %standby, "a run goes on without its second copy");
            self.refused.insert(standby.clone());
            self.away = None;
            self.standing.send_replace(Standing::Alone);
        }
        broken
    }

    /// Makes a control node the standby.
    async fn make(&mut self, standby: &NodeId, revision: Revision) -> Broken {
        let broken = self.copy(standby, Some(revision)).await;
        if let Broken::Lost(_) | Broken::Differs = &broken {
            if let Broken::Lost(failure) = &broken {
                tracing::info!(run = %self.run, %standby, %failure, "no second copy of a run there");
            }
            self.refused.insert(standby.clone());
            if !self.is_unsure {
                self.standing.send_replace(Standing::Alone);
            }
        }
        broken
    }

    /// After a change of which nothing was heard: one that is made now leaves no room for it.
    async fn settle(&mut self) {
        if !self.is_unsure {
            return;
        }
        match self.mine() {
            Some(RunRecord { standby: None, revision, .. }) => {
                self.is_unsure =
                    self.control.propose(self.put(None, revision), CHANGE).await.is_err();
            }
            _ => self.is_unsure = false,
        }
    }

    async fn catch_up(&mut self, backoff: &mut Backoff) -> Result<(), Broken> {
        while self.control.catch_up(CHANGE).await.is_err() {
            self.pause(backoff.next_delay(), None).await?;
        }
        Ok(())
    }

    /// Sleeps, unless the run is over, or it is said of somebody else that he keeps it.
    async fn pause(&mut self, delay: Duration, but: Option<&RunRecord>) -> Result<(), Broken> {
        let stop = self.control.shared.supervisor.token();
        let mut states = self.control.shared.replica.watch_state();
        let changed = async {
            match but {
                Some(record) => {
                    let run = &self.run;
                    drop(states.wait_for(|state| state.run(run) != Some(record)).await);
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep(delay) => Ok(()),
            () = changed => Ok(()),
            () = closed(&mut self.here) => Err(Broken::Over),
            () = stop.cancelled() => Err(Broken::Over),
        }
    }

    /// Who keeps the run, as long as this node carries it out.
    fn mine(&self) -> Option<RunRecord> {
        let state = self.control.shared.replica.state();
        let record = state.run(&self.run)?;
        let is_mine =
            record.incarnation == self.incarnation && record.coordinator == self.control.shared.me;
        is_mine.then(|| record.clone())
    }

    fn put(&self, standby: Option<NodeId>, revision: Revision) -> Change {
        Change::PutRun {
            run: self.run.clone(),
            incarnation: self.incarnation,
            coordinator: self.control.shared.me.clone(),
            standby,
            if_revision: Some(revision),
        }
    }

    /// A control node that may become the standby.
    fn candidate(&self) -> Option<NodeId> {
        let state = self.control.shared.replica.state();
        if state.nodes().filter(|node| node.roles.is_control()).count() < CONTROLS {
            return None;
        }
        let linked = self.control.shared.peers.linked();
        let me = &self.control.shared.me;
        let able: Vec<NodeId> = state
            .controls()
            .into_iter()
            .filter(|node| node != me && linked.contains(node) && !self.refused.contains(node))
            .collect();
        fastrand::choice(able)
    }

    /// Copies, and goes on copying what comes. A `new` standby is made the run's when it has
    /// everything, unless the run has another revision by then.
    async fn copy(&mut self, standby: &NodeId, new: Option<Revision>) -> Broken {
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
        let mut sent = match self.begin(&mut send, &mut recv, new.is_some()).await {
            Ok(sent) => sent,
            Err(broken) => return broken,
        };
        let mut states = self.control.shared.replica.watch_state();
        let (mut number, mut rounds) = (0, 0);
        loop {
            number += 1;
            let there = match self.bring(&mut send, &mut recv, &mut sent, number).await {
                Ok(Some(there)) => there,
                Ok(None) => continue,
                Err(broken) => return broken,
            };
            rounds += 1;
            self.of = Some(standby.clone());
            match new {
                None => {
                    self.away = None;
                    self.standing.send_replace(Standing::With(there));
                }
                Some(revision) => {
                    // From now on nothing is shown that it lacks. What was shown before comes with
                    // the second round.
                    self.standing.send_replace(Standing::Making(there));
                    if rounds > 1 {
                        return self.register(standby, revision, there).await;
                    }
                    continue;
                }
            }
            // Until there is more.
            while there.covers(*self.here.borrow()) {
                let record = states.borrow_and_update().run(&self.run).cloned();
                if record.is_none_or(|record| {
                    record.incarnation != self.incarnation
                        || record.coordinator != self.control.shared.me
                        || record.standby.as_ref() != Some(standby)
                }) {
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

    async fn register(&mut self, standby: &NodeId, revision: Revision, there: Kept) -> Broken {
        let change = self.put(Some(standby.clone()), revision);
        match self.control.propose(change, CHANGE).await {
            Ok(_) => {
                self.standing.send_replace(Standing::With(there));
                self.away = None;
                Broken::Registered
            }
            Err(failure) if failure.kind == ErrorKind::Conflict => Broken::Moved,
            Err(_) => {
                self.is_unsure = true;
                Broken::Moved
            }
        }
    }

    /// Says which run it is. Returns how much of each growing file the standby has.
    async fn begin(
        &self,
        send: &mut SendHalf,
        recv: &mut RecvHalf,
        is_new: bool,
    ) -> Result<Sent, Broken> {
        let open = ToStandby::Open { run: self.run.clone(), incarnation: self.incarnation };
        deliver(send, &open).await?;
        let there = match hear(recv).await? {
            FromStandby::Has(there) => there,
            FromStandby::Failed(failure) => return Err(Broken::Lost(failure)),
            _ => return Err(StreamError::Truncated.into()),
        };
        let dir = self.dir.clone();
        let checked = blocking(move || {
            let mut sent = Sent::default();
            let mut is_same = true;
            for (part, (length, sum)) in Growing::ALL.into_iter().zip(there) {
                if dir.check(part, length)? == Some(sum) {
                    *sent.of(part) = length;
                } else {
                    is_same = false;
                }
            }
            Ok((sent, is_same))
        });
        let checked = checked.await.map_err(|error| Broken::Files(io::Error::other(error)))?;
        let (sent, is_same) = checked.map_err(Broken::Files)?;
        // The run's standby must not be made to forget anything.
        if is_same || is_new { Ok(sent) } else { Err(Broken::Differs) }
    }

    /// Sends what is missing, or as much as a round has, and waits until it is kept. Returns what
    /// is kept, when nothing was missing any more.
    async fn bring(
        &mut self,
        send: &mut SendHalf,
        recv: &mut RecvHalf,
        sent: &mut Sent,
        number: u64,
    ) -> Result<Option<Kept>, Broken> {
        // In this order: what stands in the file of the state is true of the records that are there
        // when it was read, and these go first.
        let saves = self.here.borrow().saves;
        let state =
            if sent.saves == Some(saves) { None } else { Some(self.whole(Whole::State).await?) };
        let here = *self.here.borrow_and_update();
        let targets = if sent.saves.is_none() { self.length(Growing::Targets).await? } else { 0 };
        let mut left = ROUND;
        for (part, end) in [
            (Growing::Targets, targets),
            (Growing::Given, here.given),
            (Growing::Records, here.records),
        ] {
            while *sent.of(part) < end && left > 0 {
                let (dir, offset) = (self.dir.clone(), *sent.of(part));
                let read = blocking(move || dir.piece(part, offset, end)).await;
                let read = read.map_err(|error| Broken::Files(io::Error::other(error)))?;
                let bytes = read.map_err(Broken::Files)?;
                let length = bytes.len() as u64;
                deliver(send, &ToStandby::Append { part, offset, bytes }).await?;
                *sent.of(part) += length;
                left = left.saturating_sub(length);
            }
        }
        let is_all =
            sent.targets >= targets && sent.given >= here.given && sent.records >= here.records;
        if let (true, Some(bytes)) = (is_all, state) {
            if sent.saves.is_none() {
                let secrets = self.whole(Whole::Secrets).await?;
                deliver(send, &ToStandby::Replace { part: Whole::Secrets, bytes: secrets }).await?;
            }
            deliver(send, &ToStandby::Replace { part: Whole::State, bytes }).await?;
            sent.saves = Some(saves);
        }
        deliver(send, &ToStandby::Sync(number)).await?;
        match hear(recv).await? {
            FromStandby::Kept(said) if said == number => {
                let Kept { given, records, .. } = here;
                Ok(is_all.then_some(Kept { saves, given, records }))
            }
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
    let said = async {
        loop {
            match timeout(ANSWER, recv.recv(MAX_MESSAGE)).await {
                Ok(Ok(Some(FromStandby::Busy))) => {}
                Ok(Ok(Some(said))) => return Ok(said),
                Ok(Ok(None)) => return Err(StreamError::Truncated.into()),
                Ok(Err(error)) => return Err(error.into()),
                Err(_elapsed) => return Err(silent()),
            }
        }
    };
    timeout(WORK, said).await.map_err(|_elapsed| silent())?
}

fn silent() -> Broken {
    Broken::Lost(Failure::new(ErrorKind::TimedOut, "it does not answer"))
}

/// Waits until nobody knows more of the run here.
async fn closed(here: &mut watch::Receiver<Kept>) {
    while here.changed().await.is_ok() {}
}
