//! What comes from the peer.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use super::{
    Event, Key, Mux, Priority, ProtocolError, Reason, code,
    stream::{RecvState, SendState, Stream},
};
use crate::frame::{HEADER, Header, Kind, MAX_TEXT, flag};

/// Payloads from this length on keep the memory into which they were read; shorter ones are copied,
/// so that they do not hold a large buffer.
const SHARED: usize = 16 * 1024;
/// Answers to pings that may wait; the peer asks once at a time.
const MAX_PONGS: usize = 16;

impl Mux {
    /// Takes all whole frames from the front of `input`.
    ///
    /// # Errors
    ///
    /// When the peer broke the protocol: the link cannot go on, [`close`](Mux::close) it.
    pub fn receive(&mut self, now: Duration, input: &mut BytesMut) -> Result<(), ProtocolError> {
        if !input.is_empty() {
            self.health.heard(now);
        }
        while let Some(first) = input.first_chunk::<HEADER>() {
            if self.closed {
                input.clear();
                break;
            }
            let header = Header::read(first)?;
            if input.len() < HEADER + header.length {
                break;
            }
            input.advance(HEADER);
            if header.kind == Kind::Data {
                self.receive_data(header, input)?;
            } else {
                self.receive_other(now, header, &input[..header.length])?;
                input.advance(header.length);
            }
        }
        Ok(())
    }

    /// How many bytes are missing to the end of the frame at the front of `input`.
    pub fn missing(input: &BytesMut) -> usize {
        let length = input.first_chunk().and_then(|first| Header::read(first).ok());
        (HEADER + length.map_or(0, |header| header.length)).saturating_sub(input.len())
    }

    fn receive_other(
        &mut self,
        now: Duration,
        header: Header,
        payload: &[u8],
    ) -> Result<(), ProtocolError> {
        let malformed = ProtocolError::Payload(header.stream);
        match header.kind {
            Kind::Open => self.receive_open(header, payload),
            Kind::Data => unreachable!("taken by the caller"),
            Kind::Credit => {
                let amount = payload.try_into().map(u32::from_be_bytes).unwrap_or_default();
                if amount == 0 {
                    return Err(malformed);
                }
                self.receive_credit(header.stream, amount)
            }
            Kind::Reset => {
                let reason = read_reason(payload).ok_or(malformed)?;
                if header.flags == 0 {
                    return Err(malformed);
                }
                self.receive_reset(header, reason)
            }
            Kind::Ping => {
                let number = payload.try_into().or(Err(malformed))?;
                if self.pongs.len() == MAX_PONGS {
                    self.pongs.pop_front();
                }
                self.pongs.push_back(number);
                self.health.was_asked(now);
                Ok(())
            }
            Kind::Pong => {
                let number = payload.try_into().or(Err(malformed))?;
                self.health.pong(now, u64::from_be_bytes(number));
                Ok(())
            }
            Kind::GoAway => {
                let reason = read_reason(payload).ok_or(malformed)?;
                self.closed = true;
                self.events.push_back(Event::GoAway(reason));
                Ok(())
            }
        }
    }

    fn receive_open(&mut self, header: Header, payload: &[u8]) -> Result<(), ProtocolError> {
        let number = header.stream;
        let malformed = ProtocolError::Payload(number);
        let (&length, rest) = payload.split_first().ok_or(malformed)?;
        let (name, data) = rest.split_at_checked(usize::from(length)).ok_or(malformed)?;
        let protocol = str::from_utf8(name).or(Err(malformed))?;
        if protocol.is_empty() {
            return Err(malformed);
        }
        self.theirs.opened(number, self.by_number.contains_key(&number))?;
        if self.opened_there >= self.config.max_streams {
            if self.refusals.len() >= self.config.max_streams {
                return Err(ProtocolError::Flood);
            }
            self.refusals.push_back(number);
            return Ok(());
        }
        let bits = (header.flags & flag::PRIORITY) >> flag::PRIORITY_SHIFT;
        let priority = Priority::ALL[usize::from(bits)];
        let mut stream = Stream::new(false, protocol, priority, self.config.window);
        stream.id = number;
        // Whoever accepts it looks for bytes by itself.
        stream.recv.announced = true;
        let key = self.insert(stream);
        self.by_number.insert(number, key);
        self.opened_there += 1;
        self.incoming.push_back(key);
        self.events.push_back(Event::Opened);
        self.take_in(key, number, data.len(), header.flags & flag::FIN != 0, |recv| {
            recv.push_slice(data);
        })
    }

    fn receive_data(&mut self, header: Header, input: &mut BytesMut) -> Result<(), ProtocolError> {
        let fin = header.flags & flag::FIN != 0;
        if header.length == 0 && !fin {
            return Err(ProtocolError::Payload(header.stream));
        }
        let Some(key) = self.find(header.stream)? else {
            input.advance(header.length);
            return Ok(());
        };
        if header.length < SHARED {
            let data = &input[..header.length];
            self.take_in(key, header.stream, data.len(), fin, |queue| queue.push_slice(data))?;
            input.advance(header.length);
            Ok(())
        } else {
            let data: Bytes = input.split_to(header.length).freeze();
            self.take_in(key, header.stream, data.len(), fin, |queue| queue.push(data))
        }
    }

