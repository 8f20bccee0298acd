//! REST v1 of a cluster.

mod described;
pub mod dto;
