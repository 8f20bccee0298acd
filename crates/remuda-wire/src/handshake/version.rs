//! Which protocol version both sides speak, and how a client notices that somebody in between took
//! better ones out of its offer.
//!
//! The offer comes before anything is proved. A server that speaks better versions than the one it
//! had to choose says so at the end of its nonce, as in RFC 8446, section 4.1.3; the proofs of both
//! sides cover the nonce. Servers of version 1 know nothing better and never say it.

/// How the nonce of such a server ends.
const SPEAKS_BETTER: [u8; 8] = *b"rmda>ver";

/// The first version offered that this side speaks; `ours` and `offered` have the best first.
pub(super) fn choose(offered: &[u16], ours: &[u16]) -> Option<u16> {
    offered.iter().copied().find(|version| ours.contains(version))
}

/// Marks the nonce of a server that speaks better than the chosen version.
pub(super) fn mark(nonce: &mut [u8; 32], chosen: u16, ours: &[u16]) {
    if ours.first() != Some(&chosen)
        && let Some(tail) = nonce.last_chunk_mut()
    {
        *tail = SPEAKS_BETTER;
    }
}

/// Whether a client that offered better than the chosen version talks to a server that would have
/// taken it.
pub(super) fn is_downgraded(nonce: &[u8; 32], chosen: u16, ours: &[u16]) -> bool {
    ours.first() != Some(&chosen) && nonce.ends_with(&SPEAKS_BETTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_common_version_is_chosen() {
        assert_eq!(choose(&[2, 1], &[2, 1]), Some(2));
        assert_eq!(choose(&[3, 2], &[2, 1]), Some(2));
        assert_eq!(choose(&[1], &[2, 1]), Some(1));
        assert_eq!(choose(&[9, 7], &[2, 1]), None);
        assert_eq!(choose(&[], &[2, 1]), None);
    }

    #[test]
    fn only_an_offer_that_was_cut_looks_so() {
        // What the server speaks, what reached it, what the client had offered.
        let cut = |server: &[u16], reached: &[u16], client: &[u16]| {
            let chosen = choose(reached, server).expect("a common version");
            let mut nonce = [7; 32];
            mark(&mut nonce, chosen, server);
            is_downgraded(&nonce, chosen, client)
        };
        assert!(cut(&[2, 1], &[1], &[2, 1]));
        for (server, client) in [
            (&[2, 1][..], &[2, 1][..]),
            (&[1], &[2, 1]),
            (&[2, 1], &[1]),
            (&[3, 2], &[2, 1]),
            (&[2, 1], &[3, 2]),
        ] {
            assert!(!cut(server, client, client), "{server:?} {client:?}");
        }
    }
}