    fn take_in(
        &mut self,
        key: Key,
        number: u32,
        length: usize,
        fin: bool,
        put: impl FnOnce(&mut super::queue::Queue),
    ) -> Result<(), ProtocolError> {
        let recv = &mut self.streams[key.index()].recv;
        if recv.ended {
            return Err(ProtocolError::AfterEnd(number));
        }
        let left = u32::try_from(length).ok().and_then(|length| recv.allowed.checked_sub(length));
        recv.allowed = left.ok_or(ProtocolError::BeyondCredit(number))?;
        let wanted = matches!(recv.state, RecvState::Open);
        if wanted && length > 0 {
            put(&mut recv.queue);
            self.unread += length;
            if !recv.announced && !fin {
                recv.announced = true;
                self.events.push_back(Event::Readable(key));
            }
        }
        if fin {
            recv.ended = true;
            recv.over = true;
            if wanted {
                recv.state = RecvState::Finished;
                self.events.push_back(Event::Finished(key));
            }
            self.drop_pending(key, flag::STOPS);
            self.settle(key);
        }
        if self.unread > self.config.max_unread {
            self.shed();
        }
        Ok(())
    }

    /// Resets the stream that holds most unread bytes.
    fn shed(&mut self) {
        let fullest = self.streams.iter().max_by_key(|(_, stream)| stream.recv.queue.len());
        let Some((index, _)) = fullest else { return };
        let key = Key(u32::try_from(index).expect("made from a key"));
        let text = "too many unread bytes";
        let reason = Box::new(Reason { code: code::OVERLOADED, text: text.to_owned() });
        let stream = &mut self.streams[index];
        self.unread -= stream.recv.queue.clear();
        stream.recv.state = RecvState::Reset(reason.clone());
        let mut flags = if stream.recv.over { 0 } else { flag::STOPS };
        if matches!(stream.send.state, SendState::Open | SendState::Finishing) {
            self.unsent -= stream.send.queue.clear();
            stream.send.state = SendState::Stopped(reason);
            flags |= flag::ENDS;
        }
        self.events.push_back(Event::Reset(key));
        if flags != 0 {
            self.plan_reset(key, flags, code::OVERLOADED, text);
        }
    }

    fn receive_credit(&mut self, number: u32, amount: u32) -> Result<(), ProtocolError> {
        let Some(key) = self.find(number)? else { return Ok(()) };
        let send = &mut self.streams[key.index()].send;
        send.credit =
            send.credit.checked_add(amount).ok_or(ProtocolError::CreditOverflow(number))?;
        self.plan(key);
        Ok(())
    }

    fn receive_reset(&mut self, header: Header, reason: Reason) -> Result<(), ProtocolError> {
        let Some(key) = self.find(header.stream)? else { return Ok(()) };
        let stream = &mut self.streams[key.index()];
        if header.flags & flag::ENDS != 0 && !stream.recv.ended {
            stream.recv.ended = true;
            stream.recv.over = true;
            if matches!(stream.recv.state, RecvState::Open) {
                self.unread -= stream.recv.queue.clear();
                stream.recv.state = RecvState::Reset(Box::new(reason.clone()));
            }
        }
        if header.flags & flag::STOPS != 0 && !stream.send.over {
            stream.send.over = true;
            self.unsent -= stream.send.queue.clear();
            stream.send.state = SendState::Stopped(Box::new(reason));
        }
        // The peer needs to hear nothing more about a direction that it has ended itself.
        let mut gone = 0;
        if stream.recv.over {
            gone |= flag::STOPS;
        }
        if stream.send.over {
            gone |= flag::ENDS;
        }
        self.events.push_back(Event::Reset(key));
        self.drop_pending(key, gone);
        self.settle(key);
        Ok(())
    }

    fn drop_pending(&mut self, key: Key, flags: u8) {
        let pending = &mut self.streams[key.index()].reset;
        if let Some(reset) = pending {
            reset.flags &= !flags;
            if reset.flags == 0 {
                *pending = None;
            }
        }
    }

    /// The stream of a number; `None` for one that has ended here already, whose last frames the
    /// peer may have sent before it knew.
    fn find(&self, number: u32) -> Result<Option<Key>, ProtocolError> {
        if let Some(key) = self.by_number.get(&number) {
            return Ok(Some(*key));
        }
        let side = if self.ours.owns(number) { self.ours } else { self.theirs };
        if side.is_past(number) { Ok(None) } else { Err(ProtocolError::NeverOpened(number)) }
    }
}

fn read_reason(payload: &[u8]) -> Option<Reason> {
    let (code, text) = payload.split_first_chunk::<4>()?;
    if text.len() > MAX_TEXT {
        return None;
    }
    let text = str::from_utf8(text).ok()?.to_owned();
    Some(Reason { code: u32::from_be_bytes(*code), text })
}
