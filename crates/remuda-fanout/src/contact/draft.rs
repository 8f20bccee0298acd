//! What is known of a target's answer so far, so that it is kept when time runs out.

use crate::Again;

/// How much is read and dropped after what is kept, before the connection is closed.
const DRAIN: usize = 4 << 20;

/// What is known of a target's answer so far.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) address: Option<String>,
    pub(crate) status: Option<i32>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Kept,
    pub(crate) stderr: Kept,
    /// What may be done if the attempt ends now by trouble that passes.
    pub(crate) moment: Again,
}

impl Draft {
    pub(crate) fn new() -> Self {
        Self {
            address: None,
            status: None,
            headers: Vec::new(),
            body: Kept::default(),
            stderr: Kept::default(),
            moment: Again::NothingSent,
        }
    }

    /// From now on this address is contacted.
    pub(crate) fn at(&mut self, address: &impl ToString) {
        self.address = Some(address.to_string());
    }

    /// From now on the target may have got something, which may be sent again if it is `repeatable`.
    /// What was once sent and is not repeatable makes the whole attempt so.
    pub(crate) fn sends(&mut self, repeatable: bool) {
        self.moment = match (self.moment, repeatable) {
            (Again::No, _) | (_, false) => Again::No,
            (_, true) => Again::Repeatable,
        };
    }
}

/// The first bytes of an output, up to a cap.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    bytes: Vec<u8>,
    cap: usize,
    dropped: usize,
}

impl Kept {
    /// Nothing yet, and at most `cap` bytes.
    pub(crate) fn up_to(cap: usize) -> Self {
        Self { cap, ..Self::default() }
    }

    /// Takes what fits. Returns whether to read on.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        let fits = bytes.len().min(self.cap - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..fits]);
        self.dropped = self.dropped.saturating_add(bytes.len() - fits);
        self.dropped <= DRAIN
    }

    /// Whether there was more than is kept.
    pub(crate) fn is_truncated(&self) -> bool {
        self.dropped > 0
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_bytes_are_kept_however_they_come(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20),
            cap in 0..300_usize,
        ) {
            let mut kept = Kept::up_to(cap);
            for piece in &pieces {
                prop_assert!(kept.push(piece));
            }
            let all = pieces.concat();
            prop_assert_eq!(kept.is_truncated(), all.len() > cap);
            prop_assert_eq!(kept.into_vec(), &all[..all.len().min(cap)]);
        }
    }

    #[test]
    fn what_never_ends_is_not_read_to_its_end() {
        let mut kept = Kept::up_to(10);
        let piece = vec![0; 1 << 20];
        let read = (0..100).take_while(|_| kept.push(&piece)).count();
        assert_eq!(read, 4);
        assert_eq!(kept.as_slice().len(), 10);
    }
}
