//! What goes into one write: many frames, small parts copied together, large ones as they are.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes, BytesMut};

/// Frames on their way to a socket; read it as a [`Buf`].
#[derive(Debug)]
pub struct Batch {
    /// Before `small`, in order.
    parts: VecDeque<Bytes>,
    small: BytesMut,
    remaining: usize,
    copy_below: usize,
}

impl Batch {
    /// An empty batch that copies parts of fewer than `copy_below` bytes together. A writer that
    /// takes only one slice at a time wants everything copied: `usize::MAX`.
    pub fn new(copy_below: usize) -> Self {
        Self { parts: VecDeque::new(), small: BytesMut::new(), remaining: 0, copy_below }
    }

    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        self.remaining
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    /// Gives back memory, when it is empty.
    pub fn shrink(&mut self) {
        if self.remaining == 0 {
            *self = Self::new(self.copy_below);
        }
    }

    pub(super) fn put(&mut self, bytes: Bytes) {
        if bytes.len() < self.copy_below {
            self.put_slice(&bytes);
        } else {
            self.remaining += bytes.len();
            if !self.small.is_empty() {
                self.parts.push_back(self.small.split().freeze());
            }
            self.parts.push_back(bytes);
        }
    }

    pub(super) fn put_slice(&mut self, bytes: &[u8]) {
        self.remaining += bytes.len();
        self.small.extend_from_slice(bytes);
    }
}

impl Buf for Batch {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.parts.front().map_or(&self.small[..], |part| &part[..])
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.remaining, "cannot advance beyond the end");
        self.remaining -= count;
        while count > 0 {
            let Some(part) = self.parts.front_mut() else {
                self.small.advance(count);
                return;
            };
            let step = count.min(part.len());
            part.advance(step);
            count -= step;
            if part.is_empty() {
                self.parts.pop_front();
            }
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let parts = self.parts.iter().map(|part| &part[..]);
        let all = parts.chain(std::iter::once(&self.small[..])).filter(|part| !part.is_empty());
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(all) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        count
    }
}
