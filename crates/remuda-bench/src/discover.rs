//! `remuda-bench discover`: from the start of an agent to a ready node, by each way of finding the
//! cluster.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use remuda::{client::Client, model::NodeStatus};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::{
    agents::{Cluster, Node},
    options::Options,
};

/// Set for the process that has a network of its own.
const INSIDE: &str = "REMUDA_BENCH_INSIDE";
/// How often it is looked whether a node is ready.
const LOOK: Duration = Duration::from_millis(2);
/// How long a node may take.
const PATIENCE: Duration = Duration::from_secs(30);
const DNS: &str = "127.0.0.1:5300";
const TRACKER: &str = "http://127.0.0.1:44201";

pub(crate) async fn run(words: &[&str]) -> Result<()> {
    if std::env::var_os(INSIDE).is_none() {
        return in_private_network(words).await;
    }
    let options = Options::parse(words, &[], &[])?;
    let rounds = options.number("--rounds", 9, 1)?;
    let serve = ["--tracker", TRACKER, "--tracker-listen", "127.0.0.1:44201", "--lan", "on"];
    let cluster = Cluster::found(&std::env::temp_dir(), &serve).await?;
    let client = cluster.client(0, Duration::from_secs(2))?;
    let link = cluster.link(0)?;
    let _server = name_server(link.port)?;
    let url = link.to_string();
    let ways: [(&str, &[&str]); 4] = [
        ("an address", &["--lan", "off", "--join", &url]),
        ("DNS: NAPTR, SRV, A", &["--lan", "off", "--join", "herd.example", "--dns-server", DNS]),
        ("the subnet", &["--lan", "on"]),
        ("a tracker", &["--lan", "off", "--tracker", TRACKER]),
    ];
    let token = cluster.read("join-token-worker")?;
    let mut taken: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); ways.len()];
    for round in 0..rounds {
        for (number, (_, way)) in ways.iter().enumerate() {
            let arguments = [way, &["--token", &token][..]].concat();
            let mut node = cluster.prepare(&format!("w{number}-{round}"), &arguments)?;
            taken[number].0.push(start(&mut node, &client).await?);
            node.kill9().await?;
            gone(&node, &client).await?;
            taken[number].1.push(start(&mut node, &client).await?);
            node.kill9().await?;
        }
    }
    for ((name, _), (first, again)) in ways.iter().zip(taken) {
        let (first, again) = (shown(first), shown(again));
        println!("{name:20} first start {first}; started again {again}");
    }
    Ok(())
}

/// Starts a node; milliseconds until the control node shows it ready.
async fn start(node: &mut Node, client: &Client) -> Result<f64> {
    let begun = Instant::now();
    node.start()?;
    loop {
        if status(node, client).await == Some(NodeStatus::Ready) {
            return Ok(begun.elapsed().as_secs_f64() * 1000.0);
        }
        ensure!(begun.elapsed() < PATIENCE, "{} is not ready", node.name);
        sleep(LOOK).await;
    }
}

/// Waits until the control node misses a node.
async fn gone(node: &Node, client: &Client) -> Result<()> {
    let begun = Instant::now();
    while status(node, client).await == Some(NodeStatus::Ready) {
        ensure!(begun.elapsed() < PATIENCE, "{} is not missed", node.name);
        sleep(LOOK).await;
    }
    Ok(())
}

async fn status(node: &Node, client: &Client) -> Option<NodeStatus> {
    client.node(&node.name).await.ok().map(|view| view.status)
}

fn shown(mut taken: Vec<f64>) -> String {
    taken.sort_by(f64::total_cmp);
    let (least, most) = (taken.first().copied(), taken.last().copied());
    let median = taken.get(taken.len() / 2).copied().unwrap_or_default();
    let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
    format!("{median:.0} ms ({least:.0} to {most:.0})")
}

/// Runs this measurement again where nobody else can be heard.
async fn in_private_network(words: &[&str]) -> Result<()> {
    let program = std::env::current_exe()?;
    let program = program.to_str().context("a path in UTF-8")?;
    let script = "ip link set lo up && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", script, "sh", program, "discover"]).args(words);
    let status = command.env(INSIDE, "1").status().await;
    let status = status.context("this needs `unshare` and the right to make networks")?;
    ensure!(status.success(), "discover: {status}");
    Ok(())
}

/// A name server with the records of the cluster.
fn name_server(port: u16) -> Result<Child> {
    let mut command = Command::new(Path::new("dnsmasq"));
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"]);
    command.args(["--pid-file=", "--user=root", "--bind-interfaces", "--port=5300"]);
    command.args([
        "--listen-address=127.0.0.1",
        "--naptr-record=herd.example,100,100,s,remudas+d2t,,_remuda._tls.herd.example",
        &format!("--srv-host=_remuda._tls.herd.example,c1.herd.example,{port},10,10"),
        "--host-record=c1.herd.example,127.0.0.1",
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().context("this needs dnsmasq: apt-get install dnsmasq-base")
}
