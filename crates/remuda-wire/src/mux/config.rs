//! What the two sides of a link choose for it.

use std::time::Duration;

/// Which side of the link this is. It decides the numbers of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The side that dialled.
    Dialer,
    /// The side that listened.
    Listener,
}

/// What goes first when a link is busy. Each priority goes almost strictly before the next; the
/// lower ones still get a small share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// What keeps the cluster together: consensus, sessions.
    Control = 0,
    /// Short calls that somebody waits for. What a call sends beyond 64 KiB counts as bulk.
    Calls = 1,
    /// Events and statistics.
    Events = 2,
    /// Files, logs, outputs: whatever may be large.
    Bulk = 3,
}

impl Priority {
    /// All priorities, first ones first.
    pub const ALL: [Self; 4] = [Self::Control, Self::Calls, Self::Events, Self::Bulk];
}

/// The limits and times of one link. Windows and stream counts are part of the protocol: both
/// sides must use the same `window` and `max_streams`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many unread bytes a stream may hold at first: 256 KiB.
    pub window: u32,
    /// How far the window of a stream grows when its reader keeps up: 8 MiB; on short paths less,
    /// as nothing is gained by it there.
    pub max_window: u32,
    /// How many unread bytes all streams together may hold: 64 MiB. Beyond it, the stream that
    /// holds most is reset as overloaded.
    pub max_unread: usize,
    /// How many unsent bytes a stream may hold before its writer has to wait: 256 KiB.
    pub send_buffer: usize,
    /// The same for all streams together: 32 MiB.
    pub max_unsent: usize,
    /// How many streams each side may have open: 4096.
    pub max_streams: usize,
    /// How often the peer is asked for a sign of life: 5 s. The side that listened asks a quarter
    /// as often while the other one asks.
    pub ping_every: Duration,
    /// After how long without one the link is dead: 15 s.
    pub dead_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: 256 << 10,
            max_window: 8 << 20,
            max_unread: 64 << 20,
            send_buffer: 256 << 10,
            max_unsent: 32 << 20,
            max_streams: 4096,
            ping_every: Duration::from_secs(5),
            dead_after: Duration::from_secs(15),
        }
    }
}
