//! A cluster in which faults happen, and what is checked after each of them.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use remuda::client::Client;
use remuda_model::{NodeId, NodeStatus};

use super::{
    Scenario, World,
    events::Watch,
    load::{Load, Pace, Reads},
    requests::{Count, Requests},
    verdict::judge,
    witness::Witness,
    world::{Built, arguments},
};
use crate::{Lab, Lan, eventually, id};

/// Clients during a fault; they leave time for the cluster on a machine with two cores.
pub(super) const PACE: Pace =
    Pace { clients: 4, slots: 4, rest: Duration::from_millis(20), reads: Reads::Fresh };
/// How many more files than after its first round a process may have open later.
const MORE_FILES: usize = 64;

/// What one round gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// What went wrong, in words.
    pub faults: Vec<String>,
    /// Changes that were acknowledged.
    pub acked: u64,
    /// Changes of unknown outcome.
    pub unknown: u64,
    /// Changes that were refused.
    pub refused: u64,
    /// Operations whose order was checked.
    pub checked: u64,
    /// Requests to workers that were answered.
    pub answered: u64,
    /// Requests of unknown outcome.
    pub requests_unknown: u64,
    /// Events of workers that a subscriber heard.
    pub events: u64,
    /// Events that are missing, as the subscriber was told.
    pub events_missing: u64,
    /// The longest time between two acknowledged changes, in milliseconds.
    pub outage_ms: u64,
    /// From the end of the fault until everything was ready, in milliseconds.
    pub ready_ms: u64,
}

/// A cluster, and the fault that is under way.
#[derive(Debug)]
pub struct Field {
    /// The processes.
    pub lab: Lab,
    /// The network between them.
    pub lan: Lan,
    /// What decides which fault comes next.
    pub rng: fastrand::Rng,
    pub(super) controls: Vec<String>,
    pub(super) workers: Vec<String>,
    pub(super) pace: Pace,
    world: World,
    seed: u64,
    n_rounds: u32,
    pub(super) faults: Vec<String>,
    witness: Witness,
    /// How many files each process had open after the first round.
    files: BTreeMap<String, usize>,
    /// Where what shows a failure is written.
    evidence: PathBuf,
}

impl Field {
    /// Builds a cluster.
    ///
    /// # Panics
    ///
    /// When it does not get ready.
    pub async fn build(world: World, seed: u64, evidence: PathBuf) -> Self {
        let Built { lab, lan, controls, workers } = world.build().await;
        let witness = Witness::start(&lab.client("c1"), &workers).await;
        Self {
            lab,
            lan,
            rng: fastrand::Rng::with_seed(seed),
            controls,
            workers,
            pace: PACE,
            world,
            seed,
            n_rounds: 0,
            faults: Vec::new(),
            witness,
            files: BTreeMap::new(),
            evidence,
        }
    }

    /// What kind of cluster it is.
    pub fn world(&self) -> World {
        self.world
    }

    /// Lets a fault happen under load, waits until everything is well again, and judges.
    ///
    /// # Panics
    ///
    /// When a promise was broken, or the cluster does not get well in time.
    pub async fn round(&mut self, scenario: &Scenario, seed: u64) -> Round {
        self.rng = fastrand::Rng::with_seed(seed);
        self.seed = seed;
        self.n_rounds += 1;
        self.faults.clear();
        self.pace = PACE;
        let run = format!("{}-{}", scenario.name, self.n_rounds);
        let load = self.load(&run);
        let file = self.lab.dir().join(format!("done-{run}"));
        let workers: Vec<NodeId> = self.workers.iter().map(|name| id(name)).collect();
        let requests = Requests::start(&self.clients(), &workers, &file, seed);
        let watch = Watch::start(&self.clients(), &workers, seed);
        let begun = async || load.acked();
        eventually("the first acknowledged change", begun, |acked| *acked > 0).await;

        (scenario.act)(self).await;

        self.lan.heal();
        let healed = Instant::now();
        let before = load.acked();
        let again = async || load.acked();
        eventually("a change after the fault", again, |acked| *acked > before).await;
        self.settle().await;
        let ready = healed.elapsed();
        let story = load.stop().await;
        let count = requests.stop().await;
        let events = watch.stop().await;
        let checked = judge(&story, &self.evidence.join(&run)).unwrap_or_else(|wrong| {
            panic!("{} seed {seed}, after {:?}: {wrong}", scenario.name, self.faults)
        });
        Box::pin(self.inspect(&run)).await;
        let Count { answered, unknown: requests_unknown, .. } = count;
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Round {
            faults: std::mem::take(&mut self.faults),
            acked: story.acked,
            unknown: story.unknown,
            refused: story.refused,
            checked,
            answered,
            requests_unknown,
            events: events.heard,
            events_missing: events.missing,
            outage_ms: ms(story.outage),
            ready_ms: ms(ready),
        }
    }

    /// Starts clients of all control nodes.
    pub(super) fn load(&self, run: &str) -> Load {
        let addresses: Vec<String> =
            self.controls.iter().map(|name| address(&self.lan, name)).collect();
        Load::start(run, &addresses, self.lab.admin_token(), self.pace, self.seed)
    }

    /// A client of one control node that gives up soon, whether it runs or not.
    pub(super) fn client(&self, name: &str) -> Client {
        client_at(&self.lan, &self.lab, name)
    }

    fn clients(&self) -> Vec<Client> {
        self.controls.iter().map(|name| self.client(name)).collect()
    }

