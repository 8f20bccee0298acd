//! Networks that are not one: relays, firewalls, and cables that are cut.

use remuda_e2e::{Lab, Lan, Namespace, eventually, in_private_network, pair};
use serde_json::Value;
use tokio::runtime::Handle;

const ALL: [&str; 3] = ["c1", "c2", "c3"];
const WORKERS: [&str; 4] = ["w1", "w2", "w3", "w4"];

/// A command line of one control node must succeed; returns its standard output.
async fn cli(lab: &Lab, at: &str, arguments: &[&str]) -> String {
    let ended = lab.cli(at, arguments).await;
    assert_eq!(ended.code, Some(0), "{arguments:?} at {at}: {ended:#?}");
    ended.stdout
}

async fn json(lab: &Lab, at: &str, arguments: &[&str]) -> Value {
    let text = cli(lab, at, &[arguments, &["--json"]].concat()).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

fn listen(namespace: &Namespace) -> String {
    format!("remuda://{}:0", namespace.address())
}

/// `c1` in the first namespace, reachable from the second one.
async fn found(namespace: &Namespace) -> Lab {
    Lab::found(&namespace.place(), &["--listen", &listen(namespace)]).await
}

/// Everything that one does with a worker, through the API of one control node.
async fn use_worker(lab: &Lab, at: &str, worker: &str) {
    let script = "echo out of $REMUDA_NODE; echo err >&2; exit 3";
    let ended = lab.cli(at, &["exec", worker, "--", "sh", "-c", script]).await;
    assert_eq!(ended.code, Some(3), "{worker} by way of {at}: {ended:#?}");
    assert_eq!(ended.stdout, format!("out of {worker}\n"));
    assert!(ended.stderr.contains("err"), "{ended:#?}");

    let info = json(lab, at, &["request", worker, "node", "\"info\""]).await;
    assert!(info.to_string().contains("cpu"), "{info}");

    let label = format!("by={at}");
    cli(lab, at, &["node", "label", worker, &label]).await;
    let labels = json(lab, at, &["node", "label", worker]).await;
    assert!(labels["labels"].to_string().contains(at), "{labels}");

    // More than a window of a stream holds.
    let script = "head -c 400000 /dev/zero | tr '\\0' x";
    let task = cli(lab, at, &["exec", worker, "--detach", "--", "sh", "-c", script]).await;
    let task = task.trim();
    let output = cli(lab, at, &["task", "logs", task, "--node", worker, "--follow"]).await;
    assert_eq!((output.len(), output.trim_matches('x')), (400_000, ""));
    let events = async || {
        let ended = lab.cli(at, &["event", "--node", worker, "--task", task, "--json"]).await;
        ended.stdout
    };
    let complete = |seen: &String| seen.contains("task_started") && seen.contains("task_ended");
    eventually(&format!("the events of {task}"), events, complete).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_in_a_namespace_that_reach_one_control_node_belong_to_all_of_them() {
    let (near, far) = pair();
    let mut lab = found(&near).await;
    for control in ["c2", "c3"] {
        // Nobody beyond the first namespace can dial these, whatever they advertise.
        lab.join_at(&near.place(), control, &["--control"]).await;
    }
    for worker in WORKERS {
        lab.join_at(&far.place(), worker, &["--listen", ""]).await;
    }
    lab.wait_only_ready("c3", &[ALL.as_slice(), &WORKERS].concat()).await;
    let mut relayed = 0;
    for worker in WORKERS {
        let node = json(&lab, "c2", &["node", "show", worker]).await;
        let owner = node["owner"].as_str().expect("owned");
        match node["via"].as_str() {
            Some(via) => {
                assert_eq!(via, "c1", "only it can be reached: {node}");
                assert_ne!(owner, "c1", "{node}");
                relayed += 1;
            }
            None => assert_eq!(owner, "c1", "{node}"),
        }
        for at in ALL {
            use_worker(&lab, at, worker).await;
        }
    }
    assert!(relayed > 0, "another control node than c1 owns one of four workers");

    lab.node_mut("c2").kill9();
    lab.wait_only_ready("c3", &["c1", "c3", "w1", "w2", "w3", "w4"]).await;
    for worker in WORKERS {
        for at in ["c1", "c3"] {
            use_worker(&lab, at, worker).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_in_a_namespace_behind_a_one_way_firewall_dials_out() {
    let (near, far) = pair();
    let mut lab = found(&near).await;
    far.refuse_incoming();
    lab.join_at(&far.place(), "w1", &["--listen", &listen(&far)]).await;
    lab.wait_only_ready("c1", &["c1", "w1"]).await;

    // It says where it listens, and yet nobody gets through.
    let node = json(&lab, "c1", &["node", "show", "w1"]).await;
    let address = node["addresses"][0].as_str().expect("it listens");
    let address = address.trim_start_matches("remuda://").split(';').next().expect("an address");
    let knock = format!("exec 3<>/dev/tcp/{}", address.replace(':', "/"));
    let knock = ["exec", "c1", "--", "timeout", "2", "bash", "-c", &knock];
    assert_eq!(lab.cli("c1", &knock).await.code, Some(124), "the firewall lets it through");
    use_worker(&lab, "c1", "w1").await;

    // A new link is dialled from inside again.
    lab.node_mut("c1").kill9();
    lab.node_mut("c1").start();
    lab.node_mut("c1").ready().await;
    lab.wait_only_ready("c1", &["c1", "w1"]).await;
    use_worker(&lab, "c1", "w1").await;
}

async fn over_sctp() {
    let mut lan = Lan::new();
    for machine in ["m1", "m2"] {
        lan.add(machine);
    }
    let sctp = "remuda://10.77.0.1:9899;transport=sctp";
    let plain = ["--allow-plaintext", "--lan", "off"];
    let both = format!("remuda://10.77.0.1:1973,{sctp}");
    let mut lab = Lab::found(&lan.place("m1"), &[&plain[..], &["--listen", &both]].concat()).await;
    // Credentials are given over TLS only.
    let known = [&plain[..], &["--listen", ""]].concat();
    lab.join_at(&lan.place("m2"), "w1", &known).await;
    for node in ["w1", "c1"] {
        assert_eq!(lab.node_mut(node).terminate().await, Some(0));
    }
    lab.bootstrap(&lan.place("m1"), &[&plain[..], &["--listen", sctp]].concat()).await;
    let token = lab.join_token("worker");
    let join = ["--join", sctp, "--token", &token];
    lab.add_at(&lan.place("m2"), "w1", &[&known[..], &join].concat()).await;
    lab.wait_only_ready("c1", &["c1", "w1"]).await;

    lan.lose(3);
    let lines = "seq 1 100000";
    let ended = lab.cli("c1", &["exec", "w1", "--", "sh", "-c", lines]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let numbers: Vec<_> = (1..=100_000).map(|number: u32| number.to_string()).collect();
    assert!(ended.stdout.lines().eq(numbers), "{} bytes", ended.stdout.len());
    lan.heal();

    // A machine that is gone without a word is missed, and found when it is back.
    lab.node_mut("w1").kill9();
    lab.wait_only_ready("c1", &["c1"]).await;
    lab.node_mut("w1").start();
    lab.wait_only_ready("c1", &["c1", "w1"]).await;
}

#[test]
fn sctp_carries_a_worker_over_a_network_that_loses_packets() {
    in_private_network(|| Handle::current().block_on(over_sctp()));
}
