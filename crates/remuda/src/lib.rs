//! The cluster is a library: a client of a cluster, and an agent to embed.

pub mod client;
