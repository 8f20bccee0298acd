//! New nodes that dial nobody: they wait until a control node adds them.

use remuda_e2e::{Finished, Lab, Namespace, Node, Place, eventually, exec, pair, run};
use remuda_model::LinkUrl;
use serde_json::Value;

/// What a node says that waits, before the address.
const WAITS: &str = "waits to be added: `remuda node add '";

/// Starts a node; gives the address at which it says to wait, and none when it is a member.
async fn start(node: &mut Node) -> Option<String> {
    let before = node.log().len();
    node.start();
    let said = async || node.log().get(before..).unwrap_or_default().to_owned();
    let settled = |log: &String| log.contains(WAITS) || log.contains("the node runs");
    let said = eventually("it waits or runs", said, settled).await;
    let (_, url) = said.split_once(WAITS)?;
    url.split('\'').next().map(str::to_owned)
}

async fn wait_at(node: &mut Node) -> String {
    start(node).await.expect("it belongs to no cluster")
}

/// A worker that waits, with the token of this cluster.
fn waiting<'a>(lab: &'a mut Lab, place: &Place, name: &str, extra: &[&str]) -> &'a mut Node {
    let token = lab.join_token("worker");
    let arguments = [&["--await", "--lan", "off", "--token", &token], extra].concat();
    lab.prepare_at(place, name, &arguments)
}

fn ok(ended: &Finished) -> &str {
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    ended.stdout.trim()
}

fn url(text: &str) -> LinkUrl {
    text.parse().expect("a URL")
}

