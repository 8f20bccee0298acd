//! From a command, nodes and values to a run; pure.

use std::collections::{BTreeMap, BTreeSet};

use remuda_control::NewRun;
use remuda_model::{
    Failure, NodeId, Selector,
    run::{self, Header, Http, Limits, Login, Payload, RunSpec, Secrets, Ssh},
};
use remuda_run::Target;

use crate::{
    conf::{Command, Protocol},
    job, substitute,
};

/// Targets that a worker contacts at a time: at most, unless said otherwise, and at most when one
/// node does all of them.
const MAX_WIDTH: u32 = 2500;
const DEFAULT_WIDTH: u32 = 1500;
const MAX_WIDTH_ALONE: u32 = 1500;
/// How long a connection and an answer may take in milliseconds, usually and for slow commands.
const FAST: (u64, u64) = (5_000, 30_000);
const SLOW: (u64, u64) = (15_000, 120_000);
/// How long a run may take, in milliseconds.
const DEADLINE_MS: u64 = 2_400_000;
/// The variable whose value is contacted instead of the node.
pub(crate) const TARGET_NODE: &str = "APIVARREPLACE_SUPERMANSPECIAL_TARGET_NODE_VAR";
/// The variable that says that a node is not contacted.
const NOT_APPLICABLE: &str = "NA";
/// What a worker does not undo, or writes itself.
const DROPPED_HEADERS: [&str; 8] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Values of variables; one without a value means that nothing is sent.
pub(crate) type VarMap = BTreeMap<String, Option<String>>;

/// What `$NAME` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Vars {
    /// Nothing.
    None,
    /// The same for all nodes.
    Same(VarMap),
    /// For each node something else; for nodes that are not there `$NAME` stays.
    Each(BTreeMap<String, VarMap>),
}

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    pub(crate) group: &'a str,
    pub(crate) command: &'a Command,
    pub(crate) headers: &'a [(String, String)],
    pub(crate) nodes: &'a [String],
    pub(crate) vars: Vars,
    /// How many at a time by each worker, if the caller says so.
    pub(crate) width: Option<i64>,
    pub(crate) at_most_once: bool,
    /// The one node that does all of it.
    pub(crate) only_at: Option<&'a NodeId>,
}

/// What is done.
#[derive(Debug)]
pub(crate) struct Planned {
    /// The run, unless there is nobody to contact.
    pub(crate) run: Option<NewRun>,
    /// Nodes that are not contacted.
    pub(crate) skipped: Vec<String>,
}

/// Makes the run of an order.
///
/// # Errors
///
/// Names the node or the variable that a run cannot have.
pub(crate) fn plan(order: &Order<'_>) -> Result<Planned, Failure> {
    let known = known(&order.vars);
    let mut vars = BTreeMap::new();
    for name in &known {
        let unset = || format!("${name}");
        let value = match &order.vars {
            Vars::Same(map) => map.get(*name).cloned().flatten().unwrap_or_else(unset),
            Vars::None | Vars::Each(_) => unset(),
        };
        vars.insert(substitute::name(name).map_err(Failure::invalid)?, value);
    }
    let (mut targets, mut skipped) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for node in order.nodes {
        if !seen.insert(node) {
            continue;
        }
        let own = match &order.vars {
            Vars::None => None,
            Vars::Same(map) => Some(map),
            Vars::Each(maps) => maps.get(node),
        };
        if own.is_some_and(is_skipped) {
            skipped.push(node.clone());
        } else {
            let each = matches!(order.vars, Vars::Each(_));
            targets.push(target(node, own, each)?);
        }
    }
    if targets.is_empty() && !skipped.is_empty() {
        return Ok(Planned { run: None, skipped });
    }
    let command = order.command;
    vars.extend(job::marks(order.group, command));
    let (command, secrets) = contact(order, &known)?;
    let only_at = order.only_at.map(|node| format!("node==\"{node}\"").parse::<Selector>());
    let spec = RunSpec {
        name: Some(job::title(order.group, &order.command.id)),
        command,
        vars,
        limits: limits(order),
        on: only_at.transpose().map_err(|error| Failure::internal(&error))?,
        from_each: None,
        at_most_once: order.at_most_once,
        priority: run::Priority::Normal,
    };
    Ok(Planned { run: Some(NewRun { id: None, spec, targets, secrets }), skipped })
}

