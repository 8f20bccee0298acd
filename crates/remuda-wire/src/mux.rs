//! The multiplexer: many streams on one connection, each with its own credit and priority.
//!
//! [`Mux`] is pure. Whoever drives it feeds it what came ([`Mux::receive`]) and the time
//! ([`Mux::tick`]), writes out what it wants to send ([`Mux::poll_transmit`]), and tells the users
//! of streams what happened ([`Mux::poll_event`]). Time is counted from the start of the link.
//!
//! A user holds a stream by its [`Key`] from [`Mux::open`] or [`Mux::accept`] until it has released
//! both directions; a direction that has not ended by then is reset.

mod batch;
mod config;
mod error;
mod health;
mod ids;
mod queue;
mod receive;
mod schedule;
mod stream;
mod transmit;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use slab::Slab;

use self::{
    health::Health,
    ids::{ByNumber, Numbers},
    schedule::Schedule,
    stream::{PendingReset, Place, RecvState, SendState, Stream},
};
use crate::frame::{MAX_PAYLOAD, cut_text, flag};

pub use self::{
    batch::Batch,
    config::{Config, Priority, Side},
    error::{ProtocolError, code},
    stream::{Event, Read, Reason, SendError},
};

/// A stream as its user on this side knows it. Valid until both directions were released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u32);

impl Key {
    /// A small number that is unique among the streams of a link at one time.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A stream that the peer has opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// How to name it from now on.
    pub key: Key,
    /// The protocol it was opened under.
    pub protocol: String,
    /// Its priority.
    pub priority: Priority,
}

/// One side of a multiplexed link.
#[derive(Debug)]
pub struct Mux {
    config: Config,
    streams: Slab<Stream>,
    /// Streams that are not over for both sides.
    by_number: ByNumber<Key>,
    ours: Numbers,
    theirs: Numbers,
    /// How many of `by_number` this side opened.
    opened_here: usize,
    /// How many more may be opened by streams that have waited for that.
    promised: usize,
    /// How many of `by_number` the peer opened, and those that ended before they were accepted.
    opened_there: usize,
    incoming: VecDeque<Key>,
    schedule: Schedule,
    /// Streams that this side wants to open when the peer has room.
    waiting: Schedule,
    /// Streams with a reset or credit to send.
    urgent: VecDeque<Key>,
    /// Writers that wait because of all streams together.
    crowded: VecDeque<Key>,
    /// Numbers of streams to be refused.
    refusals: VecDeque<u32>,
    pongs: VecDeque<[u8; 8]>,
    /// Unread bytes of all streams.
    unread: usize,
    /// Unsent bytes of all streams.
    unsent: usize,
    /// By how much windows have grown, in all.
    grown: usize,
    health: Health,
    events: VecDeque<Event>,
    /// What to tell the peer at the end.
    farewell: Option<Reason>,
    /// Nothing more is sent or understood.
    closed: bool,
}

impl Mux {
    /// One side of a new link.
    pub fn new(side: Side, config: Config) -> Self {
        let other = match side {
            Side::Dialer => Side::Listener,
            Side::Listener => Side::Dialer,
        };
        Self {
            config,
            streams: Slab::new(),
            by_number: ByNumber::default(),
            ours: Numbers::of(side),
            theirs: Numbers::of(other),
            opened_here: 0,
            promised: 0,
            opened_there: 0,
            incoming: VecDeque::new(),
            schedule: Schedule::default(),
            waiting: Schedule::default(),
            urgent: VecDeque::new(),
            crowded: VecDeque::new(),
            refusals: VecDeque::new(),
            pongs: VecDeque::new(),
            unread: 0,
            unsent: 0,
            grown: 0,
            health: Health::new(side, config.ping_every, config.dead_after),
            events: VecDeque::new(),
            farewell: None,
            closed: false,
        }
    }

