//! The client before a real API, in the clear and over TLS.

use std::{net::SocketAddr, time::Duration};

use remuda_api::{ApiConfig, ApiTls};
use remuda_artifact::{Store, StoreConfig};
use remuda_control::{Control, ControlConfig};
use remuda_link::Authority;
use remuda_model::{ClusterId, ErrorKind, Labels, NodeStatus, Role};
use remuda_runtime::Supervisor;
use remuda_state::Scope as StateScope;
use tempfile::TempDir;

use super::{Client, ClientConfig};
use crate::client::{
    Ca,
    dto::{EventQuery, ExecRequest, Scope, StartTask, TaskQuery},
};

/// The longest timeout.
const DAY: Duration = Duration::from_hours(24);

struct Cluster {
    address: SocketAddr,
    token: String,
    supervisor: Supervisor,
    _dir: TempDir,
}

impl Cluster {
    async fn start(tls: Option<ApiTls>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let supervisor = Supervisor::new();
        let config = ControlConfig {
            node: "c1".parse().expect("valid"),
            data_dir: dir.path().to_owned(),
            addresses: Vec::new(),
            authority: None,
            classes: Vec::new(),
            artifacts: Store::open(StoreConfig::new(dir.path().join("artifacts")))
                .await
                .expect("opens"),
            timing: remuda_store::Timing::default(),
        };
        let control = Control::open(config, supervisor.clone()).await.expect("opens");
        control.bootstrap(ClusterId::random(), "real", Vec::new()).await.expect("bootstraps");
        let made = control.create_token("test", StateScope::Admin, None).await;
        let config = ApiConfig { tls, ..ApiConfig::new(([127, 0, 0, 1], 0).into()) };
        let address = remuda_api::serve(config, control, supervisor.clone()).await.expect("serves");
        Self { address, token: made.expect("a token").1, supervisor, _dir: dir }
    }

    fn client(&self, scheme: &str, ca: Option<Ca>) -> Client {
        let address = format!("{scheme}://{}", self.address);
        let config = ClientConfig { ca, ..ClientConfig::new(address, self.token.clone()) };
        Client::new(config).expect("a client")
    }

    async fn stop(self) {
        assert!(self.supervisor.shutdown(Duration::from_secs(20)).await, "all tasks end");
    }
}

fn tls_of(authority: &Authority, role: Role) -> ApiTls {
    let made = authority.certify(&"n1".parse().expect("valid"), role).expect("certified");
    ApiTls::from_der(vec![made.certificate, made.ca], &made.key).expect("usable")
}

