//! `remuda-bench failover`: how long nothing can be written, or asked of a worker, after a control
//! node was killed.
//!
//! Three control nodes and six workers, as processes. In turns the leader, and another control node
//! that owns a worker, get SIGKILL. From then on writes (making an API token) and requests to a
//! worker of the dead node are tried at both living control nodes, and the first success of each
//! counts. Then the node is started again, and the next round begins when all is as before.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use remuda::{
    client::{Client, dto::Scope},
    model::{ClassName, NodeId},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{agents::Cluster, options::Options, report::Report};

const CONTROLS: usize = 3;
const WORKERS: usize = 6;
/// Who tries at each living control node.
const EACH: usize = 2;
/// One attempt; then there is another.
const ATTEMPT: Duration = Duration::from_secs(15);
/// Nothing takes longer, or the measurement has failed.
const LIMIT: Duration = Duration::from_mins(2);

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Leader,
    Owner,
}

/// What was seen after kills of one kind.
#[derive(Debug, Default)]
struct Seen {
    writes: Vec<Duration>,
    requests: Vec<Duration>,
}

pub(crate) async fn run(words: &[&str]) -> Result<()> {
    let options = Options::parse(words, &[], &["--dir"])?;
    let rounds = options.number("--rounds", 50, 2)?;
    let dir = options.text("--dir").map_or_else(std::env::temp_dir, PathBuf::from);
    let mut report = Report::new("failover", &options);
    let mut cluster = Cluster::start(&dir, CONTROLS, WORKERS).await?;
    let (mut leader, mut owner) = (Seen::default(), Seen::default());
    for round in 0..rounds {
        for (victim, seen) in [(Victim::Leader, &mut leader), (Victim::Owner, &mut owner)] {
            let (write, request) = kill_one(&mut cluster, victim).await?;
            seen.writes.push(write);
            seen.requests.push(request);
            report.say(&format!(
                "round {}: {victim:?} killed; written after {write:.2?}, asked after {request:.2?}",
                round + 1
            ));
        }
    }
    for (name, seen) in [("leader", &leader), ("owner", &owner)] {
        report.spans(&format!("kill -9 of the {name}, to the next write"), &seen.writes);
        report.spans(&format!("kill -9 of the {name}, to the next request"), &seen.requests);
    }
    report.finish()
}

/// Kills a control node, waits for the first successes, and starts it again.
async fn kill_one(cluster: &mut Cluster, victim: Victim) -> Result<(Duration, Duration)> {
    let leader = cluster.leader().await?;
    let (index, worker) = choose(cluster, leader, victim).await?;
    let mut clients = Vec::new();
    for (living, _) in cluster.controls().filter(|(at, _)| *at != index) {
        for _ in 0..EACH {
            clients.push(cluster.client(living, ATTEMPT)?);
        }
    }
    let start = Instant::now();
    cluster.nodes[index].kill9().await?;
    let write = first(clients.clone(), start, |client| async move {
        Ok(client.create_token("bench", Scope::Read, Some(LIMIT)).await.map(drop)?)
    });
    let class: ClassName = "node".parse()?;
    let request = first(clients, start, move |client| {
        let (worker, class) = (worker.clone(), class.clone());
        async move {
            Ok(client.request(&worker, &class, "status".into(), Some(ATTEMPT)).await.map(drop)?)
        }
    });
    let (write, request) = tokio::join!(write, request);
    cluster.nodes[index].start()?;
    cluster.nodes[index].ready().await?;
    cluster.settled(CONTROLS).await?;
    Ok((write.context("no write")?, request.context("no request")?))
}

/// A control node of the kind and a worker that it owns.
async fn choose(cluster: &Cluster, leader: usize, victim: Victim) -> Result<(usize, NodeId)> {
    let nodes = cluster.client(leader, ATTEMPT)?.nodes().await?;
    let leading = &cluster.nodes[leader].name;
    let owned = nodes.into_iter().filter(|node| !node.roles.is_control()).find(|node| {
        let owner = node.owner.as_ref();
        owner.is_some() && (owner == Some(leading)) == (victim == Victim::Leader)
    });
    let owned =
        owned.with_context(|| format!("no worker whose owner is of the kind {victim:?}"))?;
    Ok((cluster.index(&owned.owner.context("just looked at")?)?, owned.id))
}

/// How long after `start` the first client has success; each tries again until it has.
async fn first<F, Attempt>(clients: Vec<Client>, start: Instant, attempt: F) -> Result<Duration>
where
    F: Fn(Client) -> Attempt + Clone + Send + 'static,
    Attempt: Future<Output = Result<()>> + Send,
{
    let mut tries = JoinSet::new();
    for client in clients {
        let attempt = attempt.clone();
        tries.spawn(async move {
            while attempt(client.clone()).await.is_err() {
                sleep(Duration::from_millis(5)).await;
            }
        });
    }
    let done = timeout(LIMIT, tries.join_next()).await.context("nobody succeeds")?;
    ensure!(done.is_some_and(|done| done.is_ok()), "an attempt panicked");
    Ok(start.elapsed())
}
