//! The state of one stream.

use super::{Key, Priority, queue::Queue};
use crate::frame::MAX_PAYLOAD;

/// Why a direction ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// One of [`code`](super::code), or a number of the protocol.
    pub code: u32,
    /// For people.
    pub text: String,
}

#[derive(Debug)]
pub(super) enum SendState {
    Open,
    /// Finished here; the peer does not know yet.
    Finishing,
    Finished,
    /// Reset here.
    Reset,
    /// The peer reads no more.
    Stopped(Box<Reason>),
}

#[derive(Debug)]
pub(super) enum RecvState {
    Open,
    /// The peer has finished; unread bytes may be left.
    Finished,
    /// The peer has reset it.
    Reset(Box<Reason>),
    /// Stopped here.
    Stopped,
}

/// Where a stream waits for its turn, so that it can be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Nowhere,
    Ready(Priority),
    /// For the peer to allow one more stream.
    Waiting(Priority),
}

/// A reset that is still to be sent.
#[derive(Debug)]
pub(super) struct PendingReset {
    pub(super) flags: u8,
    pub(super) reason: Reason,
}

/// The sending direction.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) state: SendState,
    pub(super) queue: Queue,
    /// How much the peer still allows.
    pub(super) credit: u32,
    /// How much was sent, counted only up to one frame and more.
    pub(super) sent: usize,
    /// A writer waits for room.
    pub(super) waiting: bool,
    /// Nobody holds it here any more.
    pub(super) released: bool,
    /// Both sides know that it has ended.
    pub(super) over: bool,
}

/// The receiving direction.
#[derive(Debug)]
pub(super) struct Receiving {
    pub(super) state: RecvState,
    pub(super) queue: Queue,
    /// How much the peer may hold unread here.
    pub(super) window: u32,
    /// How much the peer may still send.
    pub(super) allowed: u32,
    /// Read since credit was last returned.
    pub(super) consumed: u32,
    /// Credit to be returned with the next frame.
    pub(super) grant: u32,
    /// The reader knows that there is something.
    pub(super) announced: bool,
    /// The peer has ended it: nothing more may come.
    pub(super) ended: bool,
    /// Nobody holds it here any more.
    pub(super) released: bool,
    /// Both sides know that it has ended.
    pub(super) over: bool,
}

#[derive(Debug)]
pub(super) struct Stream {
    /// 0 while the peer has not heard of it.
    pub(super) id: u32,
    /// Whether this side opened it.
    pub(super) ours: bool,
    /// Opened by the peer and not yet accepted here.
    pub(super) unaccepted: bool,
    /// Still in the table of numbers.
    pub(super) on_wire: bool,
    pub(super) priority: Priority,
    /// Until it was sent or accepted.
    pub(super) protocol: Box<str>,
    pub(super) send: Sending,
    pub(super) recv: Receiving,
    pub(super) place: Place,
    /// Has waited for the peer to allow one more stream, and now has its place.
    pub(super) promised: bool,
    /// In the queue of those with a reset or credit to send.
    pub(super) urgent: bool,
    pub(super) reset: Option<Box<PendingReset>>,
}

impl Stream {
    pub(super) fn new(ours: bool, protocol: &str, priority: Priority, window: u32) -> Self {
        Self {
            id: 0,
            ours,
            unaccepted: !ours,
            on_wire: !ours,
            priority,
            protocol: protocol.into(),
            send: Sending {
                state: SendState::Open,
                queue: Queue::default(),
                credit: window,
                sent: 0,
                waiting: false,
                released: false,
                over: false,
            },
            recv: Receiving {
                state: RecvState::Open,
                queue: Queue::default(),
                window,
                allowed: window,
                consumed: 0,
                grant: 0,
                announced: false,
                ended: false,
                released: false,
                over: false,
            },
            place: Place::Nowhere,
            promised: false,
            urgent: false,
            reset: None,
        }
    }

    /// Its priority now: a long call is bulk, so that it does not delay the short ones.
    pub(super) fn class(&self) -> Priority {
        match self.priority {
            Priority::Calls if self.send.sent > MAX_PAYLOAD => Priority::Bulk,
            priority => priority,
        }
    }

    /// Whether a frame of data, or the opening or finishing one, could be sent now.
    pub(super) fn is_sendable(&self) -> bool {
        match self.send.state {
            SendState::Open | SendState::Finishing if self.id == 0 => true,
            SendState::Open => !self.send.queue.is_empty() && self.send.credit > 0,
            SendState::Finishing => self.send.queue.is_empty() || self.send.credit > 0,
            SendState::Finished | SendState::Reset | SendState::Stopped(_) => false,
        }
    }

    /// How much data the next frame may carry beside `overhead` bytes.
    pub(super) fn next_length(&self, overhead: usize) -> usize {
        let credit = usize::try_from(self.send.credit).unwrap_or(usize::MAX);
        self.send.queue.len().min(credit).min(MAX_PAYLOAD - overhead)
    }
}

/// Something that whoever drives the multiplexer should tell the users of streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer has opened a stream: [`accept`](super::Mux::accept) gives it.
    Opened,
    /// There is something to read.
    Readable(Key),
    /// There is room again for a writer that was refused.
    Writable(Key),
    /// The peer has finished; what it sent may still be unread.
    Finished(Key),
    /// A direction, or both, ended before its time.
    Reset(Key),
    /// The peer closes the link.
    GoAway(Reason),
    /// The peer has been silent for too long.
    Dead,
}

/// What a reader finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Bytes, never empty.
    Chunk {
        /// The bytes.
        bytes: bytes::Bytes,
        /// Whether these were the last ones.
        last: bool,
    },
    /// The peer has finished and everything was read.
    End,
    /// Nothing yet; [`Event::Readable`] or [`Event::Finished`] will come.
    Pending,
    /// The direction ended before its time.
    Reset(Reason),
    /// It was stopped here.
    Stopped,
}

/// Why nothing more can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// Finished or reset here.
    Finished,
    /// The peer reads no more.
    Stopped(Reason),
}

impl Sending {
    pub(super) fn check_open(&self) -> Result<(), SendError> {
        match &self.state {
            SendState::Open => Ok(()),
            SendState::Stopped(reason) => Err(SendError::Stopped(Reason::clone(reason))),
            SendState::Finishing | SendState::Finished | SendState::Reset => {
                Err(SendError::Finished)
            }
        }
    }
}
