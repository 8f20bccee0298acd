//! What crosses a link: frames, the multiplexer, the handshake and the messages of each protocol.
//!
//! Everything here is pure: bytes and the present time go in, bytes and effects come out. Sockets
//! are the business of `remuda-link`.

pub mod codec;
pub mod frame;
pub mod handshake;
pub mod message;
pub mod mux;
pub mod opening;

pub use codec::{DecodeError, decode, encode, encode_framed};

/// The protocol versions that this build speaks, best first.
pub const VERSIONS: &[u16] = &[2, 1];

#[cfg(test)]
mod tests {
    use remuda_model::Release;

    #[test]
    fn this_build_speaks_what_its_release_says() {
        assert_eq!(super::VERSIONS, Release::CURRENT.protocols());
    }
}
