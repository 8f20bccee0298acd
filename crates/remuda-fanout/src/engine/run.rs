//! The actor of one run: owns the stream, the timer and the lanes, and does what its core says.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use remuda_link::{RecvHalf, SendHalf, StreamError, code};
use remuda_model::{ErrorKind, Failure};
use remuda_wire::{
    encode_framed,
    message::run::{FromWorker, ToWorker},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    core::Core,
    lanes::{Lanes, LanesEnded},
    metrics::Attempts,
    pool::Member,
};
use crate::Contact;

/// The longest message after the first: targets.
const MAX_MESSAGE: usize = 8 << 20;
/// How many messages wait for the link.
const OUTBOX: usize = 4;
/// How long the last words may take when the stream ends early.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long the control node may take to end the stream after [`FromWorker::Finished`].
const GOODBYE: Duration = Duration::from_secs(10);

/// What a run needs.
pub(super) struct Run {
    pub(super) core: Core,
    pub(super) member: Member,
    pub(super) contact: Arc<dyn Contact>,
    pub(super) attempts: Arc<Attempts>,
    pub(super) lanes: usize,
    /// How many attempts can go on at most.
    pub(super) most: usize,
    pub(super) stop: CancellationToken,
}

/// How the work on a run ended.
enum End {
    /// Every target has its record, and all was said.
    Finished,
    /// The control node or the link is gone.
    Gone(StreamError),
    /// It cannot go on, which the control node is told.
    Failed(Failure),
}

impl From<LanesEnded> for End {
    fn from(error: LanesEnded) -> Self {
        Self::Failed(Failure::internal(&error))
    }
}

impl Run {
    /// Contacts what it is given until all is done, or the stream breaks, or the agent stops.
    /// Everything of the run is dropped then.
    pub(super) async fn serve(mut self, send: SendHalf, mut recv: RecvHalf) {
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let mut lanes = Lanes::start(&self.contact, self.lanes, self.most);
        let mut writer = pin!(write(send, messages));
        let end = tokio::select! {
            biased;
            // Only an error ends it before the outbox is dropped.
            written = &mut writer => written.err().map_or(End::Finished, End::Gone),
            end = self.work(&mut lanes, &outbox, &mut recv) => end,
        };
        lanes.end().await;
        let Self { mut core, member, .. } = self;
        drop(member);
        match end {
            End::Finished => {
                drop(outbox);
                // No deadline: what is slow is the link, which tells when it is broken.
                if writer.await.is_ok() {
                    drop(timeout(GOODBYE, drain(&mut recv)).await);
                }
            }
            End::Gone(error) => tracing::debug!(%error, "a run was broken off"),
            End::Failed(failure) => {
                tracing::debug!(%failure, "a run cannot go on");
                recv.stop(code::REFUSED, "no more is wanted");
                let last_words = async move {
                    // The answers that are there spare their targets another contact.
                    while let Some(message) = core.last_records(Duration::MAX) {
                        outbox.send(encode_framed(&message)).await.ok()?;
                    }
                    outbox.send(encode_framed(&FromWorker::Failed(failure))).await.ok()
                };
                let said = async { tokio::join!(last_words, writer) };
                drop(timeout(LAST_WORDS, said).await);
            }
        }
    }

    async fn work(
        &mut self,
        lanes: &mut Lanes,
        outbox: &mpsc::Sender<Bytes>,
        recv: &mut RecvHalf,
    ) -> End {
        let opened = Instant::now();
        let mut ended = Vec::new();
        let mut heard_all = false;
        let mut alarm = pin!(sleep_until(opened));
        loop {
            let now = opened.elapsed();
            self.core.set_stuck(outbox.capacity() == 0);
            if let Err(error) = self.begin(now, lanes) {
                return error.into();
            }
            self.say(now, outbox);
            if self.core.is_over() {
                return End::Finished;
            }
            let deadline = self.core.next_deadline(now).map(|at| opened + at);
            // An alarm that comes too early does no harm, and setting it costs more.
            if let Some(at) = deadline
                && (at < alarm.deadline() || alarm.is_elapsed())
            {
                alarm.as_mut().reset(at);
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return End::Failed(shutting_down()),
                message = recv.recv::<ToWorker>(MAX_MESSAGE), if !heard_all => {
                    match self.hear(opened.elapsed(), message) {
                        Ok(is_last) => heard_all = is_last,
                        Err(end) => return end,
                    }
                }
                came = lanes.ended(&mut ended) => {
                    if let Err(error) = came {
                        return error.into();
                    }
                    let now = opened.elapsed();
                    for (target, attempt) in ended.drain(..) {
                        self.attempts.ended(attempt.record.outcome);
                        self.core.ended(now, target, attempt);
                    }
                }
                () = self.member.freed() => (),
                // There is room for what is to be said.
                _permit = outbox.reserve(), if self.core.is_stuck() => (),
                () = &mut alarm, if deadline.is_some() => (),
            }
        }
    }

    /// Begins what can begin.
    fn begin(&mut self, now: Duration, lanes: &mut Lanes) -> Result<(), LanesEnded> {
        self.core.tick(now);
        self.member.need(self.core.needs());
        self.core.set_part(self.member.part());
        while self.core.is_ready(now) {
            let Some(slot) = self.member.take() else { break };
            let Some(target) = self.core.begin(now) else { break };
            lanes.begin(target, slot)?;
        }
        self.core.settled(now);
        Ok(())
    }

    /// Says what there is to say, as far as there is room.
    fn say(&mut self, now: Duration, outbox: &mpsc::Sender<Bytes>) {
        loop {
            let Ok(permit) = outbox.try_reserve() else {
                self.core.set_stuck(true);
                return;
            };
            let Some(message) = self.core.say(now) else { return };
            permit.send(encode_framed(&message));
        }
    }

    /// Takes what came. Tells whether it was the end.
    fn hear(
        &mut self,
        now: Duration,
        message: Result<Option<ToWorker>, StreamError>,
    ) -> Result<bool, End> {
        match message {
            Ok(Some(message)) => self.core.hear(now, message).map(|()| false).map_err(End::Failed),
            // That the control node goes shows by the writer from now on.
            Ok(None) if self.core.is_finishing() => Ok(true),
            Ok(None) => Err(End::Gone(StreamError::Truncated)),
            Err(error @ (StreamError::Decode(_) | StreamError::TooLarge { .. })) => {
                Err(End::Failed(unreadable(&error)))
            }
            Err(error) => Err(End::Gone(error)),
        }
    }
}

/// Sends messages until there are no more, and finishes the stream; notices when nobody reads.
async fn write(mut send: SendHalf, mut messages: mpsc::Receiver<Bytes>) -> Result<(), StreamError> {
    loop {
        let message = tokio::select! {
            biased;
            message = messages.recv() => message,
            gone = send.stopped() => return Err(gone),
        };
        match message {
            Some(message) => send.write(message).await?,
            None => return send.finish(),
        }
    }
}

/// Waits for the end; what still comes crossed the last word.
async fn drain(recv: &mut RecvHalf) {
    while let Ok(Some(_)) = recv.read_chunk().await {}
}

pub(super) fn shutting_down() -> Failure {
    Failure::new(ErrorKind::Unavailable, "the agent of this node shuts down").code("shutting_down")
}

pub(super) fn unreadable(error: &StreamError) -> Failure {
    let chain = remuda_model::Chain(error).to_string();
    Failure::invalid(format!("a message of the run cannot be read: {chain}"))
        .code("protocol_violation")
}
