//! Numbers of streams: in ascending order per side, around the end of the numbers and on.

use std::hash::{BuildHasherDefault, Hasher};

use super::{ProtocolError, Side};

/// Streams by number. The peer cannot choose its numbers, so a plain multiplication spreads them
/// well enough.
pub(super) type ByNumber<V> = std::collections::HashMap<u32, V, BuildHasherDefault<Spread>>;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The numbers of one side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    parity: u32,
    next: u32,
}

impl Numbers {
    pub(super) fn of(side: Side) -> Self {
        let first = match side {
            Side::Dialer => 1,
            Side::Listener => 2,
        };
        Self { parity: first % 2, next: first }
    }

    #[cfg(test)]
    pub(super) fn starting_at(number: u32) -> Self {
        Self { parity: number % 2, next: number }
    }

    /// Whether a number belongs to this side.
    pub(super) fn owns(self, number: u32) -> bool {
        number % 2 == self.parity
    }

    /// Takes the next number that is free.
    pub(super) fn take(&mut self, is_used: impl Fn(u32) -> bool) -> u32 {
        loop {
            let number = self.next;
            self.next = self.next.wrapping_add(2);
            if number != 0 && !is_used(number) {
                return number;
            }
        }
    }

    /// Notes that the other side has opened a stream of this number. It may have skipped a few
    /// that are still used.
    pub(super) fn opened(&mut self, number: u32, is_used: bool) -> Result<(), ProtocolError> {
        if !self.owns(number) {
            return Err(ProtocolError::WrongSide(number));
        }
        if is_used || self.is_past(number) {
            return Err(ProtocolError::OpenedTwice(number));
        }
        self.next = number.wrapping_add(2);
        Ok(())
    }

    /// Whether a stream of this number was opened before: numbers go around, so the half behind
    /// the next one is the past.
    pub(super) fn is_past(self, number: u32) -> bool {
        number.wrapping_sub(self.next) > u32::MAX / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_has_its_numbers() {
        let mut dialer = Numbers::of(Side::Dialer);
        let mut listener = Numbers::of(Side::Listener);
        assert_eq!([dialer.take(|_| false), dialer.take(|_| false)], [1, 3]);
        assert_eq!([listener.take(|_| false), listener.take(|_| false)], [2, 4]);
    }

    #[test]
    fn numbers_go_around_and_skip_what_is_used() {
        let mut here = Numbers::starting_at(u32::MAX - 1);
        let mut there = here;
        let numbers: Vec<_> = (0..4).map(|_| here.take(|number| number == 4)).collect();
        assert_eq!(numbers, [u32::MAX - 1, 2, 6, 8]);
        for number in numbers {
            assert!(!there.is_past(number));
            assert_eq!(there.opened(number, false), Ok(()));
            assert!(there.is_past(number));
        }
        assert_eq!(there.opened(6, false), Err(ProtocolError::OpenedTwice(6)));
        assert_eq!(there.opened(9, false), Err(ProtocolError::WrongSide(9)));
        assert_eq!(there.opened(10, true), Err(ProtocolError::OpenedTwice(10)));
    }
}
