//! The settings of a node, each in one place.

/// One setting.
#[derive(Debug)]
pub(super) struct Setting {
    /// Its key in the file.
    pub(super) key: &'static str,
    /// Its environment variable.
    pub(super) variable: &'static str,
    /// Whether its value must not be shown.
    pub(super) secret: bool,
}

impl Setting {
    /// Its option on the command line.
    pub(super) fn flag(&self) -> String {
        format!("--{}", self.key.replace('_', "-"))
    }
}

const fn setting(key: &'static str, variable: &'static str) -> Setting {
    Setting { key, variable, secret: false }
}

/// In the order in which `config show` prints them.
pub(super) const SETTINGS: [Setting; 35] = [
    setting("name", "REMUDA_NAME"),
    setting("data_dir", "REMUDA_DATA_DIR"),
    setting("control", "REMUDA_CONTROL"),
    setting("bootstrap", "REMUDA_BOOTSTRAP"),
    setting("join", "REMUDA_JOIN"),
    setting("await", "REMUDA_AWAIT"),
    setting("dns_server", "REMUDA_DNS_SERVER"),
    setting("lan", "REMUDA_LAN"),
    setting("tracker", "REMUDA_TRACKER"),
    setting("tracker_listen", "REMUDA_TRACKER_LISTEN"),
    // It may hold a password.
    Setting { key: "proxy", variable: "REMUDA_PROXY", secret: true },
    setting("no_proxy", "REMUDA_NO_PROXY"),
    // REMUDA_TOKEN is the API token of clients.
    Setting { key: "token", variable: "REMUDA_JOIN_TOKEN", secret: true },
    setting("token_file", "REMUDA_TOKEN_FILE"),
    setting("listen", "REMUDA_LISTEN"),
    setting("advertise", "REMUDA_ADVERTISE"),
    setting("labels", "REMUDA_LABELS"),
    setting("files", "REMUDA_FILES"),
    setting("fanout_slots", "REMUDA_FANOUT_SLOTS"),
    setting("fanout_allow", "REMUDA_FANOUT_ALLOW"),
    setting("fanout_allow_loopback", "REMUDA_FANOUT_ALLOW_LOOPBACK"),
    setting("fanout_ports", "REMUDA_FANOUT_PORTS"),
    setting("api", "REMUDA_API"),
    setting("api_hosts", "REMUDA_API_HOSTS"),
    setting("rest_commander", "REMUDA_REST_COMMANDER"),
    setting("rest_commander_listen", "REMUDA_REST_COMMANDER_LISTEN"),
    setting("api_insecure", "REMUDA_API_INSECURE"),
    setting("metrics_open", "REMUDA_METRICS_OPEN"),
    setting("allow_plaintext", "REMUDA_ALLOW_PLAINTEXT"),
    setting("cluster_name", "REMUDA_CLUSTER_NAME"),
    setting("drain_limit", "REMUDA_DRAIN_LIMIT"),
    setting("log_level", "REMUDA_LOG"),
    setting("log_format", "REMUDA_LOG_FORMAT"),
    // The names that OpenTelemetry gives them.
    setting("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    setting("trace_ratio", "OTEL_TRACES_SAMPLER_ARG"),
];

/// The variable of other programs that says the same, for whoever has set nothing else.
pub(super) fn inherited(key: &str) -> Option<&'static str> {
    match key {
        "proxy" => Some("HTTPS_PROXY"),
        "no_proxy" => Some("NO_PROXY"),
        _ => None,
    }
}

/// The setting of a key.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}
