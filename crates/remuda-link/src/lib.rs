//! Authenticated connections between nodes, over tls, tcp, ws, wss, quic and memory.