async fn runs(lab: &Lab, at: &str, node: &str) {
    let (stdout, _) = exec(&lab.client(at), node, &["echo", "hi"]).await.expect("runs");
    assert_eq!(stdout, "hi\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_waits_is_added_and_works() {
    let mut lab = Lab::start(1, 0).await;
    let at = wait_at(waiting(&mut lab, &Place::default(), "w1", &[])).await;
    assert_eq!(lab.wait_ready(1).await.len(), 1, "it has told nobody");

    assert_eq!(ok(&lab.cli("c1", &["node", "add", &at]).await), "w1");
    assert_eq!(ok(&lab.cli("c1", &["exec", "w1", "--", "echo", "hi"]).await), "hi");
    lab.node_mut("w1").ready().await;
    assert_eq!(lab.url("w1"), at, "it listens where it has waited");
    // Once more does no harm.
    assert_eq!(ok(&lab.cli("c1", &["node", "add", &at]).await), "w1");
    runs(&lab, "c1", "w1").await;

    // It belongs to the cluster now: its flags make no difference.
    lab.node_mut("w1").kill9();
    lab.node_mut("w1").start();
    lab.node_mut("w1").ready().await;
    lab.wait_ready(2).await;
    runs(&lab, "c1", "w1").await;
    lab.node_mut("c1").kill9();
    lab.node_mut("c1").start();
    lab.node_mut("c1").ready().await;
    lab.wait_ready(2).await;
    runs(&lab, "c1", "w1").await;

    // Over the other transports, and by the library.
    for (name, transport) in [("w2", "wss"), ("w3", "quic")] {
        let listen = format!("remuda://127.0.0.1:0;transport={transport}");
        let node = waiting(&mut lab, &Place::default(), name, &["--listen", &listen]);
        let at = wait_at(node).await;
        let added = lab.client("c1").add_node(&url(&at)).await;
        assert_eq!(added.unwrap_or_else(|error| panic!("{transport}: {error}")).as_str(), name);
        runs(&lab, "c1", name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_does_not_fit_is_named_at_both_ends() {
    let mut lab = Lab::start(1, 0).await;
    let mut other = Lab::start(1, 0).await;
    let cluster = async |lab: &Lab| lab.client("c1").cluster().await.expect("known").id.to_string();

    // The node waits for the other cluster, which may have it afterwards.
    let at = wait_at(waiting(&mut other, &Place::default(), "w1", &[])).await;
    let refused = lab.cli("c1", &["node", "add", &at]).await;
    assert_ne!(refused.code, Some(0), "{refused:#?}");
    for words in [cluster(&lab).await, cluster(&other).await, "hint:".to_owned()] {
        assert!(refused.stderr.contains(&words), "no {words} in: {}", refused.stderr);
    }
    assert_eq!(ok(&other.cli("c1", &["node", "add", &at]).await), "w1");

    // The token was exchanged meanwhile.
    let node = waiting(&mut lab, &Place::default(), "w2", &[]);
    let at = wait_at(node).await;
    let old = lab.join_token("worker");
    ok(&lab.cli("c1", &["cluster", "rotate-token", "worker"]).await);
    let shown = async || lab.cli("c1", &["cluster", "join-token", "worker"]).await.stdout;
    let is_new = |shown: &String| !shown.is_empty() && shown.trim() != old;
    let token = eventually("another token", shown, is_new).await.trim().to_owned();
    let refused = lab.cli("c1", &["node", "add", &at]).await;
    assert_ne!(refused.code, Some(0), "{refused:#?}");
    assert!(refused.stderr.contains("remuda cluster join-token worker"), "{}", refused.stderr);
    lab.node("w2").log_says("an invitation failed").await;

    // The name is taken: the cluster says so, and the node waits on.
    let join = ["--join", &lab.url("c1"), "--token", &token].map(str::to_owned);
    let join: Vec<_> = join.iter().map(String::as_str).collect();
    lab.add("w3", &join).await;
    lab.wait_ready(2).await;
    let dir = lab.dir().join("twin");
    let arguments = ["agent", "--name", "w3", "--exit-with-parent", "--await", "--lan", "off"];
    let its = ["--listen", "remuda://127.0.0.1:0", "--token", &token];
    let dir_ = ["--data-dir", dir.to_str().expect("UTF-8")];
    let arguments = [&arguments[..], &its, &dir_].concat();
    let mut twin = Node::new("twin", &dir, Place::default(), &arguments);
    let at = wait_at(&mut twin).await;
    let refused = lab.cli("c1", &["node", "add", &at]).await;
    assert_ne!(refused.code, Some(0), "{refused:#?}");
    assert!(refused.stderr.contains("did not join"), "{}", refused.stderr);
    twin.log_says("not added; waits on").await;
    runs(&lab, "c1", "w3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_while_it_joins_starts_over() {
    let mut lab = Lab::start(1, 0).await;
    let at = wait_at(waiting(&mut lab, &Place::default(), "w1", &[])).await;
    // Wherever in its way it is when its log shows these words.
    for words in ["invited", "invited", "the node runs"] {
        let mut adding = tokio::process::Command::from(lab.command("c1", &["node", "add", &at]));
        let mut adding = adding.kill_on_drop(true).spawn().expect("the binary runs");
        let before = lab.node("w1").log().len();
        let said = async || lab.node("w1").log().get(before..).unwrap_or_default().to_owned();
        eventually("it joins", said, |log| log.contains(words)).await;
        lab.node_mut("w1").kill9();
        adding.kill().await.expect("a process of ours");
        let Some(again) = start(lab.node_mut("w1")).await else { break };
        assert_eq!(again, at, "the port is kept");
    }
    assert_eq!(ok(&lab.cli("c1", &["node", "add", &at]).await), "w1");
    runs(&lab, "c1", "w1").await;
}

#[test]
fn a_node_waits_only_where_it_can_be_added() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = ["agent", "--data-dir", dir.path().to_str().expect("UTF-8"), "--lan", "off"];
    let token = format!("rmd1.{}.{}.{}", "0".repeat(26), "A".repeat(43), "A".repeat(43));
    let listen = ["--listen", "remuda://127.0.0.1:0"];
    for (arguments, words) in [
        (vec!["--await", "--token", &token], "must be dialled"),
        ([&["--await"], &listen[..]].concat(), "a token (--token)"),
        ([&["--await", "--join", "h", "--token", &token], &listen[..]].concat(), "`join`"),
        ([&["--await", "--control", "--token", &token], &listen[..]].concat(), "only a worker"),
        (
            vec!["--await", "--token", &token, "--listen", "127.0.0.1:0;transport=tcp"],
            "listen over tls, wss or quic",
        ),
    ] {
        let ended = run(&[&data[..], &arguments].concat(), &[]);
        assert!(ended.code.is_some_and(|code| code != 0), "{arguments:?}: {ended:#?}");
        assert!(ended.stderr.contains(words), "{arguments:?}: {}", ended.stderr);
    }
}

async fn shown(lab: &Lab, at: &str, node: &str) -> Value {
    let shown = lab.cli(at, &["node", "show", node, "--json"]).await;
    serde_json::from_str(ok(&shown)).expect("JSON")
}

async fn restart(lab: &mut Lab, name: &str) {
    lab.node_mut(name).kill9();
    lab.node_mut(name).start();
    lab.node_mut(name).ready().await;
}

/// `c1` and `c2` in one namespace.
async fn found(near: &Namespace) -> Lab {
    let listen = format!("remuda://{}:0", near.address());
    let place = near.place();
    let mut lab = Lab::found(&place, &["--listen", &listen, "--lan", "off"]).await;
    lab.join_at(&place, "c2", &["--control", "--listen", &listen, "--lan", "off"]).await;
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_in_a_namespace_that_cannot_dial_out_is_added_and_works() {
    let (near, far) = pair();
    let mut lab = found(&near).await;
    far.refuse_outgoing();
    // Every address of its machine: what it then tells others is the one on the cable.
    let mut names = vec!["c1", "c2"];
    for (worker, at) in [("w1", "c1"), ("w2", "c2")] {
        let listen = ["--listen", "remuda://0.0.0.0:0"];
        let address = wait_at(waiting(&mut lab, &far.place(), worker, &listen)).await;
        assert!(address.starts_with(&format!("remuda://{}:", far.address())), "{address}");
        assert_eq!(ok(&lab.cli(at, &["node", "add", &address]).await), worker);
        names.push(worker);
        lab.wait_only_ready("c1", &names).await;
        let node = shown(&lab, "c1", worker).await;
        assert_eq!(node["addresses"][0].as_str(), Some(address.as_str()), "{node}");
    }
    let works = async |lab: &Lab| {
        for worker in ["w1", "w2"] {
            for at in ["c1", "c2"] {
                let ended = lab.cli(at, &["exec", worker, "--", "echo", "hi"]).await;
                assert_eq!(ok(&ended), "hi", "{worker} by way of {at}");
            }
        }
    };
    works(&lab).await;
    // It really cannot: a control node listens where it knocks.
    let door = lab.url("c1");
    let door = door.trim_start_matches("remuda://").replace(':', "/");
    let knock = format!("exec 3<>/dev/tcp/{door}");
    let knock = ["exec", "w1", "--", "timeout", "2", "bash", "-c", &knock];
    assert_ne!(lab.cli("c1", &knock).await.code, Some(0), "the firewall lets it out");

    // Whoever of them is started anew, the control nodes dial.
    for name in ["w1", "c1", "c2", "w2"] {
        restart(&mut lab, name).await;
        lab.wait_only_ready("c1", &names).await;
        works(&lab).await;
    }
    // The cable was cut for a while.
    far.cut();
    lab.wait_only_ready("c1", &["c1", "c2"]).await;
    far.heal();
    lab.wait_only_ready("c1", &names).await;
    works(&lab).await;
}
