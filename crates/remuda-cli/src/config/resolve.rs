//! Merges the layers, and collects every error instead of stopping at the first.

use std::path::PathBuf;

use remuda::agent::{ApiListen, FanoutConfig, RestCommander};
use remuda_link::{JoinToken, Proxy};
use remuda_model::Roles;
use tracing_subscriber::EnvFilter;

use super::{
    ConfigError, ConfigFile, Effective, NodeConfig, Origin, Overrides, checks, parse,
    setting::{self, SETTINGS},
    socket_address,
};
use crate::environment::Environment;

/// The consensus library tells much that concerns nobody else.
const DEFAULT_LOG: &str = "info,openraft=error";

/// The layers, and what came out of them so far.
struct Layers<'a> {
    file: Option<&'a ConfigFile>,
    environment: &'a Environment,
    cli: &'a Overrides,
    effective: Vec<Effective>,
    errors: Vec<ConfigError>,
}

impl Layers<'_> {
    /// The text of a setting from the highest layer that has one.
    fn raw(&self, key: &'static str) -> Option<(String, Origin)> {
        let setting = setting::find(key).expect("only known keys are asked for");
        if let Some(text) = self.cli.get(key) {
            return Some((text.clone(), Origin::Flag(setting.flag())));
        }
        if let Some(text) = self.environment.get(setting.variable) {
            return Some((text.to_owned(), Origin::Variable(setting.variable)));
        }
        let in_file = self.file.and_then(|file| file.get(key));
        in_file.map(|(text, origin)| (text.to_owned(), origin)).or_else(|| self.inherited(key))
    }

    /// What a variable of other programs says, in capital or small letters. A proxy that this program
    /// cannot use is none: it was not meant for it alone.
    fn inherited(&self, key: &'static str) -> Option<(String, Origin)> {
        let variable = setting::inherited(key)?;
        let small = variable.to_ascii_lowercase();
        let text = self.environment.get(variable).or_else(|| self.environment.get(&small))?;
        let usable = key != "proxy" || text.parse::<Proxy>().is_ok();
        usable.then(|| (text.to_owned(), Origin::Variable(variable)))
    }

    /// The value of a setting, or of its default text; `None` when there is neither, or the
    /// default as well after an error.
    fn get<T>(
        &mut self,
        key: &'static str,
        default: Option<&str>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let given = self.raw(key);
        let (text, origin) = match given {
            Some(given) => given,
            None => (default.unwrap_or_default().to_owned(), Origin::Default),
        };
        let value = match (&origin, default) {
            (Origin::Default, None) => None,
            _ => match parse(&text) {
                Ok(value) => Some(value),
                Err(reason) => {
                    let reason = format!("`{key}`: {reason}");
                    self.errors.push(ConfigError { origin: origin.clone(), reason });
                    default.and_then(|text| parse(text).ok())
                }
            },
        };
        let is_secret = setting::find(key).is_some_and(|setting| setting.secret);
        let value_text = if is_secret && !text.is_empty() { "(hidden)".to_owned() } else { text };
        self.effective.push(Effective { key, value: value_text, origin });
        value
    }

    /// The origin that an error about a setting names.
    fn origin(&self, key: &'static str) -> Origin {
        let found = self.effective.iter().find(|effective| effective.key == key);
        found.map_or(Origin::Default, |effective| effective.origin.clone())
    }
}

impl NodeConfig {
    /// Merges options, environment, file and defaults.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, each with its place.
    pub(crate) fn resolve(
        file: Option<&ConfigFile>,
        environment: &Environment,
        cli: &Overrides,
    ) -> Result<Self, Vec<ConfigError>> {
        let errors = file.map(|file| file.errors().to_vec()).unwrap_or_default();
        let mut from = Layers { file, environment, cli, effective: Vec::new(), errors };
        let config = resolve(&mut from);
        let places: Vec<_> = checks::check(&config)
            .into_iter()
            .map(|(key, reason)| ConfigError {
                origin: from.origin(key),
                reason: format!("`{key}`: {reason}"),
            })
            .collect();
        from.errors.extend(places);
        let position = |effective: &Effective| {
            SETTINGS.iter().position(|setting| setting.key == effective.key)
        };
        from.effective.sort_by_key(position);
        if from.errors.is_empty() {
            Ok(Self { effective: from.effective, ..config })
        } else {
            Err(from.errors)
        }
    }
}