    /// Waits until every node is ready, as every control node sees it, and the cluster is well.
    pub(super) async fn settle(&self) {
        let total = self.controls.len() + self.workers.len();
        for at in &self.controls {
            let client = self.client(at);
            let ready = async || {
                let nodes = client.nodes().await.unwrap_or_default().into_iter();
                let away = nodes.filter(|node| node.status != NodeStatus::Ready);
                let away: Vec<String> = away.map(|node| node.id.to_string()).collect();
                let cluster = client.cluster().await;
                (
                    away,
                    cluster.map(|cluster| (cluster.nodes, cluster.voters.len(), cluster.reasons)),
                )
            };
            let good = |(away, cluster): &(Vec<String>, Result<_, _>)| {
                let wanted = (u64::try_from(total).unwrap_or(0), self.controls.len(), Vec::new());
                away.is_empty() && *cluster == Ok(wanted)
            };
            let (_, cluster) = eventually(&format!("all is well at {at}"), ready, good).await;
            cluster.expect("seen");
        }
    }

    /// What must be so when nothing is wrong any more.
    async fn inspect(&mut self, run: &str) {
        let control = self.some_control();
        let client = client_at(&self.lan, &self.lab, &control);
        Box::pin(self.witness.check(&client)).await;
        self.replicas_agree().await;
        for name in self.lab.names() {
            let log = self.lab.node(&name).log();
            assert!(!log.contains("panicked at"), "{name} panicked:\n{log}");
        }
        self.no_more_files();
        // The next round begins as this one did.
        let client = self.client(&self.controls[0]);
        for token in client.tokens().await.expect("read") {
            if token.name.starts_with(run) {
                client.revoke_token(&token.id).await.expect("revoked");
            }
        }
    }

    /// Waits until every control node has the same state by itself.
    async fn replicas_agree(&self) {
        let clients = self.clients();
        let views = async || {
            let mut views = Vec::new();
            for client in &clients {
                let stale = client.stale();
                let Ok(tokens) = stale.tokens().await else { return Vec::new() };
                let Ok(nodes) = stale.nodes().await else { return Vec::new() };
                let Ok(cluster) = stale.cluster().await else { return Vec::new() };
                let nodes: Vec<_> = nodes
                    .into_iter()
                    .map(|node| (node.id, node.roles, node.generation, node.labels, node.owner))
                    .collect();
                let controls: Vec<_> =
                    cluster.controls.into_iter().map(|node| (node.id, node.active)).collect();
                views.push((tokens, nodes, cluster.voters, controls, cluster.epoch));
            }
            views
        };
        let equal = |views: &Vec<_>| {
            views.len() == clients.len() && views.windows(2).all(|pair| pair[0] == pair[1])
        };
        eventually("all control nodes have the same state", views, equal).await;
    }

    fn no_more_files(&mut self) {
        for name in self.lab.names() {
            let Some(pid) = self.lab.node(&name).pid() else { continue };
            let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
            let n_open = open.count();
            let first = *self.files.entry(name.clone()).or_insert(n_open);
            assert!(n_open <= first + MORE_FILES, "{name} had {first} files open, now {n_open}");
        }
    }

    /// Writes down what goes wrong now.
    pub(super) fn note(&mut self, fault: impl Into<String>) {
        self.faults.push(fault.into());
    }

    /// Lets a fault last.
    pub(super) async fn last(&mut self, from_ms: u64, to_ms: u64) -> u64 {
        let ms = self.rng.u64(from_ms..=to_ms);
        tokio::time::sleep(Duration::from_millis(ms)).await;
        ms
    }

    /// The leader, as any control node knows it.
    pub(super) async fn leader(&self) -> String {
        let clients = self.clients();
        let ask = async || {
            for client in &clients {
                if let Ok(cluster) = client.cluster().await
                    && let Some(leader) = cluster.leader
                {
                    return Some(leader.to_string());
                }
            }
            None
        };
        eventually("a leader", ask, Option::is_some).await.expect("seen")
    }

    /// All control nodes but one.
    pub(super) fn others(&self, one: &str) -> Vec<String> {
        self.controls.iter().filter(|name| *name != one).cloned().collect()
    }

    /// A control node by chance.
    pub(super) fn some_control(&mut self) -> String {
        self.rng.choice(&self.controls).expect("there are some").clone()
    }

    /// A worker by chance.
    pub(super) fn some_worker(&mut self) -> String {
        self.rng.choice(&self.workers).expect("there are some").clone()
    }

    pub(super) fn kill(&mut self, name: &str) {
        self.note(format!("kill {name}"));
        self.lab.node_mut(name).kill9();
    }

    pub(super) async fn start(&mut self, name: &str) {
        self.lab.node_mut(name).start();
        self.lab.node_mut(name).ready().await;
    }

    pub(super) fn signal(&mut self, name: &str, signal: Signal) {
        self.note(format!("{signal} {name}"));
        self.lab.node(name).signal(signal);
    }

    /// Lets a machine join under its name, with nothing left of an earlier life.
    pub(super) async fn join_anew(&mut self, name: &str) {
        let place = self.lan.place(name);
        let arguments = arguments(&self.lan, name, true);
        let words: Vec<&str> =
            ["--control"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        self.lab.join_at(&place, name, &words).await;
    }
}

/// The address of a control node's API, whether it runs or not.
fn address(lan: &Lan, name: &str) -> String {
    format!("http://{}:44200", lan.address(name))
}

fn client_at(lan: &Lan, lab: &Lab, name: &str) -> Client {
    super::load::client(&address(lan, name), lab.admin_token())
}
