//! A cluster of replicas in one process, with switches for its links.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use remuda_model::{LinkUrl, NodeId};
use remuda_state::{Change, Command, Scope, TokenRecord};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{
    Leadership, OpenError, ProposeError, RaftTransport, Replica, ReplicaConfig, SendError, Timing,
};

/// Longer than anything takes, even on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const TIMING: Timing = Timing {
    heartbeat: Duration::from_millis(50),
    election_min: Duration::from_millis(150),
    election_max: Duration::from_millis(300),
    snapshot_after: 20,
};

/// The replicas that run, and the nodes that are cut off.
#[derive(Default)]
pub(super) struct Net {
    replicas: Mutex<BTreeMap<NodeId, Replica>>,
    cut: Mutex<BTreeSet<NodeId>>,
}

struct Port {
    from: NodeId,
    net: Arc<Net>,
}

impl RaftTransport for Port {
    fn send(
        &self,
        to: &NodeId,
        _addresses: &[LinkUrl],
        rpc: Bytes,
        _ttl: Duration,
    ) -> BoxFuture<'static, Result<Bytes, SendError>> {
        let (from, to, net) = (self.from.clone(), to.clone(), Arc::clone(&self.net));
        async move {
            let unreachable = || Err(SendError::Unreachable("cut".to_owned()));
            if net.is_cut(&from, &to) {
                return unreachable();
            }
            let Some(replica) = net.replicas.lock().unwrap().get(&to).cloned() else {
                return unreachable();
            };
            let answer = replica.serve(rpc).await;
            if net.is_cut(&from, &to) {
                return unreachable();
            }
            answer.map_err(|failure| SendError::Failed(failure.to_string()))
        }
        .boxed()
    }
}

impl Net {
    /// A link works when both nodes are on the same side.
    fn is_cut(&self, a: &NodeId, b: &NodeId) -> bool {
        let cut = self.cut.lock().unwrap();
        cut.contains(a) != cut.contains(b)
    }
}

pub(super) struct Cluster {
    dir: TempDir,
    net: Arc<Net>,
    timing: Timing,
}

pub(super) fn id(name: &str) -> NodeId {
    name.parse().unwrap()
}

pub(super) fn ids(names: &[&str]) -> BTreeSet<NodeId> {
    names.iter().map(|name| id(name)).collect()
}

/// A command that leaves a trace in the state.
pub(super) fn token(name: &str) -> Command {
    Command::once(Change::CreateToken(TokenRecord {
        id: name.parse().unwrap(),
        name: name.to_owned(),
        scope: Scope::Read,
        hash: [0; 32],
        created_ms: 0,
        expires_ms: None,
    }))
}

pub(super) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

impl Cluster {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, net: Arc::default(), timing: TIMING }
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    pub(super) async fn try_start(&self, name: &str) -> Result<Replica, OpenError> {
        self.try_start_in(&self.path(name), name).await
    }

    pub(super) async fn try_start_in(&self, dir: &Path, name: &str) -> Result<Replica, OpenError> {
        let config = ReplicaConfig {
            dir: dir.into(),
            node: id(name),
            addresses: Vec::new(),
            timing: self.timing,
        };
        let replica = Replica::open(config, self.port(name)).await?;
        self.net.replicas.lock().unwrap().insert(id(name), replica.clone());
        Ok(replica)
    }

    pub(super) fn port(&self, name: &str) -> Arc<dyn RaftTransport> {
        Arc::new(Port { from: id(name), net: Arc::clone(&self.net) })
    }

    pub(super) async fn start(&self, name: &str) -> Replica {
        self.try_start(name).await.unwrap()
    }

    /// Stops a replica as a crash would look to the others.
    pub(super) async fn stop(&self, name: &str) {
        let replica = self.net.replicas.lock().unwrap().remove(&id(name));
        replica.expect("it runs").shutdown().await;
    }

    pub(super) async fn stop_all(&self) {
        let names: Vec<NodeId> = self.net.replicas.lock().unwrap().keys().cloned().collect();
        for name in names {
            self.stop(name.as_str()).await;
        }
    }

    pub(super) fn cut(&self, names: &[&str]) {
        *self.net.cut.lock().unwrap() = ids(names);
    }

    pub(super) fn heal(&self) {
        self.net.cut.lock().unwrap().clear();
    }

    /// A cluster in which all of these nodes vote; the first founds it.
    pub(super) async fn voting(names: &[&str]) -> (Self, Vec<Replica>) {
        let cluster = Self::new();
        let mut replicas = Vec::new();
        for name in names {
            replicas.push(cluster.start(name).await);
        }
        let first = &replicas[0];
        within("bootstrap", first.bootstrap(vec![token("first")])).await.unwrap();
        for name in &names[1..] {
            within("add_learner", first.add_learner(&id(name), Vec::new())).await.unwrap();
        }
        for name in &names[1..] {
            wait_for(first, "a learner to answer", |now| now.matched.contains_key(&id(name))).await;
        }
        within("set_voters", first.set_voters(ids(names))).await.unwrap();
        for replica in &replicas {
            wait_for(replica, "all voters to be known", |now| now.voters == ids(names)).await;
        }
        (cluster, replicas)
    }
}

pub(super) async fn wait_for(
    replica: &Replica,
    what: &str,
    is_so: impl FnMut(&Leadership) -> bool,
) -> Leadership {
    let mut leadership = replica.leadership();
    within(what, leadership.wait_for(is_so)).await.unwrap().clone()
}

/// The one of the replicas that leads and can commit.
pub(super) async fn leader(replicas: &[Replica]) -> Replica {
    within("a leader", async {
        loop {
            for replica in replicas {
                if replica.read_index(TIMING.election_min).await.is_ok() {
                    return replica.clone();
                }
            }
            tokio::time::sleep(TIMING.heartbeat).await;
        }
    })
    .await
}

/// Commits the command through whichever replica leads.
pub(super) async fn commit(replicas: &[Replica], name: &str) -> u64 {
    loop {
        let leader = leader(replicas).await;
        match leader.propose(token(name), PATIENCE).await {
            Ok(done) => {
                done.applied.outcome.unwrap();
                return done.index;
            }
            Err(ProposeError::NotLeader { .. }) => {}
            Err(error) => panic!("cannot commit: {error}"),
        }
    }
}

pub(super) async fn applied(replica: &Replica, index: u64) {
    replica.wait_applied(index, PATIENCE).await.unwrap();
}

pub(super) fn has(replica: &Replica, name: &str) -> bool {
    replica.state().token(&name.parse().unwrap()).is_some()
}
