//! What crosses a link: frames, multiplexer, handshake and messages, all pure.
