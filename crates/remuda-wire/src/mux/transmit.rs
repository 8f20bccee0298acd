//! What goes to the peer.

use std::time::Duration;

use super::{
    Batch, Event, Key, Mux, Priority, Reason, code,
    stream::{Place, RecvState, SendState},
};
use crate::frame::{HEADER, Header, Kind, flag};

impl Mux {
    /// Appends what should be sent now to `out`, until it holds `limit` bytes or a frame more.
    /// Tells whether there was anything.
    pub fn poll_transmit(&mut self, now: Duration, out: &mut Batch, limit: usize) -> bool {
        let before = out.len();
        if self.closed {
            if let Some(reason) = self.farewell.take() {
                put_reason(out, Kind::GoAway, 0, 0, &reason);
            }
            return out.len() > before;
        }
        self.transmit_about_link(now, out);
        while out.len() < limit
            && let Some(key) = self.urgent.pop_front()
        {
            self.transmit_urgent(key, out);
        }
        while out.len() < limit
            && let Some((class, key)) = self.schedule.pop()
        {
            let start = out.len();
            self.transmit_data(key, class, out);
            self.schedule.sent(class, out.len() - start);
        }
        if self.unsent < self.config.max_unsent {
            self.events.extend(self.crowded.drain(..).map(Event::Writable));
        }
        out.len() > before
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something now, pings aside.
    pub fn has_output(&self) -> bool {
        if self.closed {
            return self.farewell.is_some();
        }
        !(self.pongs.is_empty()
            && self.refusals.is_empty()
            && self.urgent.is_empty()
            && self.schedule.is_empty())
    }

    fn transmit_about_link(&mut self, now: Duration, out: &mut Batch) {
        if let Some(number) = self.health.ping(now) {
            put(out, Kind::Ping, 0, 0, &number.to_be_bytes());
        }
        while let Some(number) = self.pongs.pop_front() {
            put(out, Kind::Pong, 0, 0, &number);
        }
        while let Some(number) = self.refusals.pop_front() {
            let text = "too many streams at a time".to_owned();
            let reason = Reason { code: code::REFUSED, text };
            put_reason(out, Kind::Reset, flag::ENDS | flag::STOPS, number, &reason);
        }
    }

    fn transmit_urgent(&mut self, key: Key, out: &mut Batch) {
        let stream = &mut self.streams[key.index()];
        stream.urgent = false;
        if let Some(reset) = stream.reset.take() {
            put_reason(out, Kind::Reset, reset.flags, stream.id, &reset.reason);
            stream.send.over |= reset.flags & flag::ENDS != 0;
            stream.recv.over |= reset.flags & flag::STOPS != 0;
        }
        let grant = std::mem::take(&mut stream.recv.grant);
        if grant > 0 && matches!(stream.recv.state, RecvState::Open) {
            put(out, Kind::Credit, 0, stream.id, &grant.to_be_bytes());
        }
        self.settle(key);
    }

    fn transmit_data(&mut self, key: Key, class: Priority, out: &mut Batch) {
        let stream = &mut self.streams[key.index()];
        stream.place = Place::Nowhere;
        if !stream.is_sendable() {
            return;
        }
        let (kind, overhead) = if stream.id == 0 {
            if std::mem::take(&mut stream.promised) {
                self.promised -= 1;
            } else if self.opened_here + self.promised >= self.config.max_streams {
                stream.place = Place::Waiting(class);
                self.waiting.push(class, key);
                return;
            }
            stream.id = self.ours.take(|number| self.by_number.contains_key(&number));
            stream.on_wire = true;
            self.by_number.insert(stream.id, key);
            self.opened_here += 1;
            (Kind::Open, 1 + stream.protocol.len())
        } else {
            (Kind::Data, 0)
        };
        let length = stream.next_length(overhead);
        let fin =
            matches!(stream.send.state, SendState::Finishing) && length == stream.send.queue.len();
        let mut flags = if fin { flag::FIN } else { 0 };
        if kind == Kind::Open {
            flags |= (stream.priority as u8) << flag::PRIORITY_SHIFT;
        }
        put_header(out, kind, flags, stream.id, overhead + length);
        if kind == Kind::Open {
            let name = std::mem::take(&mut stream.protocol);
            let name_length = u8::try_from(name.len()).expect("checked when it was opened");
            out.put_slice(&[name_length]);
            out.put_slice(name.as_bytes());
        }
        stream.send.queue.transmit(length, out);
        stream.send.credit -= u32::try_from(length).expect("not beyond the credit");
        stream.send.sent = stream.send.sent.saturating_add(length);
        self.unsent -= length;
        if fin {
            stream.send.state = SendState::Finished;
            stream.send.over = true;
        }
        if stream.send.waiting && stream.send.queue.len() <= self.config.send_buffer / 2 {
            stream.send.waiting = false;
            self.events.push_back(Event::Writable(key));
        }
        if kind == Kind::Open && stream.reset.is_some() {
            self.plan_urgent(key);
        }
        self.plan(key);
        if fin {
            self.settle(key);
        }
    }
}

fn put_header(out: &mut Batch, kind: Kind, flags: u8, stream: u32, length: usize) {
    let mut bytes = [0; HEADER];
    Header { length, kind, flags, stream }.write(&mut &mut bytes[..]);
    out.put_slice(&bytes);
}

fn put(out: &mut Batch, kind: Kind, flags: u8, stream: u32, payload: &[u8]) {
    put_header(out, kind, flags, stream, payload.len());
    out.put_slice(payload);
}

fn put_reason(out: &mut Batch, kind: Kind, flags: u8, stream: u32, reason: &Reason) {
    put_header(out, kind, flags, stream, 4 + reason.text.len());
    out.put_slice(&reason.code.to_be_bytes());
    out.put_slice(reason.text.as_bytes());
}
