//! `remuda agent`: texts only, so that all wrong values are reported at once with those of the file
//! and the environment.

use std::path::PathBuf;

use clap::Args;

use crate::config::Overrides;

#[derive(Debug, Default, Args)]
#[command(after_help = "\
Each option may also stand in the file as `key = value`, or in the environment as REMUDA_KEY;
the join token there is REMUDA_JOIN_TOKEN. `remuda config show` prints where each value comes from.

Example: a first control node, then a worker
  remuda agent --control --bootstrap --data-dir /var/lib/remuda
  remuda agent --join remuda://10.0.0.1 --token rmd1.…

Example: a worker that cannot dial out, added with `remuda node add remuda://10.0.0.7` elsewhere
  remuda agent --await --listen remuda://all --token rmd1.…")]
pub(crate) struct AgentArgs {
    /// A TOML file with further options
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Name of the node; made at the first start unless given
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where the node keeps its identity, records and log
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Replicate the state of the cluster, besides running work
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    control: Option<String>,
    /// Start a new cluster, unless the data directory holds one
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    bootstrap: Option<String>,
    /// Control nodes to join: addresses, or names that DNS knows (NAPTR, SRV, A, AAAA)
    #[arg(long, value_name = "URL,…")]
    join: Option<String>,
    /// Dial nobody to join: listen, and wait until a control node adds this node
    #[arg(long = "await", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    awaits: Option<String>,
    /// Name server to ask about them instead of those of the system
    #[arg(long, value_name = "IP[:PORT]")]
    dns_server: Option<String>,
    /// Find control nodes on the subnet, and announce them there: `auto`, `on` or `off`
    #[arg(long, value_name = "USE")]
    lan: Option<String>,
    /// Trackers: where to find control nodes, and where a control node is listed
    #[arg(long, value_name = "URL,…")]
    tracker: Option<String>,
    /// Where a control node serves a tracker, for everybody
    #[arg(long, value_name = "ADDR:PORT")]
    tracker_listen: Option<String>,
    /// HTTP proxy for links over `wss`; that of `HTTPS_PROXY` unless given
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// Hosts that are reached without it; those of `NO_PROXY` unless given
    #[arg(long, value_name = "HOST,…")]
    no_proxy: Option<String>,
    /// Join token, needed at the first start
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// File that holds the join token
    #[arg(long, value_name = "FILE")]
    token_file: Option<String>,
    /// Where to listen for links
    #[arg(long, value_name = "URL,…")]
    listen: Option<String>,
    /// Where others shall dial this node; found out unless given
    #[arg(long, value_name = "URL,…")]
    advertise: Option<String>,
    /// Labels at the first start, such as `core;group=web,gpu`
    #[arg(long, value_name = "LABELS")]
    labels: Option<String>,
    /// Directories whose files may be read and written through the cluster; `off` for none
    #[arg(long, value_name = "DIR,…")]
    files: Option<String>,
    /// How many targets of fan-out runs are contacted at a time
    #[arg(long, value_name = "N")]
    fanout_slots: Option<String>,
    /// Private ranges that fan-out runs may contact from here
    #[arg(long, value_name = "CIDR,…")]
    fanout_allow: Option<String>,
    /// Let fan-out runs contact this machine's loopback, for tests
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    fanout_allow_loopback: Option<String>,
    /// Ports that fan-out runs may connect to from here, such as `22,443,8000-8999`
    #[arg(long, value_name = "PORT,…")]
    fanout_ports: Option<String>,
    /// Where a control node serves the API; `off` for nowhere
    #[arg(long, value_name = "ADDR:PORT")]
    api: Option<String>,
    /// Names by which clients may call the API
    #[arg(long, value_name = "NAME,…")]
    api_hosts: Option<String>,
    /// Answer as REST Commander did, by its configuration files in this directory
    #[arg(long, value_name = "DIR")]
    rest_commander: Option<String>,
    /// Where a control node does so
    #[arg(long, value_name = "ADDR:PORT")]
    rest_commander_listen: Option<String>,
    /// Serve the API without TLS beyond this machine
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    api_insecure: Option<String>,
    /// Show `/metrics` of the API to callers without a token
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    metrics_open: Option<String>,
    /// Allow links without encryption beyond this machine
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allow_plaintext: Option<String>,
    /// Name of a new cluster
    #[arg(long, value_name = "NAME")]
    cluster_name: Option<String>,
    /// How long a shutdown waits for running tasks
    #[arg(long, value_name = "SPAN")]
    drain_limit: Option<String>,
    /// What to log: a level, or a filter such as `remuda_link=debug,info`
    #[arg(long, value_name = "FILTER")]
    log_level: Option<String>,
    /// `text`, or `json` for machines
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// OpenTelemetry collector for traces, such as `http://127.0.0.1:4318`
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Part of the requests for which a trace is begun, 0 to 1
    #[arg(long, value_name = "RATIO")]
    trace_ratio: Option<String>,
    /// Shut down when the standard input ends
    #[arg(long, hide = true)]
    pub(crate) exit_with_parent: bool,
    /// Allow repositories of this machine to be cloned, for tests
    #[arg(long, hide = true)]
    pub(crate) file_repositories: bool,
    /// The port of the API when `--api` leaves it open and this one is free
    #[arg(long, hide = true, value_name = "PORT")]
    pub(crate) prefer_api_port: Option<u16>,
}

impl AgentArgs {
    /// What was given, by the key of the setting.
    pub(crate) fn overrides(&self) -> Overrides {
        let given = [
            ("name", &self.name),
            ("data_dir", &self.data_dir),
            ("control", &self.control),
            ("bootstrap", &self.bootstrap),
            ("join", &self.join),
            ("await", &self.awaits),
            ("dns_server", &self.dns_server),
            ("lan", &self.lan),
            ("tracker", &self.tracker),
            ("tracker_listen", &self.tracker_listen),
            ("proxy", &self.proxy),
            ("no_proxy", &self.no_proxy),
            ("token", &self.token),
            ("token_file", &self.token_file),
            ("listen", &self.listen),
            ("advertise", &self.advertise),
            ("labels", &self.labels),
            ("files", &self.files),
            ("fanout_slots", &self.fanout_slots),
            ("fanout_allow", &self.fanout_allow),
            ("fanout_allow_loopback", &self.fanout_allow_loopback),
            ("fanout_ports", &self.fanout_ports),
            ("api", &self.api),
            ("api_hosts", &self.api_hosts),
            ("rest_commander", &self.rest_commander),
            ("rest_commander_listen", &self.rest_commander_listen),
            ("api_insecure", &self.api_insecure),
            ("metrics_open", &self.metrics_open),
            ("allow_plaintext", &self.allow_plaintext),
            ("cluster_name", &self.cluster_name),
            ("drain_limit", &self.drain_limit),
            ("log_level", &self.log_level),
            ("log_format", &self.log_format),
            ("otlp_endpoint", &self.otlp_endpoint),
            ("trace_ratio", &self.trace_ratio),
        ];
        given.into_iter().filter_map(|(key, text)| Some((key, text.clone()?))).collect()
    }
}
