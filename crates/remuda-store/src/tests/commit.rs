//! Commands that come together share an entry of the log.

use futures_util::future::join_all;
use remuda_model::Release;
use remuda_state::{Batch, Change, ClusterRecord, Command, Outcome, Refusal};

use super::cluster::{Cluster, PATIENCE, TIMING, id, token, within};
use crate::{Committed, ProposeError, Replica, ReplicaConfig};

const AT_ONCE: usize = 300;

async fn open(cluster: &Cluster) -> Replica {
    let (dir, node) = (cluster.path("a"), id("a"));
    let config = ReplicaConfig { dir, node, addresses: Vec::new(), timing: TIMING };
    Replica::open_as(Release::CURRENT, config, cluster.port("a")).await.expect("opens")
}

async fn found(cluster: &Cluster, level: u16) -> Replica {
    let a = open(cluster).await;
    let init = Command::once(Change::Init(ClusterRecord {
        id: "0123456789abcdefghjkmnpqrs".parse().unwrap(),
        name: "test".to_owned(),
        created_ms: 1,
    }));
    within("bootstrap", a.bootstrap(vec![init])).await.unwrap();
    a.propose(Command::once(Change::RaiseLevel { level }), PATIENCE).await.unwrap();
    a
}

async fn all(a: &Replica, commands: Vec<Command>) -> Vec<Result<Committed, ProposeError>> {
    join_all(commands.into_iter().map(|command| a.propose(command, PATIENCE))).await
}

#[tokio::test]
async fn commands_that_wait_are_committed_together_and_each_has_its_outcome() {
    let cluster = Cluster::new();
    let a = found(&cluster, Batch::LEVEL).await;
    let before = a.state().applied();
    // Each token is made twice: the second attempt is another command about the same thing.
    let tokens: Vec<Command> = (0..AT_ONCE).map(|n| token(&format!("t{n}"))).collect();
    let done = all(&a, [tokens.clone(), tokens].concat()).await;
    let outcomes = done.into_iter().map(|done| done.expect("committed"));
    let (first, second): (Vec<_>, Vec<_>) =
        outcomes.partition(|done| matches!(done.applied.outcome, Ok(Outcome::Changed(_))));
    assert_eq!((first.len(), second.len()), (AT_ONCE, AT_ONCE));
    assert!(second.iter().all(|done| done.applied.outcome == Ok(Outcome::Unchanged)));
    let entries = a.state().applied() - before;
    assert!(entries < 10, "{entries} entries for {} commands", 2 * AT_ONCE);
    a.shutdown().await;
    let a = open(&cluster).await;
    let mut states = a.watch_state();
    within("the log is applied again", states.wait_for(|state| state.tokens().count() == AT_ONCE))
        .await
        .unwrap();
    a.shutdown().await;
}

#[tokio::test]
async fn a_refused_command_harms_no_other_of_its_entry() {
    let cluster = Cluster::new();
    let a = found(&cluster, Batch::LEVEL).await;
    let revoke = |name: &str| Command::once(Change::RevokeToken(name.parse().unwrap()));
    let done = all(&a, vec![token("t"), revoke("unknown"), token("u"), revoke("t")]).await;
    let outcomes: Vec<_> = done.into_iter().map(|done| done.unwrap().applied.outcome).collect();
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok() && outcomes[3].is_ok(), "{outcomes:?}");
    assert_eq!(outcomes[1], Err(Refusal::UnknownToken("unknown".parse().unwrap())));
    let left: Vec<_> = a.state().tokens().map(|token| token.id.to_string()).collect();
    assert_eq!(left, ["u"]);
    a.shutdown().await;
}

#[tokio::test]
async fn a_cluster_that_an_older_version_may_join_has_one_command_in_each_entry() {
    let cluster = Cluster::new();
    let a = found(&cluster, 1).await;
    let before = a.state().applied();
    let done = all(&a, (0..50).map(|n| token(&format!("t{n}"))).collect()).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(a.state().applied() - before, 50);
    a.shutdown().await;
}
