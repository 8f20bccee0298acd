//! What the instances of a class may use.

use std::ops::RangeInclusive;

use remuda_model::Failure;
use serde::{Deserialize, Serialize};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// What the instances of a class may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Memory of one instance: 64 KiB to 1 GiB, else 64 MiB.
    pub memory_bytes: u64,
    /// Processor time of one call: 1 ms to 60 s, else 1 s.
    pub cpu_ms: u64,
    /// The longest answer, and the most that one call may hand to the node: 1 KiB to 16 MiB, else
    /// 1 MiB.
    pub output_bytes: u64,
    /// Requests and calls at a time: 1 to 1024, else 16. More wait.
    pub instances: u32,
    /// Tasks at a time: 1 to 1024, else 16. More are refused.
    pub tasks: u32,
    /// All keys and values of the class: up to 16 MiB, else 1 MiB.
    pub key_value_bytes: u64,
    /// The folder of the class: up to 16 GiB, else 64 MiB. When it is exceeded, the folder can only
    /// be read by what begins afterwards.
    pub files_bytes: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            memory_bytes: 64 * MIB,
            cpu_ms: 1000,
            output_bytes: MIB,
            instances: 16,
            tasks: 16,
            key_value_bytes: MIB,
            files_bytes: 64 * MIB,
        }
    }
}

impl Quota {
    /// Refuses what is out of range, by the name of its field.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let fields: [(&str, u64, RangeInclusive<u64>); 7] = [
            ("memory_bytes", self.memory_bytes, 64 * KIB..=1024 * MIB),
            ("cpu_ms", self.cpu_ms, 1..=60_000),
            ("output_bytes", self.output_bytes, KIB..=16 * MIB),
            ("instances", self.instances.into(), 1..=1024),
            ("tasks", self.tasks.into(), 1..=1024),
            ("key_value_bytes", self.key_value_bytes, 0..=16 * MIB),
            ("files_bytes", self.files_bytes, 0..=16 * 1024 * MIB),
        ];
        for (field, value, range) in fields {
            if !range.contains(&value) {
                let (least, most) = range.into_inner();
                return Err(Failure::invalid(format!("quota.{field}: {value} is out of range"))
                    .hint(format!("from {least} to {most}")));
            }
        }
        Ok(())
    }
}

impl Quota {
    pub(crate) fn memory(&self) -> usize {
        in_memory(self.memory_bytes)
    }

    pub(crate) fn output(&self) -> usize {
        in_memory(self.output_bytes)
    }

    pub(crate) fn key_value(&self) -> usize {
        in_memory(self.key_value_bytes)
    }
}

fn in_memory(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_out_of_range_is_named() {
        Quota::default().check().expect("the default is valid");
        let quota = |json: &str| serde_json::from_str::<Quota>(json).expect(json).check();
        for (json, field) in [
            (r#"{"memory_bytes":65535}"#, "memory_bytes"),
            (r#"{"memory_bytes":1073741825}"#, "memory_bytes"),
            (r#"{"cpu_ms":0}"#, "cpu_ms"),
            (r#"{"cpu_ms":60001}"#, "cpu_ms"),
            (r#"{"output_bytes":16777217}"#, "output_bytes"),
            (r#"{"instances":0}"#, "instances"),
            (r#"{"tasks":1025}"#, "tasks"),
            (r#"{"key_value_bytes":16777217}"#, "key_value_bytes"),
            (r#"{"files_bytes":17179869185}"#, "files_bytes"),
        ] {
            let failure = quota(json).expect_err(json);
            assert!(failure.message.starts_with(&format!("quota.{field}:")), "{failure}");
        }
        assert!(serde_json::from_str::<Quota>(r#"{"memory":1}"#).is_err());
    }
}
