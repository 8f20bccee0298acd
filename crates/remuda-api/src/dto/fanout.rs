//! Fan-out runs.

use std::collections::BTreeMap;

use remuda_model::{
    Digest, NodeId, RunId, Selector, TargetListId,
    run::{Header, Outcome, Record, RunSpec, RunView, Secrets, Trouble},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::described;

/// A run that is to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRun {
    /// Its id; made unless given. With one, a call whose answer was lost can be repeated: a run that
    /// is there is refused as `run_exists`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub id: Option<RunId>,
    /// What is done, as in `docs/fanout.md`; `remuda fanout … --dry-run --json` prints one.
    #[schema(value_type = described::RunSpec)]
    pub spec: RunSpec,
    /// To whom.
    pub targets: RunTargets,
    /// What it needs and nobody may read.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schema(value_type = described::RunSecrets)]
    pub secrets: Secrets,
}

fn is_default(secrets: &Secrets) -> bool {
    *secrets == Secrets::default()
}

/// The targets of a run. A host that stands twice is taken once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RunTargets {
    /// As in a file of targets: hosts, ranges such as `web[01-20].example`, or objects with `host`
    /// and `vars` as text; at most 10,000 lines.
    Lines(Vec<String>),
    /// Such lines as content that was brought to this control node.
    Artifact {
        /// Its digest.
        #[schema(value_type = String)]
        digest: Digest,
        /// Its size in bytes, at most 256 MiB.
        size: u64,
    },
    /// Lists that the cluster keeps, by name: see `/v1/fanout/targets`.
    #[schema(value_type = Vec<String>)]
    Saved(Vec<TargetListId>),
    /// The cluster's own nodes that meet a condition, by the first address at which they can be
    /// dialled, or their name; `{{vars.node}}` is their name.
    Nodes {
        /// The condition.
        #[schema(value_type = String)]
        on: Selector,
    },
}

/// Runs of the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunList {
    /// The newest first.
    #[schema(value_type = Vec<described::Run>)]
    pub runs: Vec<RunView>,
    /// Control nodes that did not answer, whose runs are missing.
    #[schema(value_type = Vec<String>)]
    pub unreachable: Vec<NodeId>,
}

/// Which records of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RecordQuery {
    /// Those that ended so, such as `failed,timed_out`.
    pub outcome: Option<String>,
    /// Those with such a status or exit code, such as `500-599,404`.
    pub status: Option<String>,
    /// That of this host; `*` and `?` stand for others.
    pub host: Option<String>,
    /// Those in whose body, standard error or trouble this regular expression is found.
    pub text: Option<String>,
    /// Those that this worker brought.
    pub worker: Option<String>,
    /// Those that took so many microseconds or more.
    pub min_duration_us: Option<u64>,
    /// At most so many.
    pub limit: Option<u64>,
    /// Whether to wait for more until the run has ended.
    #[param(required = false)]
    pub follow: bool,
}

/// What became of one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunRecord {
    /// The target's host.
    pub host: String,
    /// The target's own values of `{{vars.NAME}}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, String>,
    /// The place of the target in its run, from 0.
    pub index: u32,
    /// How it ended.
    #[schema(value_type = described::Outcome)]
    pub outcome: Outcome,
    /// The HTTP status, or the exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// What went wrong, unless the outcome is `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<described::Trouble>)]
    pub trouble: Option<Trouble>,
    /// When the last attempt began, in milliseconds since 1970 by the worker's clock.
    pub started_ms: u64,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// How many attempts there were.
    pub attempts: u16,
    /// Who contacted it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub worker: Option<NodeId>,
    /// The address that was contacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The headers that were kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<described::Header>)]
    pub headers: Vec<Header>,
    /// The body, the answer, or the standard output; what is not UTF-8 is replaced.
    pub body: String,
    /// The standard error, likewise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr: String,
    /// Whether there was more of them than is kept.
    pub truncated: bool,
}

impl RunRecord {
    pub(crate) fn new(host: String, vars: Vec<(String, String)>, record: Record) -> Self {
        Self {
            host,
            vars: vars.into_iter().collect(),
            index: record.index,
            outcome: record.outcome,
            status: record.status,
            trouble: record.trouble,
            started_ms: record.started_ms,
            duration_us: record.duration_us,
            attempts: record.attempts,
            worker: record.worker,
            address: record.address,
            headers: record
                .headers
                .into_iter()
                .map(|(name, value)| Header { name, value })
                .collect(),
            body: text(record.body),
            stderr: text(record.stderr),
            truncated: record.truncated,
        }
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// One line of the records of a run. A stream without a last line `end` or `failed` was cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RecordLine {
    /// What became of a target.
    Record(RunRecord),
    /// That was all.
    End,
    /// The rest cannot be read.
    Failed {
        /// Why.
        #[schema(value_type = described::Failure)]
        error: remuda_model::Failure,
    },
}

/// By what the records of a run are grouped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GroupQuery {
    /// `outcome`, `status`, `trouble`, `worker`, `body`, `regex:EXPRESSION` (its first group in the
    /// body) or `json:PATH` (a JSON pointer or path in the body).
    #[param(required = true)]
    pub by: String,
    /// How many hosts of each group are named; 5 unless given.
    pub hosts: Option<u32>,
    /// As for the records.
    pub outcome: Option<String>,
    /// As for the records.
    pub status: Option<String>,
    /// As for the records.
    pub host: Option<String>,
}

/// With which run another is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiffQuery {
    /// The later run.
    #[param(value_type = String)]
    pub with: RunId,
    /// How many hosts of each kind of change are named; 100 unless given.
    #[serde(default)]
    #[param(required = false)]
    pub hosts: Option<u32>,
}
