//! What a fan-out run does, as the API describes it.

use std::collections::BTreeMap;

use remuda_model::run::Limits;
use utoipa::ToSchema;

/// What a run does, but not to whom.
///
/// Texts that are called templates may contain `{{host}}` and `{{vars.NAME}}`, which are filled in for
/// each target before it is contacted; `{{{{` is a literal `{{`. `remuda fanout … --dry-run --json`
/// prints a spec.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunSpec {
    /// What people call it, in 1 to 200 bytes; need not be unique.
    name: Option<String>,
    command: RunCommand,
    /// Values of `{{vars.NAME}}` for targets that have none of their own.
    #[serde(default)]
    vars: BTreeMap<String, String>,
    #[serde(default)]
    limits: RunLimits,
    /// A selector: which workers contact the targets; all that are ready unless given.
    on: Option<String>,
    /// A label; each target is contacted once from each of its values, as in "from each region".
    from_each: Option<String>,
    /// No target is contacted a second time, whatever happens; what was contacted and has no answer
    /// ends as `unknown`.
    #[serde(default)]
    at_most_once: bool,
    #[serde(default)]
    priority: RunPriority,
}

/// What is done to each target.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "there is never one")]
pub(crate) enum RunCommand {
    #[schema(title = "HttpCommand")]
    Http(HttpRun),
    #[schema(title = "SshCommand")]
    Ssh(SshRun),
    #[schema(title = "TcpCommand")]
    Tcp(TcpRun),
    #[schema(title = "PingCommand")]
    Ping(PingRun),
}

/// A run of a higher priority gets four times the slots of one of the next lower; `normal` unless
/// given.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum RunPriority {
    Low,
    Normal,
    High,
}

/// Time and width of a run.
#[derive(ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RunLimits {
    /// How many targets are contacted at a time, over all workers; as many as the workers have slots
    /// unless given.
    #[schema(minimum = 1, maximum = 1_000_000)]
    concurrency: Option<u32>,
    /// How many by each worker; its slots unless given.
    #[schema(minimum = 1, maximum = 1_000_000)]
    per_worker: Option<u32>,
    /// How many are begun a second, over all workers; 0.001 to 1,000,000.
    rate: Option<f64>,
    /// Contacts fewer targets at a time than allowed while that is faster, or while targets fail.
    adaptive: bool,
    /// How long a connection may take, in milliseconds, names included.
    #[schema(minimum = 1, maximum = 86_400_000)]
    connect_ms: u64,
    /// How long an answer may take to begin, in milliseconds.
    #[schema(minimum = 1, maximum = 86_400_000)]
    first_byte_ms: u64,
    /// How long one attempt may take altogether, in milliseconds.
    #[schema(minimum = 1, maximum = 86_400_000)]
    total_ms: u64,
    /// How often a target is contacted again after a failure that passes and where that is safe: no
    /// connection came about, or the method may be repeated.
    #[schema(maximum = 10)]
    retries: u8,
    /// How long the run may take, in milliseconds, at most thirty days; targets without a record then
    /// end as `cancelled`.
    #[schema(minimum = 1)]
    deadline_ms: Option<u64>,
}

/// The description says what stands for what is left out.
impl Default for RunLimits {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            concurrency: limits.concurrency,
            per_worker: limits.per_worker,
            rate: limits.rate,
            adaptive: limits.adaptive,
            connect_ms: limits.connect_ms,
            first_byte_ms: limits.first_byte_ms,
            total_ms: limits.total_ms,
            retries: limits.retries,
            deadline_ms: limits.deadline_ms,
        }
    }
}

/// An HTTP/1.1 request to each target, each over a connection of its own.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpRun {
    /// The method.
    #[schema(example = "GET")]
    method: String,
    /// The URL, a template; `http` or `https`.
    #[schema(example = "https://{{host}}:8443/health")]
    url: String,
    /// Headers, their values templates that may contain `{{secrets.NAME}}`; at most 64.
    #[serde(default)]
    headers: Vec<RequestHeader>,
    /// The body.
    body: Option<RequestBody>,
    /// Which statuses are as expected, such as `200-299,404`; 200 to 399 unless given.
    expect: Option<String>,
    /// How many redirects are followed; none unless given.
    #[serde(default)]
    #[schema(maximum = 3)]
    redirects: u8,
    #[serde(default)]
    tls: RunTls,
    #[serde(default)]
    capture: Capture,
    /// Questions after the first answer, until the target says that it is done.
    poll: Option<Poll>,
}

/// A header of a request.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestHeader {
    name: String,
    value: String,
}

/// The body of a request.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum RequestBody {
    /// A template that may contain `{{secrets.NAME}}`.
    #[schema(title = "TextBody")]
    Text(String),
    /// Bytes as they are, in base64.
    #[schema(title = "Base64Body")]
    Base64(String),
}

/// How TLS is done.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunTls {
    /// Accepts every certificate.
    #[serde(default)]
    insecure: bool,
    /// Certificate authorities in PEM that count instead of those of the worker.
    ca: Option<String>,
    /// The name that the certificate must have instead of the host's, a template.
    name: Option<String>,
}