#[tokio::test]
async fn every_call_meets_its_route() {
    let cluster = Cluster::start(None).await;
    let client = cluster.client("http", None);
    assert_eq!(client.version().await.expect("answered").api, "v1");
    assert!(client.is_ready().await.expect("answered"));
    assert_eq!(client.openapi().await.expect("answered")["openapi"], "3.1.0");
    let view = client.cluster().await.expect("answered");
    assert_eq!((view.name.as_str(), view.leader.is_some()), ("real", true));
    assert_eq!(client.stale().nodes().await.expect("answered").len(), 1);
    assert_eq!(client.nodes().await.expect("answered")[0].id.as_str(), "c1");
    for (on, expected) in [("node==c1 && role in (control, \"é+&\")", 1), ("role!=control", 0)] {
        let on = on.parse().expect("a selector");
        for client in [client.clone(), client.stale()] {
            assert_eq!(client.nodes_on(&on).await.expect("answered").len(), expected, "{on}");
        }
    }
    let tasks = client.tasks(&TaskQuery { running: true, ..TaskQuery::default() }).await;
    assert!(tasks.expect("answered").tasks.is_empty());

    let made = client.create_token("ci", Scope::Read, Some(Duration::from_mins(1))).await;
    let made = made.expect("made");
    let reader = Client::new(ClientConfig::new(client.address(), made.secret)).expect("a client");
    assert!(reader.nodes().await.is_ok());
    let refused = reader.tokens().await.expect_err("no administrator");
    assert_eq!(refused.kind, ErrorKind::Forbidden);
    assert!(client.tokens().await.expect("answered").contains(&made.token));
    client.revoke_token(&made.token.id).await.expect("revoked");
    let refused = reader.nodes().await.expect_err("revoked");
    assert_eq!(refused.kind, ErrorKind::Unauthenticated);

    // The rest needs workers; that the words fit shows in the failure.
    let (node, task) = ("w9".parse().expect("valid"), "t9".parse().expect("valid"));
    let class = "node".parse().expect("valid");
    let labels: Labels = "a;b=1".parse().expect("valid");
    let exec = ExecRequest { argv: vec!["true".to_owned()], ..ExecRequest::default() };
    let (class2, node2) = ("exec".parse().expect("valid"), "w9".parse().expect("valid"));
    let start = StartTask { node: node2, class: class2, spec: serde_json::json!({}), id: None };
    let failures = [
        client.node(&node).await.expect_err("unknown"),
        client.remove_node(&node, false).await.expect_err("unknown"),
        client.remove_control(&node).await.expect_err("unknown"),
        client.set_status(&node, NodeStatus::Standby).await.expect_err("unknown"),
        client.set_labels(&node, &labels, &["x".to_owned()]).await.expect_err("unknown"),
        client.request(&node, &class, "info".into(), None).await.expect_err("unknown"),
        client.exec(&node, &exec).await.expect_err("unknown"),
        client.exec_detached(&node, &exec).await.expect_err("unknown"),
        client.start_task(&start).await.expect_err("unknown"),
        client.task(&task, None).await.expect_err("unknown"),
        client.task(&task, Some(&node)).await.expect_err("unknown"),
        client.forget_task(&task, Some(&node)).await.expect_err("unknown"),
        client.command(&task, Some(&node), 1.into(), Some(DAY)).await.expect_err("unknown"),
        client.stop_task(&task, None, Some(Duration::ZERO)).await.expect_err("unknown"),
        client.output(&task, Some(&node), 7, true).await.expect_err("unknown"),
    ];
    for failure in failures {
        assert_eq!(failure.kind, ErrorKind::NotFound, "{failure:?}");
    }
    let query = EventQuery { node: Some(node), after: Some(3), ..EventQuery::default() };
    drop(client.events(&query, Some("w9:4")).await.expect("begins"));
    cluster.stop().await;
}

#[tokio::test]
async fn the_pinned_cluster_is_trusted_when_a_control_node_answers() {
    let ours = Authority::generate(&ClusterId::random()).expect("an authority");
    let pin = || Some(Ca::Pin(ours.pin()));
    let cluster = Cluster::start(Some(tls_of(&ours, Role::Control))).await;
    let client = cluster.client("https", pin());
    for _ in 0..2 {
        assert_eq!(client.cluster().await.expect("trusted").name, "real");
    }
    let plain = cluster.client("http", None).version().await.expect_err("no TLS");
    assert!(plain.hint.expect("advice").contains("https"));
    let by_name = cluster.client("https", Some(Ca::Der(ours.ca_der().to_vec())));
    let refused = by_name.version().await.expect_err("the certificate names no host");
    assert_eq!(refused.code, "tls_failed");
    cluster.stop().await;
}

#[tokio::test]
async fn workers_and_other_clusters_do_not_pass_for_the_api() {
    let cluster_id = ClusterId::random();
    let ours = Authority::generate(&cluster_id).expect("an authority");
    let other = Authority::generate(&cluster_id).expect("an authority");
    for tls in [tls_of(&ours, Role::Worker), tls_of(&other, Role::Control)] {
        let cluster = Cluster::start(Some(tls)).await;
        let refused = cluster.client("https", Some(Ca::Pin(ours.pin()))).version().await;
        assert_eq!(refused.expect_err("not trusted").code, "tls_failed");
        cluster.stop().await;
    }
    // A chain that shows our authority without having been signed by it.
    let made = other.certify(&"n1".parse().expect("valid"), Role::Control).expect("certified");
    let chain = vec![made.certificate, ours.ca_der().to_vec()];
    let tls = ApiTls::from_der(chain, &made.key).expect("usable");
    let cluster = Cluster::start(Some(tls)).await;
    let refused = cluster.client("https", Some(Ca::Pin(ours.pin()))).version().await;
    assert_eq!(refused.expect_err("not trusted").code, "tls_failed");
    cluster.stop().await;
}
