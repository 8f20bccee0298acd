//! What the streams of a link and its driver share.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use remuda_wire::mux::{Event, Key, Mux, code};
use tokio::{sync::watch, time::Instant};

use crate::CloseReason;

pub(super) struct Shared {
    state: Mutex<State>,
    closed: watch::Sender<Option<CloseReason>>,
    started: Instant,
}

pub(super) struct State {
    pub(super) mux: Mux,
    /// By [`Key::index`].
    waiting: Vec<Waiting>,
    accepting: Vec<Waker>,
    /// Set while the driver waits for something to send.
    driver: Option<Waker>,
    closed: Option<CloseReason>,
}

/// Who waits for a stream.
#[derive(Default)]
struct Waiting {
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Which direction of a stream somebody waits for.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    Read,
    Write,
}

impl Shared {
    pub(super) fn new(mux: Mux) -> Self {
        let state =
            State { mux, waiting: Vec::new(), accepting: Vec::new(), driver: None, closed: None };
        Self { state: Mutex::new(state), closed: watch::Sender::new(None), started: Instant::now() }
    }

    /// Time since the start of the link, as the multiplexer counts it.
    pub(super) fn now(&self) -> std::time::Duration {
        self.started.elapsed()
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// The state for the driver, which follows up by itself.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics in the middle of a change but for a bug, and then the link is closed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state for a user of the link, then wakes whom it concerns.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut woken = Vec::new();
        let mut state = self.lock();
        let result = act(&mut state);
        state.take_woken(&mut woken);
        let driver = if state.mux.has_output() { state.driver.take() } else { None };
        drop(state);
        driver.into_iter().chain(woken).for_each(Waker::wake);
        result
    }

    pub(super) async fn closed(&self) -> CloseReason {
        let mut closed = self.closed.subscribe();
        let reason = closed.wait_for(Option::is_some).await;
        reason.expect("the sender lives as long as self").clone().expect("just waited for")
    }

    /// Closes the link from this side.
    pub(super) fn close_here(&self, reason: &str) {
        self.close(CloseReason::Here(reason.to_owned()), Some((code::CLOSED, reason)));
    }

    /// Ends everything that waits for the link. The driver says `farewell` and ends too.
    pub(super) fn close(&self, reason: CloseReason, farewell: Option<(u32, &str)>) {
        let mut state = self.lock();
        if state.closed.is_some() {
            return;
        }
        if let Some((code, text)) = farewell {
            state.mux.close(code, text);
        }
        state.closed = Some(reason.clone());
        let mut woken = std::mem::take(&mut state.accepting);
        woken.extend(state.driver.take());
        for waiting in &mut state.waiting {
            woken.extend(waiting.reader.take());
            woken.extend(waiting.writer.take());
        }
        drop(state);
        self.closed.send_replace(Some(reason));
        woken.into_iter().for_each(Waker::wake);
    }
}

impl State {
    pub(super) fn close_reason(&self) -> Option<&CloseReason> {
        self.closed.as_ref()
    }

    /// Lets the users of streams wake the driver when there is something to send.
    pub(super) fn wait_for_output(&mut self, context: &Context<'_>) {
        match &mut self.driver {
            Some(waker) => waker.clone_from(context.waker()),
            None => self.driver = Some(context.waker().clone()),
        }
    }

    /// Notes who waits for a stream. One at a time waits for each direction.
    pub(super) fn wait<T>(
        &mut self,
        key: Key,
        direction: Direction,
        context: &Context<'_>,
    ) -> Poll<T> {
        if self.waiting.len() <= key.index() {
            self.waiting.resize_with(key.index() + 1, Waiting::default);
        }
        let waiting = &mut self.waiting[key.index()];
        let place = match direction {
            Direction::Read => &mut waiting.reader,
            Direction::Write => &mut waiting.writer,
        };
        match place {
            Some(waker) => waker.clone_from(context.waker()),
            None => *place = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Forgets who waits for a stream.
    pub(super) fn forget(&mut self, key: Key, direction: Direction) {
        if let Some(waiting) = self.waiting.get_mut(key.index()) {
            match direction {
                Direction::Read => waiting.reader = None,
                Direction::Write => waiting.writer = None,
            }
        }
    }

    pub(super) fn wait_for_stream<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        if !self.accepting.iter().any(|waker| waker.will_wake(context.waker())) {
            self.accepting.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Turns what happened into wakers to be woken once the state is unlocked. Tells what the
    /// driver has to know: why the link ends.
    pub(super) fn take_woken(&mut self, woken: &mut Vec<Waker>) -> Option<CloseReason> {
        let mut end = None;
        while let Some(event) = self.mux.poll_event() {
            match event {
                Event::Opened => woken.append(&mut self.accepting),
                Event::Readable(key) | Event::Finished(key) => {
                    woken.extend(self.waiting_for(key).and_then(|waiting| waiting.reader.take()));
                }
                Event::Writable(key) => {
                    woken.extend(self.waiting_for(key).and_then(|waiting| waiting.writer.take()));
                }
                Event::Reset(key) => {
                    if let Some(waiting) = self.waiting_for(key) {
                        woken
                            .extend(waiting.reader.take().into_iter().chain(waiting.writer.take()));
                    }
                }
                Event::GoAway(reason) => end = Some(CloseReason::Peer(reason.text)),
                Event::Dead => end = Some(CloseReason::Silent),
            }
        }
        end
    }

    fn waiting_for(&mut self, key: Key) -> Option<&mut Waiting> {
        self.waiting.get_mut(key.index())
    }
}