/// The names of all variables.
fn known(vars: &Vars) -> Vec<&str> {
    let maps: Vec<&VarMap> = match vars {
        Vars::None => Vec::new(),
        Vars::Same(map) => vec![map],
        Vars::Each(maps) => maps.values().collect(),
    };
    let names: BTreeSet<&str> = maps.into_iter().flat_map(|map| map.keys().map(|k| &**k)).collect();
    names.into_iter().filter(|name| !name.eq_ignore_ascii_case(NOT_APPLICABLE)).collect()
}

fn is_skipped(map: &VarMap) -> bool {
    map.iter().any(|(name, value)| name.eq_ignore_ascii_case(NOT_APPLICABLE) || value.is_none())
}

/// A node as a target; what it is called when that is not its host is a variable.
fn target(node: &str, map: Option<&VarMap>, each: bool) -> Result<Target, Failure> {
    let host = map.and_then(|map| map.get(TARGET_NODE)?.as_deref()).unwrap_or(node);
    let mut vars: Vec<(String, String)> = Vec::new();
    for (name, value) in map.filter(|_| each).into_iter().flatten() {
        if let Some(value) = value {
            vars.push((substitute::name(name).map_err(Failure::invalid)?, value.clone()));
        }
    }
    let made = Target::plain(host).and_then(|plain| {
        if *plain.host != *node {
            vars.push((job::NODE.to_owned(), node.to_owned()));
        }
        Target::new(host, vars)
    });
    made.map_err(|error| Failure::invalid(format!("targetNodes: {error}")).code("bad_targets"))
}

fn limits(order: &Order<'_>) -> Limits {
    let most = if order.only_at.is_some() { MAX_WIDTH_ALONE } else { MAX_WIDTH };
    let asked = order.width.unwrap_or(order.command.width);
    let asked = if asked > 0 { u32::try_from(asked).unwrap_or(most) } else { DEFAULT_WIDTH };
    let (connect_ms, total_ms) = if order.command.is_slow() { SLOW } else { FAST };
    Limits {
        per_worker: Some(asked.min(most)),
        connect_ms,
        first_byte_ms: total_ms,
        total_ms,
        deadline_ms: Some(DEADLINE_MS),
        ..Limits::default()
    }
}

/// What is done to each target.
fn contact(order: &Order<'_>, known: &[&str]) -> Result<(run::Command, Secrets), Failure> {
    let command = order.command;
    let template = |text: &str| substitute::template(text, known);
    if let Protocol::Ssh(password) = &command.protocol {
        let line = command.body().ok_or_else(|| {
            Failure::invalid(format!("command `{}` of ssh has no command line", command.id))
        })?;
        let ssh = Ssh {
            command: template(&line),
            script: None,
            user: template(&command.postfix),
            port: Some(command.port.to_string()),
            login: Login::Password,
            host_keys: run::HostKeys::Strict,
            known_hosts: None,
            sudo: None,
            output: None,
        };
        let secrets = Secrets { password: Some(password.clone()), ..Secrets::default() };
        return Ok((run::Command::Ssh(ssh), secrets));
    }
    let headers = order.headers.iter().filter(|(name, _)| {
        !DROPPED_HEADERS.iter().any(|dropped| name.eq_ignore_ascii_case(dropped))
    });
    let headers = headers
        .map(|(name, value)| Header { name: name.clone(), value: template(value) })
        .collect();
    let protocol = command.protocol.as_str();
    let http = Http {
        method: command.method.clone(),
        url: format!("{protocol}://{{{{host}}}}:{}{}", command.port, template(&command.path())),
        headers,
        body: command.body().map(|body| Payload::Text(template(&body))),
        // Every status was a success.
        expect: Some("0-999".to_owned()),
        redirects: 0,
        tls: run::Tls::default(),
        capture: run::Capture::default(),
        poll: None,
    };
    Ok((run::Command::Http(http), Secrets::default()))
}

#[cfg(test)]
mod tests {
    use remuda_run::{check, check_targets};

    use super::*;

    fn command(head: &str, body: &str) -> Command {
        Command::parse(head, body).expect(head)
    }

