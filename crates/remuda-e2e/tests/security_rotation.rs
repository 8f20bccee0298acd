//! Join tokens, certificates and the authority are exchanged while work goes on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use remuda::client::dto::RotationStep;
use remuda_e2e::{
    Lab,
    attack::{Thief, stolen},
    detach, eventually, id, info, run, within,
};
use remuda_link::NodeCertificate;
use remuda_model::{NodeStatus, Role, TaskState};

/// Asks nodes all the time, at every control node; no answer may be missing.
struct Load {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    callers: tokio::task::JoinSet<()>,
}

impl Load {
    fn start(lab: &Lab, controls: &[&str], nodes: &'static [&'static str]) -> Self {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut callers = tokio::task::JoinSet::new();
        for control in controls {
            for node in nodes {
                let client = lab.client(control);
                let (stop, answers, at) =
                    (Arc::clone(&stop), Arc::clone(&answers), (*control).to_owned());
                callers.spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let answer = info(&client, node).await;
                        answer.unwrap_or_else(|error| panic!("{node} by way of {at}: {error:?}"));
                        answers.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                });
            }
        }
        Self { stop, answers, callers }
    }

    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        within("the last answers", self.callers.join_all()).await;
        self.answers.load(Ordering::Relaxed)
    }
}

/// Runs an agent that should not come in.
async fn refused(lab: &Lab, name: &str, token: &str) -> String {
    let dir = lab.dir().join(name).to_str().expect("UTF-8").to_owned();
    let (url, token) = (lab.url("c1"), token.to_owned());
    let ended = tokio::task::spawn_blocking(move || {
        let arguments = ["agent", "--data-dir", &dir, "--join", &url, "--token", &token];
        run(&arguments, &[("REMUDA_LOG", "warn")])
    });
    let ended = within("a refusal", ended).await.expect("ran");
    assert_ne!(ended.code, Some(0), "{ended:?}");
    ended.stderr
}

async fn ready_at_last(lab: &Lab, name: &str) {
    let client = lab.client("c1");
    let probe = async || client.node(&id(name)).await.map(|node| node.status);
    let ready = |status: &_| *status == Ok(NodeStatus::Ready);
    drop(eventually(&format!("{name} is ready"), probe, ready).await);
}

async fn join_with(lab: &mut Lab, name: &str, token: &str) {
    // Where the laboratory looks for it.
    let path = lab.node("c1").dir().join("join-token-worker");
    std::fs::write(path, token).expect("written");
    lab.join(name, &[]).await;
    ready_at_last(lab, name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_token_is_exchanged_at_once() {
    let mut lab = Lab::start(2, 1).await;
    let load = Load::start(&lab, &["c1", "c2"], &["w1"]);
    let old = lab.client("c1").join_token(Role::Worker).await.expect("a token");
    let control = lab.client("c1").join_token(Role::Control).await.expect("a token");
    let shown = lab.cli("c2", &["cluster", "rotate-token", "worker"]).await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let new = shown.stdout.trim().to_owned();
    assert_ne!(new, old);
    // Both control nodes know it.
    for name in ["c1", "c2"] {
        let client = lab.client(name);
        let probe = async || client.join_token(Role::Worker).await;
        drop(eventually("the new token", probe, |token| *token == Ok(new.clone())).await);
        assert_eq!(client.join_token(Role::Control).await, Ok(control.clone()), "of another role");
    }
    assert!(refused(&lab, "late", &old).await.contains("authentication failed"));
    join_with(&mut lab, "w2", &new).await;
    assert!(load.end().await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_on_demand() {
    let lab = Lab::start(2, 1).await;
    for name in ["w1", "c2"] {
        let before = stolen(lab.node(name).dir());
        let renewed = lab.cli("c1", &["node", "renew", name]).await;
        assert_eq!(renewed.code, Some(0), "{renewed:?}");
        let after = stolen(lab.node(name).dir());
        assert_ne!(before.certificate, after.certificate);
        assert_ne!(before.key, after.key, "the key is new as well");
    }
    let unknown = lab.cli("c1", &["node", "renew", "nobody"]).await;
    assert_ne!(unknown.code, Some(0), "{unknown:?}");
    info(&lab.client("c2"), "w1").await.expect("all is well");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_is_exchanged_and_nothing_is_lost() {
    let mut lab = Lab::start(3, 3).await;
    let client = lab.client("c1");
    let task = detach(&client, "w1", &["sh", "-c", "echo $$; exec sleep 600"]).await;
    let old = stolen(lab.node("w2").dir());
    let old_token = client.join_token(Role::Worker).await.expect("a token");
    let before = client.authority().await.expect("a view");
    assert_eq!((before.step, before.cas.len()), (RotationStep::Settled, 1));
    // One that is away for longer than the grace.
    lab.node_mut("w3").kill9();
    let load = Load::start(&lab, &["c1", "c2", "c3"], &["w1", "w2"]);

    let rotated = within(
        "the rotation",
        lab.cli("c2", &["cluster", "rotate-ca", "--grace", "10s", "--wait"]),
    );
    let rotated = rotated.await;
    assert_eq!(rotated.code, Some(0), "{rotated:?}");
    let after = client.authority().await.expect("a view");
    assert_eq!((after.step, after.cas.len()), (RotationStep::Settled, 1));
    assert_ne!(after.cas, before.cas);
    // Everybody who is there has followed to the end, and shows a certificate of the new authority.
    let probe = async || client.authority().await.map(|now| now.waiting);
    let all_but_one = |waiting: &_| *waiting == Ok(vec![id("w3")]);
    drop(eventually("all but w3 follow", probe, all_but_one).await);
    let new = stolen(lab.node("c1").dir()).ca;
    for name in ["c1", "c2", "c3", "w1", "w2"] {
        assert_eq!(stolen(lab.node(name).dir()).ca, new, "{name}");
    }

    // The old certificate opens nothing, to somebody who believes the new authority.
    let thief = Thief::new(NodeCertificate { ca: new, ..old });
    for name in ["c1", "c2", "c3", "w1"] {
        let refused = thief.dial(&lab.url(name)).await.expect_err("refused");
        assert_eq!(refused.code(), "tls", "{name}: {refused:?}");
    }
    lab.node_mut("w3").start();
    let words = refused(&lab, "late", &old_token).await;
    assert!(words.contains("certificate"), "the token names the old authority: {words}");
    let token = client.join_token(Role::Worker).await.expect("a token");
    join_with(&mut lab, "w4", &token).await;

    // Links are exchanged as well, before those of the old authority are closed.
    let answered = load.end().await;
    assert!(answered > 100, "{answered} answers");
    let record = client.task(&task.id, Some(&id("w1"))).await.expect("it is there");
    assert_eq!((record.state, record.generation), (TaskState::Running, task.generation));
    let absent = client.node(&id("w3")).await.expect("known").status;
    assert_eq!(absent, NodeStatus::NotConnected, "its certificate is of the old authority");

    // A control node that starts anew has kept all of it.
    lab.node_mut("c2").kill9();
    lab.node_mut("c2").start();
    lab.node_mut("c2").ready().await;
    ready_at_last(&lab, "c2").await;
    // Its links to the others come a little later.
    let client = lab.client("c2");
    let probe = async || info(&client, "w1").await.is_ok();
    eventually("c2 reaches w1", probe, |reached| *reached).await;
}