    /// Opens a stream; `None` when the protocol name is not 1 to 255 bytes long.
    ///
    /// When the peer has as many streams of this side as it allows, the stream is held back here
    /// until another one has ended.
    pub fn open(&mut self, protocol: &str, priority: Priority) -> Option<Key> {
        if protocol.is_empty() || protocol.len() > 255 {
            return None;
        }
        let key = self.insert(Stream::new(true, protocol, priority, self.config.window));
        self.plan(key);
        Some(key)
    }

    /// The next stream that the peer has opened.
    pub fn accept(&mut self) -> Option<Accepted> {
        loop {
            let key = self.incoming.pop_front()?;
            let stream = &mut self.streams[key.index()];
            stream.unaccepted = false;
            if !stream.on_wire {
                self.opened_there -= 1;
            }
            let given_up = matches!(stream.recv.state, RecvState::Reset(_))
                && matches!(stream.send.state, SendState::Stopped(_));
            if given_up {
                stream.send.released = true;
                stream.recv.released = true;
                self.settle(key);
                continue;
            }
            let protocol = std::mem::take(&mut stream.protocol).into_string();
            return Some(Accepted { key, protocol, priority: stream.priority });
        }
    }

    /// Takes `bytes` (and leaves nothing) when there is room; otherwise says `false`, and
    /// [`Event::Writable`] will come.
    pub fn write(&mut self, key: Key, bytes: &mut Bytes) -> Result<bool, SendError> {
        let stream = &mut self.streams[key.index()];
        stream.send.check_open()?;
        let unsent = stream.send.queue.len();
        if unsent >= self.config.send_buffer {
            stream.send.waiting = true;
            return Ok(false);
        }
        if unsent > 0 && self.unsent >= self.config.max_unsent {
            self.crowded.retain(|other| *other != key);
            self.crowded.push_back(key);
            return Ok(false);
        }
        self.enqueue(key, std::mem::take(bytes))?;
        Ok(true)
    }

    /// Takes bytes whether there is room or not, for whoever has them in memory anyway.
    pub fn enqueue(&mut self, key: Key, bytes: Bytes) -> Result<(), SendError> {
        let stream = &mut self.streams[key.index()];
        stream.send.check_open()?;
        if !bytes.is_empty() {
            self.unsent += bytes.len();
            stream.send.queue.push(bytes);
            self.plan(key);
        }
        Ok(())
    }

    /// Ends the sending direction behind what was written.
    pub fn finish(&mut self, key: Key) -> Result<(), SendError> {
        let stream = &mut self.streams[key.index()];
        match &stream.send.state {
            SendState::Open => {
                stream.send.state = SendState::Finishing;
                self.plan(key);
                Ok(())
            }
            SendState::Finishing | SendState::Finished => Ok(()),
            SendState::Reset | SendState::Stopped(_) => stream.send.check_open(),
        }
    }

    /// Ends the sending direction at once; what was not sent is forgotten. Without effect on a
    /// direction that has ended.
    pub fn reset(&mut self, key: Key, code: u32, text: &str) {
        let stream = &mut self.streams[key.index()];
        if !matches!(stream.send.state, SendState::Open | SendState::Finishing) {
            return;
        }
        stream.send.state = SendState::Reset;
        self.unsent -= stream.send.queue.clear();
        if stream.id == 0 {
            // The peer has never heard of it, and so never answers.
            let reason = Reason { code, text: cut_text(text).to_owned() };
            stream.recv.state = RecvState::Reset(Box::new(reason));
            self.events.push_back(Event::Reset(key));
            self.displace(key);
        } else {
            self.plan_reset(key, flag::ENDS, code, text);
        }
    }

    /// Ends the receiving direction: tells the peer to send no more and forgets what came. Without
    /// effect on a direction that has ended, but for forgetting.
    pub fn stop(&mut self, key: Key, code: u32, text: &str) {
        let stream = &mut self.streams[key.index()];
        self.unread -= stream.recv.queue.clear();
        if !matches!(stream.recv.state, RecvState::Open) {
            return;
        }
        stream.recv.state = RecvState::Stopped;
        self.plan_reset(key, flag::STOPS, code, text);
    }