fn resolve(from: &mut Layers<'_>) -> NodeConfig {
    let default_dir = default_data_dir(from.environment);
    let control = from.get("control", Some("false"), parse::boolean).unwrap_or_default();
    let (listen, api) = if control {
        (Some("remuda://all"), Some("127.0.0.1:44200"))
    } else {
        (Some(""), Some("off"))
    };
    let api_address = from.get("api", api, |text| match text {
        "off" | "" => Ok(None),
        _ => socket_address(text).map(Some),
    });
    let hosts = from.get("api_hosts", None, parse::names).unwrap_or_default();
    let insecure = from.get("api_insecure", Some("false"), parse::boolean).unwrap_or_default();
    let open_metrics = from.get("metrics_open", Some("false"), parse::boolean).unwrap_or_default();
    let commander_dir = from.get("rest_commander", None, parse::path);
    let commander_listen =
        from.get("rest_commander_listen", Some("127.0.0.1:9000"), socket_address);
    let endpoint = from.get("otlp_endpoint", Some(""), parse::collector).flatten();
    let ratio = from.get("trace_ratio", Some("1"), parse::ratio).unwrap_or_default();
    let token_file = from.get("token_file", None, |text| {
        let path = parse::path(text)?;
        read_token(&path).map_err(|reason| format!("{}: {reason}", path.display()))
    });
    let no_proxy = from.get("no_proxy", Some(""), |text| Ok(text.to_owned())).unwrap_or_default();
    let proxy = from.get("proxy", None, parse::itself::<Proxy>);
    NodeConfig {
        node: from.get("name", None, parse::itself),
        data_dir: from.get("data_dir", default_dir.as_deref(), parse::path).unwrap_or_default(),
        roles: if control { Roles::CONTROL } else { Roles::WORKER },
        bootstrap: from.get("bootstrap", Some("false"), parse::boolean).unwrap_or_default(),
        join: from.get("join", Some(""), parse::join_urls).unwrap_or_default(),
        awaits: from.get("await", Some("false"), parse::boolean).unwrap_or_default(),
        dns_server: from.get("dns_server", None, parse::dns_server),
        trackers: from.get("tracker", None, parse::trackers).unwrap_or_default(),
        tracker_listen: from.get("tracker_listen", None, socket_address),
        proxy: proxy.map(|proxy| proxy.except(&no_proxy)),
        lan: from.get("lan", Some("auto"), parse::lan_use).unwrap_or_default(),
        token: from.get("token", None, parse::itself::<JoinToken>).or(token_file),
        listen: from.get("listen", listen, parse::urls).unwrap_or_default(),
        advertise: from.get("advertise", Some(""), parse::urls).unwrap_or_default(),
        files: from.get("files", Some("/"), parse::directories).unwrap_or_default(),
        fanout: FanoutConfig {
            slots: from.get("fanout_slots", Some("2500"), parse::slots).unwrap_or_default(),
            allow: from.get("fanout_allow", Some(""), parse::ranges).unwrap_or_default(),
            allow_loopback: from
                .get("fanout_allow_loopback", Some("false"), parse::boolean)
                .unwrap_or_default(),
            ports: from.get("fanout_ports", Some("any"), parse::ports).unwrap_or_default(),
        },
        labels: from.get("labels", Some(""), parse::itself).unwrap_or_default(),
        api: api_address.flatten().map(|address| ApiListen {
            address,
            insecure,
            hosts,
            open_metrics,
        }),
        rest_commander: commander_dir
            .zip(commander_listen)
            .map(|(dir, listen)| RestCommander { dir, listen }),
        allow_plaintext: from
            .get("allow_plaintext", Some("false"), parse::boolean)
            .unwrap_or_default(),
        cluster_name: from.get("cluster_name", Some("remuda"), parse::name).unwrap_or_default(),
        drain_limit: from.get("drain_limit", Some("10s"), parse::span).unwrap_or_default(),
        log_filter: from
            .get("log_level", Some(DEFAULT_LOG), parse::itself::<EnvFilter>)
            .unwrap_or_default(),
        log_format: from
            .get("log_format", Some("text"), parse::log_format)
            .unwrap_or(super::LogFormat::Text),
        traces: endpoint.map(|endpoint| super::Traces { endpoint, ratio }),
        effective: Vec::new(),
    }
}

/// `/var/lib/remuda` for the superuser, a directory in the home of anybody else.
pub(crate) fn default_data_dir(environment: &Environment) -> Option<String> {
    if nix::unistd::geteuid().is_root() {
        return Some("/var/lib/remuda".to_owned());
    }
    let path: PathBuf = environment.user_dir("XDG_DATA_HOME", ".local/share")?.join("remuda");
    path.into_os_string().into_string().ok()
}

fn read_token(path: &std::path::Path) -> Result<JoinToken, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    // The reason alone: the text that was not understood may be a secret.
    text.trim().parse().map_err(|_bad| "it holds no join token".to_owned())
}
