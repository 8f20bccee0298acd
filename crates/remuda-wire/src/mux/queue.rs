//! Bytes that wait, in order: whole chunks where they are large, merged where they are small.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::Batch;

/// Chunks below this are merged with their neighbours, so that a flood of tiny chunks costs no more
/// memory than its bytes.
const SMALL: usize = 1024;
/// Merged chunks grow up to this.
const MERGED: usize = 16 * 1024;

/// Invariant: `front` is empty only if everything is. Order: front, middle, tail.
#[derive(Debug, Default)]
pub(super) struct Queue {
    front: Bytes,
    middle: VecDeque<Bytes>,
    tail: BytesMut,
    len: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        if self.len == 0 {
            self.front = bytes;
            self.len = self.front.len();
        } else if bytes.len() < SMALL {
            self.merge(&bytes);
        } else {
            self.len += bytes.len();
            self.close_tail();
            self.middle.push_back(bytes);
        }
    }

    pub(super) fn push_slice(&mut self, bytes: &[u8]) {
        if self.len > 0 && bytes.len() < SMALL {
            self.merge(bytes);
        } else {
            self.push(Bytes::copy_from_slice(bytes));
        }
    }

    fn merge(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        self.tail.extend_from_slice(bytes);
        if self.tail.len() >= MERGED {
            self.close_tail();
        }
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.middle.push_back(std::mem::take(&mut self.tail).freeze());
        }
    }

    /// The next chunk.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        if self.len == 0 {
            return None;
        }
        let chunk = std::mem::take(&mut self.front);
        self.len -= chunk.len();
        self.refill();
        Some(chunk)
    }

    fn refill(&mut self) {
        self.front = match self.middle.pop_front() {
            Some(next) => next,
            None => std::mem::take(&mut self.tail).freeze(),
        };
    }

    /// Moves the first `count` bytes into a batch.
    pub(super) fn transmit(&mut self, mut count: usize, out: &mut Batch) {
        debug_assert!(count <= self.len);
        self.len -= count;
        while count > 0 {
            let part = self.front.split_to(count.min(self.front.len()));
            count -= part.len();
            out.put(part);
            if self.front.is_empty() {
                self.refill();
            }
        }
    }

    /// Forgets everything and tells how much it was.
    pub(super) fn clear(&mut self) -> usize {
        std::mem::take(self).len
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_leave_in_the_order_in_which_they_came(
            chunks in prop::collection::vec((1..3000_usize, any::<bool>(), 0..3_u8), 0..40),
        ) {
            let mut queue = Queue::default();
            let (mut put, mut got) = (Vec::new(), Vec::new());
            for (number, (length, as_slice, then)) in chunks.into_iter().enumerate() {
                let chunk = vec![u8::try_from(number).expect("few"); length];
                put.extend_from_slice(&chunk);
                if as_slice { queue.push_slice(&chunk) } else { queue.push(chunk.into()) }
                match then {
                    0 => got.extend_from_slice(&queue.pop().expect("something was put")),
                    1 => {
                        let mut out = Batch::new(100);
                        queue.transmit(queue.len() / 2, &mut out);
                        while out.has_remaining() {
                            let chunk = out.chunk().to_vec();
                            out.advance(chunk.len());
                            got.extend_from_slice(&chunk);
                        }
                    }
                    _ => (),
                }
                prop_assert_eq!(queue.len(), put.len() - got.len());
            }
            while let Some(chunk) = queue.pop() {
                prop_assert!(!chunk.is_empty());
                got.extend_from_slice(&chunk);
            }
            prop_assert_eq!(put, got);
        }
    }
}