    /// What there is to read.
    pub fn read(&mut self, key: Key) -> Read {
        let stream = &mut self.streams[key.index()];
        if let Some(bytes) = stream.recv.queue.pop() {
            self.unread -= bytes.len();
            let open = matches!(stream.recv.state, RecvState::Open);
            let last = stream.recv.queue.is_empty() && !open;
            if open {
                self.return_credit(key, bytes.len());
            }
            return Read::Chunk { bytes, last };
        }
        match &stream.recv.state {
            RecvState::Open => {
                stream.recv.announced = false;
                Read::Pending
            }
            RecvState::Finished => Read::End,
            RecvState::Reset(reason) => Read::Reset(Reason::clone(reason)),
            RecvState::Stopped => Read::Stopped,
        }
    }

    /// Why the peer reads no more of what this side sends, if so.
    pub fn stopped(&self, key: Key) -> Option<&Reason> {
        match &self.streams[key.index()].send.state {
            SendState::Stopped(reason) => Some(reason),
            _ => None,
        }
    }

    /// Whether the peer may have heard of a stream.
    pub fn was_sent(&self, key: Key) -> bool {
        self.streams[key.index()].id != 0
    }

    /// Lets go of the sending direction; resets it unless it has ended.
    pub fn release_send(&mut self, key: Key) {
        self.reset_if_open(key);
        self.streams[key.index()].send.released = true;
        self.settle(key);
    }

    /// Lets go of the receiving direction; stops the peer unless it has ended.
    pub fn release_recv(&mut self, key: Key) {
        self.stop(key, code::CANCELLED, "nobody reads this stream any more");
        self.streams[key.index()].recv.released = true;
        self.settle(key);
    }

    /// Ends both directions at once and lets go of both: a call that nobody waits for. The sending
    /// direction may have been finished and released before.
    pub fn give_up(&mut self, key: Key, code: u32, text: &str) {
        self.reset(key, code, text);
        self.stop(key, code, text);
        self.release_send(key);
        self.release_recv(key);
    }

    /// Says farewell and forgets everything else that was to be sent.
    pub fn close(&mut self, code: u32, text: &str) {
        if !self.closed {
            self.farewell = Some(Reason { code, text: cut_text(text).to_owned() });
            self.schedule.clear();
            self.waiting.clear();
            self.closed = true;
        }
    }

    /// What happened to streams since the last call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The round trip to the peer, smoothed.
    pub fn rtt(&self) -> Option<Duration> {
        self.health.rtt()
    }

    /// How many streams exist, the ended ones that somebody still holds included.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// When [`tick`](Self::tick) is due.
    pub fn deadline(&self) -> Option<Duration> {
        (!self.closed).then(|| self.health.deadline())
    }

    /// Lets time pass. Call it after everything that came was received.
    pub fn tick(&mut self, now: Duration) {
        if !self.closed && now >= self.health.dead_at() {
            self.closed = true;
            self.events.push_back(Event::Dead);
        }
    }

    /// Notes that the connection took some of what was to be sent.
    pub fn transmitted(&mut self, now: Duration) {
        self.health.progressed(now);
    }

    fn insert(&mut self, stream: Stream) -> Key {
        let index = self.streams.insert(stream);
        Key(u32::try_from(index).expect("fewer than 2^32 streams at a time"))
    }

    /// Sends the stream to where it waits for its turn, if it has something to send.
    fn plan(&mut self, key: Key) {
        let stream = &mut self.streams[key.index()];
        if stream.place == Place::Nowhere && stream.is_sendable() && !self.closed {
            let class = stream.class();
            stream.place = Place::Ready(class);
            self.schedule.push(class, key);
        }
    }

