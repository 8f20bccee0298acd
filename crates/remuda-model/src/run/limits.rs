//! Time and width of a run.

use serde::{Deserialize, Serialize};

/// The most of a body that can be kept, in bytes.
pub const MAX_BODY: u32 = 16 << 20;
/// How much of a body is kept unless asked otherwise, in bytes.
pub const DEFAULT_BODY: u32 = 1 << 20;
/// The most bytes of headers of an answer.
pub const MAX_HEADERS: usize = 16 << 10;
/// The most targets that are contacted at a time.
pub const MAX_CONCURRENCY: u32 = 1_000_000;
/// The most times that a target is contacted again.
pub const MAX_RETRIES: u8 = 10;
/// The longest time for one target, in milliseconds.
pub const MAX_TOTAL_MS: u64 = 24 * 60 * 60 * 1000;

/// Time and width of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How many targets are contacted at a time, over all workers; as many as the workers have slots
    /// unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How many by each worker; its slots unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_worker: Option<u32>,
    /// How many are begun a second, over all workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Contacts fewer targets at a time than allowed while that is faster, or while targets fail.
    pub adaptive: bool,
    /// How long a connection may take, in milliseconds, names included.
    pub connect_ms: u64,
    /// How long an answer may take to begin, in milliseconds.
    pub first_byte_ms: u64,
    /// How long one attempt may take altogether, in milliseconds.
    pub total_ms: u64,
    /// How often a target is contacted again after a failure that passes and where that is safe: no
    /// connection came about, or the method may be repeated.
    pub retries: u8,
    /// How long the run may take, in milliseconds; targets without a record then end as
    /// `cancelled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: None,
            per_worker: None,
            rate: None,
            adaptive: true,
            connect_ms: 10_000,
            first_byte_ms: 30_000,
            total_ms: 60_000,
            retries: 0,
            deadline_ms: None,
        }
    }
}
