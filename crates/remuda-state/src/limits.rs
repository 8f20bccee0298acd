//! How much the state may hold. Nodes and users may send more; it is refused, never stored.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Change, NodeRecord, Settled, authority, plans};

/// The most bytes that a written command can have and still be accepted by `apply`.
pub const MAX_COMMAND_BYTES: usize = 512 * 1024;

/// Something that has a bound. Variants are only ever added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Limit {
    /// Nodes known.
    Nodes,
    /// API tokens.
    Tokens,
    /// Revoked certificates.
    Revoked,
    /// Addresses of one node.
    Addresses,
    /// Bytes of one node's attributes.
    Attributes,
    /// Bytes of one node's labels.
    Labels,
    /// Bytes of a name or version.
    Name,
    /// Bytes of a certificate's serial number.
    Serial,
    /// Certificates of one node that hold at the same time.
    Certificates,
    /// Bytes of the cluster's authority.
    Authority,
    /// Nodes that one change reports as having followed.
    Followers,
    /// Fan-out runs that are kept twice.
    Runs,
    /// Lists of targets.
    TargetLists,
    /// Bytes of the lines of targets of one list or schedule.
    TargetLines,
    /// Bytes of all lists of targets together.
    TargetListsTogether,
    /// Schedules.
    Schedules,
    /// Bytes of what one schedule does, but not to whom.
    ScheduleSpec,
    /// Bytes of the secrets of one schedule.
    ScheduleSecrets,
    /// Lists of targets that one schedule names.
    ScheduleLists,
    /// Bytes of all schedules together.
    SchedulesTogether,
    /// Bytes of a message or condition.
    Text,
}

impl Limit {
    /// The bound.
    pub fn bound(self) -> usize {
        match self {
            Self::Nodes | Self::Revoked => 200_000,
            Self::Tokens | Self::Runs => 10_000,
            Self::Addresses | Self::Serial => 64,
            Self::Attributes | Self::Labels | Self::ScheduleSecrets => 64 * 1024,
            Self::Name => 256,
            Self::Certificates | Self::ScheduleLists => 16,
            Self::Authority => 32 * 1024,
            Self::Followers => 2_000,
            Self::TargetLists | Self::Schedules => 1_000,
            Self::TargetLines => 256 * 1024,
            Self::TargetListsTogether | Self::SchedulesTogether => 16 * 1024 * 1024,
            Self::ScheduleSpec => 128 * 1024,
            Self::Text => 1024,
        }
    }

    /// Says so when `found` is above the bound.
    pub(crate) fn check(self, found: usize) -> Result<(), Self> {
        if found <= self.bound() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Nodes => "nodes",
            Self::Tokens => "tokens",
            Self::Revoked => "revoked certificates",
            Self::Addresses => "addresses of one node",
            Self::Attributes => "bytes of attributes",
            Self::Labels => "bytes of labels",
            Self::Name => "bytes of a name",
            Self::Serial => "bytes of a serial number",
            Self::Certificates => "certificates of one node",
            Self::Authority => "bytes of an authority with at most two CAs",
            Self::Followers => "followers at a time",
            Self::Runs => "runs that are kept twice",
            Self::TargetLists => "target lists",
            Self::TargetLines => "bytes of targets",
            Self::TargetListsTogether => "bytes of all target lists together",
            Self::Schedules => "schedules",
            Self::ScheduleSpec => "bytes of what a schedule does",
            Self::ScheduleSecrets => "bytes of secrets of a schedule",
            Self::ScheduleLists => "target lists of one schedule",
            Self::SchedulesTogether => "bytes of all schedules together",
            Self::Text => "bytes of text",
        };
        write!(f, "{} {what}", self.bound())
    }
}

fn node_fits(node: &NodeRecord) -> Result<(), Limit> {
    Limit::Name.check(node.version.len())?;
    Limit::Addresses.check(node.addresses.len())?;
    Limit::Labels.check(node.labels.to_string().len())?;
    // Counted with two bytes for each pair, so that empty ones are bounded too.
    let size = node.attributes.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    Limit::Attributes.check(size)
}

/// Whether the change by itself is small enough to be stored.
pub(crate) fn fits(change: &Change) -> Result<(), Limit> {
    match change {
        Change::Init(cluster) => Limit::Name.check(cluster.name.len()),
        Change::PutNode(node) => node_fits(node),
        Change::SetLabels { labels, .. } => Limit::Labels.check(labels.to_string().len()),
        Change::CreateToken(token) => Limit::Name.check(token.name.len()),
        Change::Revoke { serial, .. } => Limit::Serial.check(serial.len()),
        Change::IssueCertificate { certificate, .. } => {
            Limit::Serial.check(certificate.serial.len())
        }
        Change::SetAuthority(new) => authority::fits(new),
        Change::FollowAuthority { nodes, .. } => Limit::Followers.check(nodes.len()),
        Change::PutTargets { lines, .. } => Limit::TargetLines.check(lines.len()),
        Change::CreateSchedule { record, .. } => plans::fits(record),
        Change::SettleSchedule { settled: Settled::Failed(reason), .. } => {
            Limit::Text.check(reason.len())
        }
        _ => Ok(()),
    }
}
