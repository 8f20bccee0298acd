//! First starts that fail half-way.

use std::{fs, path::Path};

use remuda_link::JoinToken;
use remuda_model::{Role, Roles};

use super::{Agent, AgentConfig, AgentError};

fn config(dir: &Path) -> AgentConfig {
    let mut config = AgentConfig::new(dir);
    config.roles = Roles::CONTROL;
    config.listen = vec!["remuda://127.0.0.1:0".parse().expect("valid")];
    config
}

fn founding(dir: &Path) -> AgentConfig {
    AgentConfig { bootstrap: true, ..config(dir) }
}

/// Starts a node whose control side has no place on the disk.
async fn fail(config: AgentConfig) {
    let blocked = config.data_dir.join("control");
    fs::create_dir_all(&config.data_dir).expect("made");
    fs::write(&blocked, "in the way").expect("written");
    match Agent::start(config).await {
        Err(AgentError::DataDir(_)) => fs::remove_file(&blocked).expect("removed"),
        other => panic!("it cannot start: {other:?}"),
    }
}

fn kept_name(dir: &Path) -> serde_json::Value {
    let file = fs::read(dir.join("node.json")).expect("kept");
    serde_json::from_slice::<serde_json::Value>(&file).expect("JSON")["node"].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_node_whose_first_start_failed_has_its_authority_in_the_end() {
    let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("one"));
    fail(founding(one.path())).await;
    let name = kept_name(one.path());
    let first = Agent::start(founding(one.path())).await.expect("starts");
    assert_eq!(name, first.node().as_str(), "it keeps its name");
    assert!(first.join_token(Role::Worker).is_some(), "it has the authority");

    let token = first.join_token(Role::Control).expect("it has the authority");
    let joining = || AgentConfig {
        join: first.link_addresses().iter().cloned().map(Into::into).collect(),
        token: Some(token.parse::<JoinToken>().expect("a token")),
        ..config(two.path())
    };
    fail(joining()).await;
    let name = kept_name(two.path());
    let second = Agent::start(joining()).await.expect("starts");
    assert_eq!(name, second.node().as_str(), "it keeps its name");
    assert_eq!(second.join_token(Role::Worker), first.join_token(Role::Worker));
    second.stop().await;

    // What it has kept lasts.
    let again = Agent::start(config(two.path())).await.expect("starts without a token");
    assert_eq!(again.join_token(Role::Worker), first.join_token(Role::Worker));
    again.stop().await;
    first.stop().await;
}