    /// Takes the stream out of where it waits.
    fn displace(&mut self, key: Key) {
        match std::mem::replace(&mut self.streams[key.index()].place, Place::Nowhere) {
            Place::Nowhere => (),
            Place::Ready(class) => self.schedule.remove(class, key),
            Place::Waiting(class) => self.waiting.remove(class, key),
        }
        if std::mem::take(&mut self.streams[key.index()].promised) {
            self.promised -= 1;
            self.promote();
        }
    }

    /// Promises streams that wait as many places as the peer has free, so that no newer stream
    /// takes them.
    fn promote(&mut self) {
        while self.opened_here + self.promised < self.config.max_streams
            && let Some((class, key)) = self.waiting.pop()
        {
            // As if each opened with a whole frame: no priority waits for ever.
            self.waiting.sent(class, MAX_PAYLOAD);
            self.promised += 1;
            let stream = &mut self.streams[key.index()];
            stream.promised = true;
            stream.place = Place::Ready(class);
            self.schedule.push(class, key);
        }
    }

    fn plan_urgent(&mut self, key: Key) {
        let stream = &mut self.streams[key.index()];
        // One of which the peer has not heard becomes urgent when it is opened.
        if !stream.urgent && stream.id != 0 && !self.closed {
            stream.urgent = true;
            self.urgent.push_back(key);
        }
    }

    fn plan_reset(&mut self, key: Key, flags: u8, code: u32, text: &str) {
        let stream = &mut self.streams[key.index()];
        if let Some(reset) = &mut stream.reset {
            reset.flags |= flags;
        } else {
            let reason = Reason { code, text: cut_text(text).to_owned() };
            stream.reset = Some(Box::new(PendingReset { flags, reason }));
        }
        self.plan_urgent(key);
    }

    fn reset_if_open(&mut self, key: Key) {
        if matches!(self.streams[key.index()].send.state, SendState::Open) {
            self.reset(key, code::CANCELLED, "the stream was dropped before it was finished");
        }
    }

    /// Gives the peer credit for what was read; more when the reader keeps up.
    fn return_credit(&mut self, key: Key, read: usize) {
        let Config { window: initial, max_window, max_unread, .. } = self.config;
        let recv = &mut self.streams[key.index()].recv;
        recv.consumed += u32::try_from(read).expect("no more than the window was unread");
        if recv.consumed < recv.window / 2 {
            return;
        }
        let mut grant = std::mem::take(&mut recv.consumed);
        // An empty queue says that the window, not the reader, is what limits the peer.
        let max_window = max_window.min(self.health.useful_window());
        let growth = recv.window.min(max_window.saturating_sub(recv.window));
        if recv.queue.is_empty() && self.grown + (growth as usize) <= max_unread / 2 {
            recv.window += growth;
            self.grown += growth as usize;
            grant += growth;
        }
        debug_assert!(recv.window >= initial);
        recv.allowed += grant;
        recv.grant += grant;
        self.plan_urgent(key);
    }

    /// Follows up on directions that may have ended: frees what nobody needs any more.
    fn settle(&mut self, key: Key) {
        let stream = &mut self.streams[key.index()];
        let over = stream.send.over && stream.recv.over;
        if over && stream.on_wire {
            stream.on_wire = false;
            self.by_number.remove(&stream.id);
            if stream.ours {
                self.opened_here -= 1;
                self.promote();
            } else if !stream.unaccepted {
                self.opened_there -= 1;
            }
        }
        let stream = &self.streams[key.index()];
        let never_sent = stream.id == 0 && matches!(stream.send.state, SendState::Reset);
        if stream.send.released && stream.recv.released && (over || never_sent) {
            self.free(key);
        }
    }

    fn free(&mut self, key: Key) {
        self.displace(key);
        let stream = self.streams.remove(key.index());
        if stream.urgent {
            self.urgent.retain(|other| *other != key);
        }
        self.crowded.retain(|other| *other != key);
        self.unread -= stream.recv.queue.len();
        self.unsent -= stream.send.queue.len();
        self.grown -= (stream.recv.window - self.config.window) as usize;
    }
}

#[cfg(test)]
mod tests;