/// What of an answer is kept.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Capture {
    /// How much of a body is kept, in bytes; 1 MiB unless given.
    #[schema(maximum = 16_777_216)]
    body: Option<u32>,
    #[serde(default)]
    headers: KeptHeaders,
}

/// Which headers are kept; none unless given.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum KeptHeaders {
    None,
    /// All, up to 16 KiB.
    All,
    /// These, in whatever case; 1 to 64.
    #[schema(title = "OnlyHeaders")]
    Only(Vec<String>),
}

/// For targets that take a request at once and do it later: asks until a field of the JSON answer says
/// that it is done. Paths are JSON pointers (RFC 6901).
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Poll {
    /// Where to ask, a template that may contain `{{job}}`; a path is one at the same host.
    url: String,
    /// Where `{{job}}` is in the first answer; its last part after `/` is taken.
    job: Option<String>,
    /// The field that says how far it is.
    done: String,
    /// Its values that mean success, such as `100` or `done`; 1 to 64.
    #[schema(min_items = 1, max_items = 64)]
    success: Vec<String>,
    /// Its values that mean failure; at most 64.
    #[serde(default)]
    #[schema(max_items = 64)]
    failure: Vec<String>,
    /// Milliseconds between two questions; 2,000 unless given.
    #[schema(minimum = 100, maximum = 86_400_000)]
    interval_ms: Option<u64>,
    /// After so many milliseconds without a change of the field the target is stuck; 600,000 unless
    /// given.
    #[schema(minimum = 100, maximum = 86_400_000)]
    stuck_ms: Option<u64>,
    /// How many questions in a row may go wrong; 5 unless given.
    #[schema(maximum = 1_000)]
    max_errors: Option<u32>,
    /// How long all of it may take in milliseconds; an hour unless given.
    #[schema(minimum = 100, maximum = 86_400_000)]
    total_ms: Option<u64>,
}

/// A command line on each target, without a terminal.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SshRun {
    /// The command line for the login shell of the target, a template; with a script, its arguments.
    command: String,
    /// A script that is sent over and run there with `command` as its arguments; removed again.
    script: Option<String>,
    /// Who logs in, a template.
    user: String,
    /// The port, a template; 22 unless given.
    port: Option<String>,
    login: Login,
    #[serde(default)]
    host_keys: HostKeys,
    /// Lines in the form of OpenSSH's `known_hosts`; the file of the worker's user unless given.
    known_hosts: Option<String>,
    /// Runs it by way of `sudo`.
    sudo: Option<Sudo>,
    /// How much of each output is kept, in bytes; 1 MiB unless given.
    #[schema(maximum = 16_777_216)]
    output: Option<u32>,
}

/// How a run proves who it is: with the key or the password of its secrets, or with the SSH agent of
/// the worker.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Login {
    Key,
    Password,
    Agent,
}

/// Which targets are believed: those whose key is known (unless given otherwise), also those of which
/// none is known, or all.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum HostKeys {
    Strict,
    AcceptNew,
    Off,
}

/// As whom `sudo` runs it.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sudo {
    /// The user; root unless given.
    user: Option<String>,
    /// Whether sudo gets the password of the secrets; otherwise it must need none.
    #[serde(default)]
    password: bool,
}

/// Bytes over a connection, and what comes back.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TcpRun {
    /// The port, a template.
    port: String,
    /// What is sent, a template that may contain `{{secrets.NAME}}`; nothing unless given.
    send: Option<String>,
    #[serde(default)]
    until: Until,
    /// A text that must be in the answer for it to be as expected.
    expect: Option<String>,
    /// Speaks TLS.
    tls: Option<RunTls>,
    /// How much of the answer is kept, in bytes; 1 MiB unless given.
    #[schema(maximum = 16_777_216)]
    output: Option<u32>,
}

/// When the answer over TCP is whole; `closed` unless given.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Until {
    /// At once: that there is a connection, and that all was sent, is enough.
    Connected,
    /// When the target closes the connection.
    Closed,
    /// After a line.
    Line,
    /// After so many bytes.
    #[schema(title = "UntilBytes")]
    Bytes(u32),
    /// After this text.
    #[schema(title = "UntilText")]
    Text(String),
    /// When nothing came for so many milliseconds.
    #[schema(title = "UntilIdle")]
    Idle(u64),
}

/// Whether a target is there.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PingRun {
    #[serde(default)]
    mode: PingMode,
    /// The port for TCP, a template; 22 unless given. A refusal proves presence too.
    port: Option<String>,
    /// How many echoes are asked for at most, until one comes; 2 unless given.
    #[schema(minimum = 1, maximum = 10)]
    tries: Option<u8>,
}

/// How presence is found out: by an ICMP echo where the worker may send one and otherwise by TCP
/// (unless given otherwise), or by one of them.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum PingMode {
    Auto,
    Icmp,
    Tcp,
}

/// What a run needs and nobody may read.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunSecrets {
    /// The password of an SSH login, and of sudo.
    password: Option<String>,
    /// A private key in OpenSSH's form.
    key: Option<String>,
    /// What opens the key.
    passphrase: Option<String>,
    /// Values of `{{secrets.NAME}}`, for headers, bodies and what is sent by TCP; at most 64.
    #[serde(default)]
    values: BTreeMap<String, String>,
}
