//! Layers, origins, and all errors at once.

use super::*;

fn resolve<const N: usize, const M: usize>(
    file: &str,
    environment: [(&str, &str); N],
    cli: [(&'static str, &str); M],
) -> Result<NodeConfig, Vec<String>> {
    let file = ConfigFile::parse(Path::new("remuda.toml"), file);
    let cli = cli.into_iter().map(|(key, text)| (key, text.to_owned())).collect();
    NodeConfig::resolve(Some(&file), &environment.into(), &cli)
        .map_err(|errors| errors.iter().map(ConfigError::to_string).collect())
}

fn shown(config: &NodeConfig, key: &str) -> String {
    let found = config.effective.iter().find(|effective| effective.key == key).unwrap();
    format!("{} from {}", found.value, found.origin)
}

fn ok(result: Result<NodeConfig, Vec<String>>) -> NodeConfig {
    result.unwrap_or_else(|errors| panic!("{errors:#?}"))
}

#[test]
fn every_layer_hides_those_below() {
    let file = "# comment\nlabels = \"file\"\ncluster_name = \"file\"\nname = \"file\"\n";
    let environment = [("HOME", "/h"), ("REMUDA_LABELS", "env"), ("REMUDA_CLUSTER_NAME", "env")];
    let config = ok(resolve(file, environment, [("labels", "flag")]));
    assert_eq!(config.labels.to_string(), "flag");
    for (key, expected) in [
        ("labels", "flag from --labels"),
        ("cluster_name", "env from REMUDA_CLUSTER_NAME"),
        ("name", "file from remuda.toml:4"),
        ("drain_limit", "10s from default"),
    ] {
        assert_eq!(shown(&config, key), expected);
    }
    assert_eq!(config.effective.len(), setting::SETTINGS.len());
}

#[test]
fn a_worker_needs_nothing() {
    let config = ok(resolve("", [("HOME", "/h")], []));
    assert!(config.listen.is_empty() && config.api.is_none() && !config.roles.is_control());
}

#[test]
fn a_control_node_listens() {
    let config = ok(resolve("control = true", [("HOME", "/h")], []));
    assert_eq!(config.listen[0].to_string(), "remuda://0.0.0.0:1973");
    assert_eq!(config.api.unwrap().address.to_string(), "127.0.0.1:44200");
    let config = ok(resolve("control = true", [("HOME", "/h")], [("api", "off")]));
    assert!(config.api.is_none());
}

#[test]
fn a_node_may_wait_to_be_added() {
    let environment = [("HOME", "/h"), ("REMUDA_AWAIT", "true"), ("REMUDA_LISTEN", "all")];
    let config = ok(resolve("await = false", environment, []));
    assert!(config.awaits);
    assert_eq!(shown(&config, "await"), "true from REMUDA_AWAIT");
    let config = ok(resolve("await = true", [("HOME", "/h")], [("await", "false")]));
    assert!(!config.awaits, "{}", shown(&config, "await"));
}

#[test]
fn lists_may_be_texts_or_arrays() {
    let file = "join = [\"a\", \"b:7;transport=wss\"]\nlabels = \"x, y;z=1\"\ndrain_limit = \"2m\"";
    let config = ok(resolve(file, [("HOME", "/h")], []));
    let join: Vec<_> = config.join.iter().map(ToString::to_string).collect();
    assert_eq!(join, ["remuda://a", "remuda://b:7;transport=wss"]);
    assert_eq!(config.labels.to_string(), "x,y;z=1");
    assert_eq!(config.drain_limit, Duration::from_mins(2));
}

#[test]
fn all_errors_come_at_once_each_with_its_place() {
    let file = "control = maybe\nname = \"A B\"\nlisten = [1]\ntpyo = 1\n[table]\n";
    let environment = [("HOME", "/h"), ("REMUDA_DRAIN_LIMIT", "5"), ("REMUDA_LOG_FORMAT", "xml")];
    let errors = resolve(file, environment, [("labels", "a;;"), ("join", "h;transport=ftp")])
        .err()
        .unwrap_or_default();
    for expected in [
        "remuda.toml:1: ",
        "remuda.toml:2: `name`: invalid node name",
        "remuda.toml:3: `listen`: expected a list of texts, found integer",
        "remuda.toml:4: unknown key `tpyo`",
        "remuda.toml:5: unknown key `table`",
        "REMUDA_DRAIN_LIMIT: `drain_limit`: cannot parse `5`",
        "REMUDA_LOG_FORMAT: `log_format`: `xml` is neither",
        "--labels: `labels`: cannot parse labels at character 3",
        "--join: `join`: cannot parse URL `h;transport=ftp`: option `transport`: unknown transport",
    ] {
        let found = errors.iter().any(|error| error.starts_with(expected));
        assert!(found, "{expected} is not in {errors:#?}");
    }
}

#[test]
fn settings_must_fit_together() {
    let home = [("HOME", "/h")];
    for (file, expected) in [
        ("bootstrap = true", "remuda.toml:1: `bootstrap`: only a control node"),
        ("control = true\nbootstrap = true\njoin = \"a\"", "remuda.toml:3: `join`: a node either"),
        ("api = \"127.0.0.1:1\"", "remuda.toml:1: `api`: only control nodes"),
        ("control = true\napi = \"0.0.0.0:1\"", "remuda.toml:2: `api`: beyond this machine"),
        ("listen = \"all;transport=tcp\"", "remuda.toml:1: `listen`: `remuda://0.0.0.0:1972"),
        ("join = \"10.0.0.1;transport=ws\"", "remuda.toml:1: `join`: `remuda://10.0.0.1:1974"),
        ("advertise = \"all\"", "remuda.toml:1: `advertise`: nobody can dial"),
        ("listen = \"a:1;transport=mem\"", "remuda.toml:1: `listen`: transport `mem`"),
        ("await = true\nlisten = \"all\"\njoin = \"a\"", "remuda.toml:3: `join`: a node either"),
        ("await = true\nlisten = \"all\"\nlan = \"on\"", "remuda.toml:3: `lan`: a node that"),
        ("await = true", "remuda.toml:1: `await`: a node that waits"),
        (
            "await = true\nlisten = \"127.0.0.1;transport=tcp\"",
            "remuda.toml:2: `listen`: a node that waits",
        ),
        ("control = true\nawait = true", "remuda.toml:2: `await`: only a worker"),
    ] {
        let errors = resolve(file, home, []).err().unwrap_or_default();
        assert!(errors.len() == 1 && errors[0].starts_with(expected), "{file}: {errors:#?}");
    }
    for file in [
        "control = true\napi = \"0.0.0.0:1\"\napi_insecure = true",
        "listen = \"all;transport=tcp\"\nallow_plaintext = true",
        "listen = \"127.0.0.1;transport=tcp\"",
        "join = \"localhost;transport=ws\"",
        "await = true\nlisten = \"all, localhost;transport=tcp\"",
    ] {
        ok(resolve(file, home, []));
    }
}

#[test]
fn a_join_token_is_never_shown() {
    let errors = resolve("token = \"hunter2\"", [("HOME", "/h")], []).err().unwrap_or_default();
    assert!(errors[0].starts_with("remuda.toml:1: `token`: "), "{errors:#?}");
    assert!(!errors[0].contains("hunter2"), "{errors:#?}");
}

#[test]
fn a_missing_token_file_is_named() {
    let errors =
        resolve("token_file = \"/nowhere\"", [("HOME", "/h")], []).err().unwrap_or_default();
    assert!(errors[0].starts_with("remuda.toml:1: `token_file`: /nowhere: "), "{errors:#?}");
}

#[test]
fn every_setting_is_an_option_of_the_agent() {
    use clap::CommandFactory as _;
    let command = crate::args::Args::command();
    let agent = command.find_subcommand("agent").expect("exists");
    let longs: Vec<_> = agent.get_arguments().filter_map(clap::Arg::get_long).collect();
    for setting in &setting::SETTINGS {
        assert!(longs.contains(&setting.flag().trim_start_matches('-')), "{}", setting.key);
    }
}

#[test]
fn the_proxy_of_other_programs_is_used_if_it_can_be() {
    let shown = |environment: [(&str, &str); 2]| {
        let config = ok(resolve("", environment, []));
        config.proxy.map(|proxy| proxy.to_string())
    };
    let home = ("HOME", "/h");
    let used = Some("http://p:3128".to_owned());
    assert_eq!(shown([home, ("HTTPS_PROXY", "http://p")]), used);
    assert_eq!(shown([home, ("https_proxy", "http://p")]), used);
    assert_eq!(shown([home, ("REMUDA_PROXY", "http://p")]), used);
    for foreign in ["https://p:443", "socks5://p:1080"] {
        assert_eq!(shown([home, ("HTTPS_PROXY", foreign)]), None, "meant for others");
    }
    let own = [home, ("REMUDA_PROXY", "socks5://p:1080")];
    assert!(resolve("", own, []).is_err(), "meant for this program");
}
