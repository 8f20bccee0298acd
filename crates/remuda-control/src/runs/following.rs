//! Follows a run wherever it is: on when its coordinator is lost and another one takes it over.
//!
//! The records come from the start again then, so those that were passed on before are left out. No
//! record that was seen ever changes (`second`).

use std::time::Duration;

use futures_util::{FutureExt as _, future::BoxFuture};
use remuda_model::{
    ErrorKind, Failure, RunId,
    run::{RunState, RunView},
};
use remuda_run::{Bits, Filter};
use remuda_runtime::Backoff;
use remuda_wire::message::runs::Hosted;
use tokio::time::{Instant, sleep};

use super::reading::{Handing, RecordStream};
use crate::{Control, control::seed};

/// How long a run may be out of reach.
const PATIENCE: Duration = Duration::from_mins(1);
/// How soon is looked for it again: the longer in vain, the more seldom.
const LOOK: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// A stream that lasted so long shows that the run was within reach, even if it brought nothing new.
const STEADY: Duration = Duration::from_secs(10);

impl Control {
    /// The records of this stream and, when it breaks off, those that are missing.
    pub(super) fn followed(
        &self,
        view: &RunView,
        filter: Filter,
        records: RecordStream,
    ) -> RecordStream {
        let (control, run, created_ms) = (self.clone(), view.id.clone(), view.created_ms);
        let open = move || {
            let (control, run, filter) = (control.clone(), run.clone(), filter.clone());
            let opened = async move {
                let view = same(control.run(&run).await?, created_ms)?;
                control.records_of(&view, &filter, true).await
            };
            opened.boxed()
        };
        let (control, run) = (self.clone(), view.id.clone());
        let may_pass = move |failure: &Failure| control.may_come_back(&run, failure);
        let (to, followed) = RecordStream::channel();
        let following = Following::new(open, may_pass, view.targets).follow(records, to);
        let stop = self.shared.supervisor.token();
        self.shared.supervisor.spawn("followed run", async move {
            tokio::select! {
                () = following => {}
                () = stop.cancelled() => {}
            }
        });
        followed
    }

    /// How a run goes, wherever it is.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_progress(&self, run: &RunId) -> Result<RunProgress, Failure> {
        let last = self.run(run).await?;
        Ok(RunProgress { control: self.clone(), last, away: Away::default() })
    }

    /// Whether a run may be within reach again after this failure.
    fn may_come_back(&self, run: &RunId, failure: &Failure) -> bool {
        match failure.kind {
            ErrorKind::Unavailable | ErrorKind::TimedOut => true,
            // Between two coordinators nobody has it.
            ErrorKind::NotFound => self.shared.replica.state().run(run).is_some(),
            _ => false,
        }
    }
}

/// How a run goes, asked again and again.
#[derive(Debug)]
pub struct RunProgress {
    control: Control,
    last: RunView,
    away: Away,
}

impl RunProgress {
    /// How it stood last.
    pub fn last(&self) -> &RunView {
        &self.last
    }

    /// How it stands now. While it is out of reach: how it stood last, and that it waits.
    ///
    /// # Errors
    ///
    /// As [`Control::run`], when it is out of reach for a minute or is no more.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn next(&mut self) -> Result<RunView, Failure> {
        let found = self.control.run(&self.last.id).await;
        match found.and_then(|view| same(view, self.last.created_ms)) {
            Ok(view) => {
                self.away.is_over();
                self.last = view;
                Ok(self.last.clone())
            }
            Err(failure)
                if self.control.may_come_back(&self.last.id, &failure)
                    && self.away.is_bearable(Instant::now()) =>
            {
                Ok(out_of_reach(self.last.clone()))
            }
            Err(failure) => Err(failure),
        }
    }
}

/// A run as it stood last, when nobody can be asked.
fn out_of_reach(mut view: RunView) -> RunView {
    let coordinator = &view.coordinator;
    if !view.state.has_ended() {
        let text = format!("control node `{coordinator}`, which coordinates it, is out of reach");
        (view.state, view.reason, view.rate) = (RunState::Waiting, Some(text), 0.0);
    }
    view
}

/// The run, unless it is another one of the same name.
fn same(view: RunView, created_ms: u64) -> Result<RunView, Failure> {
    if view.created_ms == created_ms {
        return Ok(view);
    }
    let text = format!("run `{}` was removed, and another one has its name", view.id);
    Err(Failure::new(ErrorKind::Conflict, text).code("run_replaced"))
}

