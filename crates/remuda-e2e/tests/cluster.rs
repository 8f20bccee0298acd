//! A cluster of processes does what the README says.

use remuda_e2e::{Lab, exec, id, info, run};
use remuda_model::{Labels, NodeStatus, Role};

#[tokio::test(flavor = "multi_thread")]
async fn five_nodes_form_a_cluster_and_all_of_them_answer() {
    let lab = Lab::start(3, 2).await;
    let nodes = lab.wait_ready(5).await;
    assert_eq!(nodes.iter().filter(|node| node.roles.is_control()).count(), 3);
    for at in ["c1", "c2", "c3"] {
        let client = lab.client(at);
        for node in lab.names() {
            let info =
                info(&client, &node).await.unwrap_or_else(|error| panic!("{node}: {error:?}"));
            assert!(info.to_string().contains("cpu"), "{info}");
            let (stdout, end) = exec(&client, &node, &["echo", &node]).await.expect("runs");
            assert_eq!((stdout.trim(), end.success()), (node.as_str(), true));
        }
    }
    let cluster = lab.client("c2").cluster().await.expect("a cluster");
    assert_eq!(cluster.voters.len(), 3);
    assert!(cluster.healthy, "{:?}", cluster.reasons);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_is_a_cluster() {
    let lab = Lab::start(1, 0).await;
    let (stdout, _) = exec(&lab.client("c1"), "c1", &["echo", "alone"]).await.expect("runs");
    assert_eq!(stdout, "alone\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_speaks_to_the_cluster() {
    let lab = Lab::start(1, 1).await;
    let ready = std::fs::read(lab.node("c1").dir().join("ready.json")).expect("ready");
    let ready: serde_json::Value = serde_json::from_slice(&ready).expect("JSON");
    let address = format!("http://{}", ready["api"].as_str().expect("an address"));
    let environment = [("REMUDA_ADDR", address.as_str()), ("REMUDA_TOKEN", lab.admin_token())];

    let listed = run(&["node", "list", "--json"], &environment);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let nodes: serde_json::Value = serde_json::from_str(&listed.stdout).expect("JSON on stdout");
    assert_eq!(nodes.as_array().map(Vec::len), Some(2), "{nodes}");

    let one =
        run(&["exec", "w1", "--", "sh", "-c", "echo out; echo err >&2; exit 3"], &environment);
    assert_eq!((one.code, one.stdout.as_str()), (Some(3), "out\n"), "{one:?}");
    assert!(one.stderr.contains("err"), "{one:?}");

    let all = run(&["exec", "--all", "--", "echo", "hello"], &environment);
    assert_eq!(all.code, Some(0), "{all:?}");
    assert_eq!(all.stdout.lines().filter(|line| line.contains("hello")).count(), 2, "{all:?}");

    let some = run(&["exec", "--all", "--", "sh", "-c", "test $REMUDA_NODE = w1"], &environment);
    assert_eq!(some.code, Some(7), "{some:?}");

    let labelled = run(&["node", "label", "w1", "gpu;model=a100"], &environment);
    assert_eq!(labelled.code, Some(0), "{labelled:?}");
    let chosen = run(&["exec", "--on", "gpu && model==a100", "--", "true"], &environment);
    assert_eq!(chosen.code, Some(0), "{chosen:?}");
    let nobody = run(&["exec", "--on", "!gpu && model==a100", "--", "true"], &environment);
    assert_ne!(nobody.code, Some(0), "{nobody:?}");

    let unknown = run(&["node", "show", "nobody"], &environment);
    assert_eq!(unknown.code, Some(3), "{unknown:?}");
    let forbidden = run(&["node", "list"], &[environment[0], ("REMUDA_TOKEN", "rmt1.x.y")]);
    assert_eq!(forbidden.code, Some(6), "{forbidden:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn states_have_their_rules() {
    let lab = Lab::start(1, 1).await;
    let client = lab.client("c1");
    let task = remuda_e2e::detach(&client, "w1", &["sleep", "1000"]).await;

    client.set_status(&id("w1"), NodeStatus::Standby).await.expect("standby");
    assert_eq!(status(&lab, "w1", NodeStatus::Standby).await, NodeStatus::Standby);
    info(&client, "w1").await.expect("requests are taken in standby");
    exec(&client, "w1", &["true"]).await.expect("commands are requests");
    let refused = client.exec_detached(&id("w1"), &remuda_e2e::command(&["true"])).await;
    assert_eq!(refused.expect_err("no new tasks").code, "node_not_ready");

    client.set_status(&id("w1"), NodeStatus::Stopped).await.expect("stopping");
    status(&lab, "w1", NodeStatus::Stopping).await;
    client.stop_task(&task.id, Some(&id("w1")), None).await.expect("stopped");
    status(&lab, "w1", NodeStatus::Stopped).await;
    info(&client, "w1").await.expect("requests are taken when stopped");

    client.set_status(&id("w1"), NodeStatus::Ready).await.expect("ready");
    status(&lab, "w1", NodeStatus::Ready).await;

    let some = lab.cli("c1", &["node", "standby", "--on", "role!=control"]).await;
    assert_eq!((some.code, some.stdout.as_str()), (Some(0), "w1 | asked to be standby\n"));
    status(&lab, "w1", NodeStatus::Standby).await;
    status(&lab, "c1", NodeStatus::Ready).await;
    let all = lab.cli("c1", &["node", "ready", "--all"]).await;
    assert_eq!((all.code, all.stdout.lines().count()), (Some(0), 2), "{all:?}");
    status(&lab, "w1", NodeStatus::Ready).await;
}

async fn status(lab: &Lab, node: &str, wanted: NodeStatus) -> NodeStatus {
    let client = lab.client("c1");
    let probe = async || client.node(&id(node)).await.map(|view| view.status);
    let good = |seen: &Result<NodeStatus, _>| seen.as_ref().is_ok_and(|status| *status == wanted);
    remuda_e2e::eventually("a status", probe, good).await.expect("seen")
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_survive_a_restart_of_their_node() {
    let mut lab = Lab::start(1, 1).await;
    let labels: Labels = "core;group=group1;master, meta2;labelA=1".parse().expect("labels");
    lab.client("c1").set_labels(&id("w1"), &labels, &[]).await.expect("set");
    assert_eq!(lab.node_mut("w1").terminate().await, Some(0));
    lab.node_mut("w1").start();
    lab.wait_ready(2).await;
    let client = lab.client("c1");
    let probe = async || client.node(&id("w1")).await.map(|view| view.labels);
    let good = |seen: &Result<Labels, _>| seen.as_ref().is_ok_and(|seen| *seen == labels);
    remuda_e2e::eventually("the labels", probe, good).await.expect("seen");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transport_carries_a_worker() {
    let mut lab = Lab::start_with(1, 0, &[]).await;
    let listen = "remuda://127.0.0.1:0;transport=wss,remuda://127.0.0.1:0;transport=quic,\
                  remuda://127.0.0.1:0;transport=tcp,remuda://127.0.0.1:0;transport=ws";
    lab.join("c2", &["--control", "--listen", listen]).await;
    let token = lab.client("c1").join_token(Role::Worker).await.expect("a token");
    let ready = std::fs::read(lab.node("c2").dir().join("ready.json")).expect("ready");
    let ready: serde_json::Value = serde_json::from_slice(&ready).expect("JSON");
    for (n_before, url) in ready["links"].as_array().expect("addresses").iter().enumerate() {
        let url = url.as_str().expect("text");
        let transport = url.rsplit('=').next().expect("a transport");
        if matches!(transport, "tcp" | "ws") {
            // First contact needs TLS: plaintext cannot prove who answers.
            continue;
        }
        let name = format!("w-{transport}");
        lab.add(&name, &["--join", url, "--token", &token]).await;
        lab.wait_ready(3 + n_before).await;
        let (stdout, _) = exec(&lab.client("c1"), &name, &["echo", transport]).await.expect("runs");
        assert_eq!(stdout.trim(), transport);
    }
}
