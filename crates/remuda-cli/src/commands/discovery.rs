//! `remuda discover` and `remuda tracker`.

use remuda_discovery::{
    lan::{Key, Lan, LanConfig, Neighbour, PORT},
    tracker,
};
use remuda_link::JoinToken;
use remuda_model::{Chain, ClusterId, ErrorKind, LinkUrl, NodeId};
use remuda_runtime::{Supervisor, wall_ms};
use serde::Serialize;

use crate::{
    args::{DiscoverArgs, TrackerArgs},
    environment::Environment,
    error::{Report, Stop},
    logging,
    output::{Printer, Table, note},
    signals::Signals,
};

/// How long connections may take to end.
const END: std::time::Duration = std::time::Duration::from_secs(3);

/// One control node, from one place.
#[derive(Debug, Serialize)]
struct Found {
    cluster: ClusterId,
    name: String,
    node: NodeId,
    addresses: Vec<LinkUrl>,
    /// `subnet`, or the address of a tracker.
    source: String,
    /// Whether it is on this machine.
    local: bool,
    /// Whether it knows the join secret; nothing when no token was given.
    seal: Option<bool>,
}

pub(super) async fn discover(args: DiscoverArgs) -> Result<(), Stop> {
    let token = token(&args)?;
    let key = token.as_ref().map(|token| Key::of_secret(&token.secret));
    let cluster = token.map(|token| token.cluster.clone());
    let supervisor = Supervisor::new();
    let config = LanConfig { port: PORT, cluster: cluster.clone(), key: key.clone() };
    let lan = Lan::start(config, &supervisor)
        .inspect_err(|error| note(&format!("cannot listen on UDP port {PORT}: {error}")))
        .ok();
    let heard = async {
        let Some(lan) = lan else { return Vec::new() };
        lan.ask();
        tokio::time::sleep(args.wait.0).await;
        lan.neighbours()
    };
    let listed = async {
        let mut found = Vec::new();
        for url in &args.tracker {
            match tracker::fetch(url).await {
                Ok(hosts) => {
                    let now_s = wall_ms() / 1000;
                    let told = hosts.masters.iter();
                    let told = told.filter_map(|host| tracker::told(host, key.as_ref(), now_s));
                    found.extend(told.map(|told| (url.to_string(), told)));
                }
                Err(error) => note(&Chain(&error).to_string()),
            }
        }
        found
    };
    let (heard, listed) = tokio::join!(heard, listed);
    let seal = |verified| key.is_some().then_some(verified);
    let heard = heard.into_iter().map(|neighbour| {
        let Neighbour { cluster, name, node, addresses, local, verified, .. } = neighbour;
        let seal = seal(verified);
        Found { cluster, name, node, addresses, source: "subnet".to_owned(), local, seal }
    });
    let listed = listed.into_iter().map(|(source, told)| {
        let (addresses, seal) = (told.addresses, seal(told.verified));
        let told = told.announcement;
        let (cluster, name, node) = (told.cluster, told.name, told.node);
        Found { cluster, name, node, addresses, source, local: false, seal }
    });
    let is_wanted = |found: &Found| cluster.as_ref().is_none_or(|wanted| found.cluster == *wanted);
    let found: Vec<_> = heard.chain(listed.filter(is_wanted)).collect();
    supervisor.shutdown(END).await;
    print(&args, &found)
}

fn print(args: &DiscoverArgs, found: &[Found]) -> Result<(), Stop> {
    let printer = Printer::new(args.format);
    if printer.is_json() {
        return Ok(printer.json(found)?);
    }
    let mut table = Table::new(["CLUSTER", "NAME", "NODE", "ADDRESS", "SOURCE", "SEAL"]);
    for found in found {
        let source = if found.local {
            format!("{}, this machine", found.source)
        } else {
            found.source.clone()
        };
        table.row([
            found.cluster.to_string(),
            found.name.clone(),
            found.node.to_string(),
            found.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            source,
            match found.seal {
                Some(true) => "yes".to_owned(),
                Some(false) => "no".to_owned(),
                None => String::new(),
            },
        ]);
    }
    if found.is_empty() {
        note("nobody announces itself here; control nodes on loopback do not, nor with --lan off");
        return Ok(());
    }
    Ok(printer.table(table)?)
}

fn token(args: &DiscoverArgs) -> Result<Option<JoinToken>, Report> {
    let Some(path) = &args.token_file else { return Ok(args.token.clone()) };
    let cannot =
        |reason: String| Report::new(ErrorKind::Invalid, format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| cannot(error.to_string()))?;
    // The reason alone: the text that was not understood may be a secret.
    let token = text.trim().parse().map_err(|_bad| cannot("it holds no join token".to_owned()))?;
    Ok(Some(token))
}

pub(super) async fn serve(args: TrackerArgs, environment: &Environment) -> Result<(), Stop> {
    let mut signals = Signals::listen()?;
    logging::start(crate::config::LogFormat::Text, "info".into(), environment);
    let supervisor = Supervisor::new();
    let served = tracker::serve(args.listen, &supervisor).await;
    let address = served.map_err(|error| {
        Report::new(ErrorKind::Invalid, format!("cannot serve at {}: {error}", args.listen))
            .hint("the port may be taken or the address foreign to this machine")
    })?;
    tracing::info!(%address, "the tracker runs: everybody who reaches it may read and write");
    signals.next().await;
    if !supervisor.shutdown(END).await {
        tracing::warn!("some connections did not end in time");
    }
    Ok(())
}