/// Somebody follows the records of a run.
struct Following<O, P> {
    /// Finds out who has the run, and reads it there from the start.
    open: O,
    /// Whether the run may be within reach again after this.
    may_pass: P,
    passed: Passed,
    away: Away,
    looks: Backoff,
}

impl<O, P> Following<O, P>
where
    O: FnMut() -> BoxFuture<'static, Result<RecordStream, Failure>> + Send,
    P: Fn(&Failure) -> bool + Send,
{
    fn new(open: O, may_pass: P, targets: u32) -> Self {
        let (passed, looks) = (Passed::new(targets), Backoff::new(LOOK.0, LOOK.1, seed()));
        Self { open, may_pass, passed, away: Away::default(), looks }
    }

    async fn follow(mut self, records: RecordStream, to: Handing) {
        let last = async {
            let last = self.pass_on(records, &to).await;
            // Whoever listened may be gone.
            drop(to.send(last.map(|()| None)).await);
        };
        tokio::select! {
            () = last => {}
            () = to.closed() => {}
        }
    }

    /// Passes records on until the run has ended, is out of reach for too long, or nobody listens.
    async fn pass_on(&mut self, mut records: RecordStream, to: &Handing) -> Result<(), Failure> {
        let mut since = Instant::now();
        loop {
            match records.next().await {
                Ok(Some(batch)) => {
                    let new = self.passed.new_of(batch);
                    if new.is_empty() {
                        continue;
                    }
                    self.is_within_reach();
                    if to.send(Ok(Some(new))).await.is_err() {
                        return Ok(());
                    }
                }
                Ok(None) => return Ok(()),
                Err(failure) => {
                    if since.elapsed() >= STEADY {
                        self.is_within_reach();
                    }
                    records = self.again(failure).await?;
                    since = Instant::now();
                }
            }
        }
    }

    fn is_within_reach(&mut self) {
        self.away.is_over();
        self.looks.reset();
    }

    async fn again(&mut self, mut failure: Failure) -> Result<RecordStream, Failure> {
        while (self.may_pass)(&failure) && self.away.is_bearable(Instant::now()) {
            tracing::debug!(%failure, "a followed run is looked for");
            sleep(self.looks.next_delay()).await;
            match (self.open)().await {
                Ok(records) => return Ok(records),
                Err(next) => failure = next,
            }
        }
        Err(failure)
    }
}

/// Which records of a run were passed on.
struct Passed(Bits);

impl Passed {
    /// None yet of so many targets.
    fn new(targets: u32) -> Self {
        Self(Bits::new(targets))
    }

    /// Those that were not passed on yet, in their order. They are, from now on.
    fn new_of(&mut self, mut batch: Vec<Hosted>) -> Vec<Hosted> {
        batch.retain(|hosted| self.0.set(hosted.record.index));
        batch
    }
}

/// Since when a run is out of reach.
#[derive(Debug, Default)]
struct Away(Option<Instant>);

impl Away {
    /// It is out of reach now. Whether that may still pass.
    fn is_bearable(&mut self, now: Instant) -> bool {
        now.duration_since(*self.0.get_or_insert(now)) < PATIENCE
    }