    fn map(pairs: &[(&str, &str)]) -> VarMap {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned()))).collect()
    }

    fn planned(command: &Command, nodes: &[&str], vars: Vars) -> Planned {
        let nodes: Vec<String> = nodes.iter().map(|node| (*node).to_owned()).collect();
        let headers = [("Accept".to_owned(), "*/*".to_owned()), ("TE".to_owned(), "x".to_owned())];
        let order = Order {
            group: "G",
            command,
            headers: &headers,
            nodes: &nodes,
            vars,
            width: None,
            at_most_once: false,
            only_at: None,
        };
        let planned = plan(&order).expect("a plan");
        if let Some(run) = &planned.run {
            let checked = check(&run.spec, &run.secrets).expect("it can be done");
            check_targets(&checked, &run.targets).expect("with these targets");
        }
        planned
    }

    #[test]
    fn a_command_becomes_a_request() {
        let command =
            command("A POST https 8443 /x?$APIVARREPLACE_X 7 -1 -1", "{{$APIVARREPLACE_X}}");
        let planned =
            planned(&command, &["H1", "h2", "H1"], Vars::Same(map(&[("APIVARREPLACE_X", "v")])));
        let run = planned.run.expect("a run");
        assert_eq!(run.targets.len(), 2);
        assert_eq!((&*run.targets[0].host, run.targets[0].var(job::NODE)), ("h1", Some("H1")));
        assert_eq!((&*run.targets[1].host, run.targets[1].var(job::NODE)), ("h2", None));
        assert_eq!(run.spec.limits.per_worker, Some(7));
        assert_eq!(run.spec.vars["v.APIVARREPLACE_X"], "v");
        let run::Command::Http(http) = run.spec.command else { panic!("http") };
        assert_eq!(http.url, "https://{{host}}:8443/x?{{vars.v.APIVARREPLACE_X}}");
        assert_eq!(http.body, Some(Payload::Text("{{{{{{vars.v.APIVARREPLACE_X}}}}".to_owned())));
        assert_eq!(http.headers.len(), 1);
        assert!(!http.tls.insecure);
    }

    #[test]
    fn nodes_without_values_keep_the_names() {
        let command = command("A GET http 80 /$X 0 -1 -1", "");
        let maps = BTreeMap::from([("a".to_owned(), map(&[("X", "1")]))]);
        let run = planned(&command, &["a", "b"], Vars::Each(maps)).run.expect("a run");
        assert_eq!(run.spec.vars["v.X"], "$X");
        assert_eq!((run.targets[0].var("v.X"), run.targets[1].var("v.X")), (Some("1"), None));
        assert_eq!(run.spec.limits.per_worker, Some(DEFAULT_WIDTH));
    }

    #[test]
    fn what_is_not_applicable_is_not_sent() {
        let command = command("A GET http 80 / 0 -1 -1", "");
        let mut maps = BTreeMap::from([("a".to_owned(), map(&[("na", "x")]))]);
        maps.insert("b".to_owned(), VarMap::from([("X".to_owned(), None)]));
        let planned = planned(&command, &["a", "b"], Vars::Each(maps));
        assert!(planned.run.is_none());
        assert_eq!(planned.skipped, ["a", "b"]);
    }

    #[test]
    fn another_host_can_be_contacted_for_a_node() {
        let command = command("A GET http 80 /$X 0 -1 -1", "");
        let to = |value: &str| map(&[("X", value), (TARGET_NODE, "server")]);
        let maps = ["a b", "c/d"].map(|value| (value.to_owned(), to("1")));
        let run = planned(&command, &["a b", "c/d"], Vars::Each(maps.into())).run.expect("a run");
        assert_eq!(&*run.targets[1].host, "server");
        assert_eq!(run.targets[1].var(job::NODE), Some("c/d"));
    }

    #[test]
    fn widths_have_their_bounds() {
        let command = command("A GET http 80 / 9000 -1 -1", "");
        let node = "c1".parse().expect("a name");
        let order = |width, only_at| Order {
            group: "G",
            command: &command,
            headers: &[],
            nodes: &[],
            vars: Vars::None,
            width,
            at_most_once: true,
            only_at,
        };
        assert_eq!(limits(&order(None, None)).per_worker, Some(MAX_WIDTH));
        assert_eq!(limits(&order(Some(i64::MAX), None)).per_worker, Some(MAX_WIDTH));
        assert_eq!(limits(&order(Some(-1), None)).per_worker, Some(DEFAULT_WIDTH));
        assert_eq!(limits(&order(Some(2000), Some(&node))).per_worker, Some(MAX_WIDTH_ALONE));
    }

    #[test]
    fn passwords_are_secrets() {
        let command = command("A GET ssh 22 root 0 -1 -1 hunter2", "uptime");
        let run = planned(&command, &["a"], Vars::None).run.expect("a run");
        assert_eq!(run.secrets.password.as_ref().map(run::Secret::reveal), Some("hunter2"));
        assert!(!serde_json::to_string(&run.spec).expect("JSON").contains("hunter2"));
    }
}