    /// It is within reach.
    fn is_over(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use remuda_model::run::{Outcome, Record, Trouble, TroubleKind};

    use super::*;

    fn batch(indices: &[u32]) -> Vec<Hosted> {
        let hosted = |index: &u32| {
            let trouble = Trouble::new(TroubleKind::Refused, "nobody listens");
            let record = Record::without_answer(*index, Outcome::Failed, trouble);
            Hosted { host: format!("h{index}"), vars: Vec::new(), record }
        };
        indices.iter().map(hosted).collect()
    }

    /// A stream that brings these, and breaks off or ends.
    fn stream(batches: &[&[u32]], ends: bool) -> RecordStream {
        let (to, records) = RecordStream::channel();
        let handed = batches.iter().map(|indices| Ok(Some(batch(indices))));
        for one in handed.chain(ends.then_some(Ok(None))) {
            to.try_send(one).expect("room");
        }
        records
    }

    fn away() -> Failure {
        Failure::new(ErrorKind::Unavailable, "it is out of reach")
    }

    /// What somebody sees who follows a run: this stream first, then what is found.
    async fn seen(
        first: RecordStream,
        mut found: impl FnMut() -> Result<RecordStream, Failure> + Send + 'static,
    ) -> (Vec<u32>, Result<(), Failure>) {
        let open = move || std::future::ready(found()).boxed();
        let may_pass = |failure: &Failure| failure.kind == ErrorKind::Unavailable;
        let (to, mut followed) = RecordStream::channel();
        tokio::spawn(Following::new(open, may_pass, 100).follow(first, to));
        let mut indices = Vec::new();
        loop {
            match followed.next().await {
                Ok(Some(batch)) => indices.extend(batch.iter().map(|one| one.record.index)),
                Ok(None) => return (indices, Ok(())),
                Err(failure) => return (indices, Err(failure)),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_missing_comes_from_whoever_has_the_run_next() {
        let mut next = [
            Err(away()),
            Ok(stream(&[&[0, 1], &[2]], false)),
            Err(away()),
            Err(away()),
            Ok(stream(&[&[2, 5], &[0], &[3, 1]], true)),
        ]
        .into_iter();
        let found = move || next.next().expect("nobody looks on after the end");
        let seen = seen(stream(&[&[1], &[4, 0]], false), found).await;
        assert_eq!(seen, (vec![1, 4, 0, 2, 5, 3], Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_out_of_reach_for_a_minute_is_given_up_with_the_last_failure() {
        let begin = Instant::now();
        let found = move || match begin.elapsed() {
            early if early < Duration::from_secs(40) => Err(away()),
            // Within reach, but nothing new comes of it.
            early if early < Duration::from_secs(50) => Ok(stream(&[&[0]], false)),
            _ => Err(Failure::new(ErrorKind::Unavailable, "nobody knows it")),
        };
        let (indices, ended) = seen(stream(&[&[0]], false), found).await;
        assert_eq!(indices, [0]);
        assert_eq!(ended.expect_err("it is out of reach").message, "nobody knows it");
        let took = begin.elapsed();
        assert!(took >= PATIENCE && took <= PATIENCE + LOOK.1, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_comes_of_the_run_begins_the_minute_anew() {
        let begin = Instant::now();
        let found = move || match u32::try_from(begin.elapsed().as_secs() / 45).expect("small") {
            0 => Err(away()),
            4 => Ok(stream(&[&[0, 1, 2, 3, 4]], true)),
            at => Ok(stream(&[&[0, at]], false)),
        };
        let seen = seen(stream(&[&[0]], false), found).await;
        assert_eq!(seen, (vec![0, 1, 2, 3, 4], Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_pass_is_told_at_once() {
        let begin = Instant::now();
        let gone = || Failure::not_found("no such run");
        let (indices, ended) = seen(stream(&[&[8]], false), move || Err(gone())).await;
        assert_eq!((indices, ended), (vec![8], Err(gone())));
        assert!(begin.elapsed() <= LOOK.0, "one look");
    }

    #[test]
    fn each_record_is_passed_on_once_in_whatever_batches_it_comes_again() {
        let mut passed = Passed::new(200);
        assert_eq!(passed.new_of(batch(&[7, 3, 199])), batch(&[7, 3, 199]));
        // From the start again, in another order, with others between them.
        assert_eq!(passed.new_of(batch(&[3, 0, 7])), batch(&[0]));
        assert!(passed.new_of(batch(&[199, 0])).is_empty());
        assert_eq!(passed.new_of(batch(&[198, 198, 64])), batch(&[198, 64]));
    }

    #[test]
    fn records_of_no_target_are_left_out() {
        let mut passed = Passed::new(3);
        assert_eq!(passed.new_of(batch(&[2, 3, u32::MAX])), batch(&[2]));
    }

    #[test]
    fn a_run_may_be_out_of_reach_for_a_minute_at_a_time() {
        let (start, mut away) = (Instant::now(), Away::default());
        let second = Duration::from_secs(1);
        assert!(away.is_bearable(start));
        assert!(away.is_bearable(start + 59 * second));
        assert!(!away.is_bearable(start + 60 * second));
        away.is_over();
        assert!(away.is_bearable(start + 61 * second));
        assert!(away.is_bearable(start + 120 * second));
        assert!(!away.is_bearable(start + 121 * second));
    }
}
