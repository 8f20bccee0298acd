//! Workers without a door, on the move, doubled, killed, out of sight and at work (M6 to M11, M17).

use std::{fs, path::Path, process::Command, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use remuda_e2e::{Node, detach, eventually, exec, id, info, processes, whole_output, within};
use remuda_model::{ErrorKind, NodeStatus, NodeView, TaskEnd};
use serde_json::json;

use crate::{
    herd::{Herd, names, on_machines, owner},
    tally::Tally,
};

const CONTROLS: [&str; 3] = ["c1", "c2", "c3"];

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What listens on the machine of a node.
async fn listeners(herd: &Herd, machine: &str) -> String {
    let mut ss = herd.lan.place(machine).command(Path::new("ss"));
    ss.args(["--tcp", "--udp", "--listening", "--numeric", "--no-header"]);
    let listed = remuda_e2e::finish(ss).await;
    assert_eq!(listed.code, Some(0), "{listed:?}");
    listed.stdout
}

#[test]
fn m06_a_worker_without_a_listener_works_moves_and_carries_files() {
    on_machines(|| async {
        let mut herd = Herd::start(&CONTROLS, &[], &["w1"]).await;
        let files = text(herd.lab.dir()).to_owned();
        let dials_only = ["--listen", "", "--lan", "off", "--files", &files];
        herd.worker("w1", &dials_only).await;
        herd.ready(&CONTROLS, &["c1", "c2", "c3", "w1"]).await;
        assert_eq!(listeners(&herd, "w1").await, "", "nobody can dial it");
        assert_eq!(herd.view("c1", "w1").await.addresses, []);
        let first = owner("w1", &CONTROLS);
        let left: Vec<&str> = CONTROLS.into_iter().filter(|name| **name != first).collect();

        // Output of a task, a file in both directions and requests share what it has dialled.
        let client = herd.lab.client(left[0]);
        let flag = herd.lab.dir().join("flag");
        let script = format!("until [ -e {} ]; do sleep 0.1; done; seq 50000", flag.display());
        let task = detach(&client, "w1", &["sh", "-c", &script]).await;
        let source = herd.lab.dir().join("source");
        fs::write(&source, vec![7; 3_000_000]).expect("a file");
        let there = format!("w1:{files}/there");
        let back = herd.lab.dir().join("back");
        for (from, to) in [(text(&source), there.as_str()), (&there, text(&back))] {
            let copied = herd.lab.cli(left[0], &["cp", from, to]).await;
            assert_eq!(copied.code, Some(0), "{copied:?}");
        }
        assert_eq!(fs::read(&back).expect("a file").len(), 3_000_000);
        fs::write(&flag, "").expect("a file");
        let (lines, end) = whole_output(&client, "w1", &task.id).await;
        assert!(end.success() && lines.lines().count() == 50_000, "{end:?}");
        assert_eq!(listeners(&herd, "w1").await, "", "nobody can dial it");

        // It goes to another owner, and back when it is told to.
        let task = detach(&client, "w1", &["sleep", "1000"]).await;
        herd.lab.node_mut(&first).kill9();
        let second = owner("w1", &left);
        let owned_by = |owner: String| {
            move |view: &NodeView| {
                view.owner == Some(id(&owner)) && view.status == NodeStatus::Ready
            }
        };
        herd.sees((left[0], "w1"), "has another owner", owned_by(second)).await;
        info(&client, "w1").await.expect("it answers");
        herd.restart(&first).await;
        herd.sees((left[0], "w1"), "has its owner back", owned_by(first)).await;
        for at in CONTROLS {
            info(&herd.lab.client(at), "w1").await.expect("it answers");
        }
        let record = client.task(&task.id, Some(&id("w1"))).await.expect("known");
        assert_eq!(record.end, None, "{record:?}");
    });
}

#[test]
fn m07_a_worker_with_another_address_is_found_without_an_operator() {
    on_machines(|| async {
        let mut herd = Herd::start(&CONTROLS, &[], &["w1", "w2", "w3"]).await;
        herd.worker("w1", &["--listen", "remuda://all"]).await;
        herd.worker("w2", &["--listen", ""]).await;
        let all = ["c1", "c2", "c3", "w1", "w2"];
        herd.ready(&CONTROLS, &all).await;
        let client = herd.lab.client("c1");
        let mut tally = Tally::new(herd.lab.dir());

        // A disk that is carried to another machine.
        let (old, new) = (herd.lan.address("w1"), herd.lan.address("w3"));
        let is_at = |address: String| {
            move |view: &NodeView| {
                let mut hosts = view.addresses.iter().map(|url| &url.host);
                view.status == NodeStatus::Ready && hosts.any(|host| *host == address)
            }
        };
        herd.sees(("c1", "w1"), "is at its first place", is_at(old)).await;
        herd.lab.node_mut("w1").kill9();
        let place = herd.lan.place("w3");
        herd.lab.node_mut("w1").set_place(place);
        herd.restart("w1").await;
        herd.sees(("c1", "w1"), "is at its new place", is_at(new)).await;
        herd.ready(&CONTROLS, &all).await;

        // A machine that is given another address under a running agent. What was open says nothing
        // any more.
        let task = detach(&client, "w2", &["sleep", "1000"]).await;
        let pid = herd.lab.node("w2").pid();
        herd.lan.renumber("w2", "10.77.0.99");
        let again = async || tally.ask(&client, "w2").await;
        eventually("w2 answers again", again, |done| *done).await;
        herd.ready(&CONTROLS, &all).await;
        assert_eq!(herd.lab.node("w2").pid(), pid);
        let record = client.task(&task.id, Some(&id("w2"))).await.expect("known");
        assert_eq!(record.end, None, "{record:?}");
        for at in CONTROLS {
            for worker in ["w1", "w2"] {
                assert!(tally.ask(&herd.lab.client(at), worker).await, "{worker} at {at}");
            }
        }
        tally.check();
    });
}

#[test]
fn m08_a_second_worker_of_the_same_name_is_refused_with_words() {
    on_machines(|| async {
        let mut herd = Herd::start(&["c1"], &["w1"], &["m1", "m2"]).await;
        let client = herd.lab.client("c1");
        let first = herd.lan.address("w1");

        // A stranger who has a token, and the name of another.
        let dir = herd.lab.dir().join("stranger");
        let (url, token) = (herd.lab.url("c1"), herd.lab.join_token("worker"));
        let join = ["agent", "--name", "w1", "--data-dir", text(&dir), "--exit-with-parent"];
        let join = [&join[..], &["--join", &url, "--token", &token]].concat();
        let mut stranger = Node::new("stranger", &dir, herd.lan.place("m1"), &join);
        stranger.start();
        assert_ne!(within("the refusal", stranger.ended()).await, Some(0));
        let words = stranger.log();
        assert!(words.contains("the name `w1` belongs to a node of the cluster"), "{words}");
        assert!(words.contains("hint:") && words.contains("another name"), "{words}");

        // A copy of its disk, with its certificate.
        assert_eq!(herd.lab.node_mut("w1").terminate().await, Some(0));
        let dir = herd.lab.dir().join("copy");
        let copied = Command::new("cp").arg("-a").arg(herd.lab.node("w1").dir()).arg(&dir).status();
        assert!(copied.expect("it runs").success());
        herd.restart("w1").await;
        herd.ready(&["c1"], &["c1", "w1"]).await;
        let listen = format!("remuda://{}:1973", herd.lan.address("m2"));
        let start = ["agent", "--name", "w1", "--data-dir", text(&dir), "--exit-with-parent"];
        let start = [&start[..], &["--listen", &listen]].concat();
        let mut copy = Node::new("copy", &dir, herd.lan.place("m2"), &start);
        copy.start();
        copy.log_says("the cluster refuses this worker").await;
        let words = copy.log();
        assert!(words.contains("another process is connected as node `w1`"), "{words}");
        assert!(words.contains("give each node a name and a data directory of its own"), "{words}");

        // The first one never noticed.
        for _ in 0..5 {
            let show = ["ip", "-4", "-oneline", "address"];
            let (addresses, _) = exec(&client, "w1", &show).await.expect("w1 works");
            assert!(addresses.contains(&format!("{first}/")), "{addresses}");
        }
        herd.ready(&["c1"], &["c1", "w1"]).await;
    });
}

#[test]
fn m09_a_worker_that_restarts_says_which_tasks_it_has_lost() {
    on_machines(|| async {
        let mut herd = Herd::start(&["c1"], &["w1"], &[]).await;
        let client = herd.lab.client("c1");
        let before = herd.view("c1", "w1").await.generation;
        let marker = format!("{}.9", 500_000 + std::process::id());
        let task = detach(&client, "w1", &["sleep", &marker]).await;
        assert_eq!(processes(&["sleep", &marker]).len(), 1);

        // As when its machine loses power: the agent, and what holds its tasks.
        let holder = herd.lab.node("w1").holder().expect("it holds a task");
        herd.lab.node_mut("w1").kill9();
        kill(Pid::from_raw(holder), Signal::SIGKILL).expect("a process of ours");
        let left = async || processes(&["sleep", &marker]).len();
        eventually("the task is gone", left, |left| *left == 0).await;
        herd.missed("c1", "w1").await;
        herd.restart("w1").await;
        herd.ready(&["c1"], &["c1", "w1"]).await;

        let (_, end) = whole_output(&client, "w1", &task.id).await;
        assert!(matches!(end, TaskEnd::Lost { .. }), "{end:?}");
        let record = client.task(&task.id, Some(&id("w1"))).await.expect("known");
        assert_eq!(record.generation, before, "{record:?}");
        let idle = |view: &NodeView| view.generation > before && view.running_tasks == 0;
        herd.sees(("c1", "w1"), "has booted again", idle).await;
        let events = async || {
            let listed = herd.lab.cli("c1", &["event", "--node", "w1", "--after", "0", "--json"]);
            let listed = listed.await.stdout;
            let task = task.id.to_string();
            let ended = listed.lines().filter(|line| line.contains("task_ended"));
            ended.filter(|line| line.contains(&task)).map(str::to_owned).collect::<Vec<_>>()
        };
        let told = eventually("its loss is told", events, |seen| !seen.is_empty()).await;
        assert!(told.len() == 1 && told[0].contains("lost"), "{told:?}");
        exec(&client, "w1", &["true"]).await.expect("it takes new work");
    });
}

#[test]
fn m10_requests_to_a_node_that_is_not_connected_fail_at_once() {
    on_machines(|| async {
        let mut herd = Herd::start(&CONTROLS, &["w1"], &[]).await;
        herd.lab.node_mut("w1").kill9();
        for at in CONTROLS {
            herd.missed(at, "w1").await;
            let client = herd.lab.client(at);
            let class = "node".parse().expect("a class");
            // Longer than this test would wait.
            let patience = Some(Duration::from_mins(10));
            let to = id("w1");
            let request = client.request(&to, &class, json!("status"), patience);
            let failure =
                within("an answer", Box::pin(request)).await.expect_err("nobody is there");
            assert_eq!(failure.kind, ErrorKind::NotConnected, "{failure:?}");
            assert_eq!(failure.code, "not_connected", "{failure:?}");
            let to = id("w1");
            let command = remuda_e2e::command(&["true"]);
            let start = client.exec_detached(&to, &command);
            let failure = within("an answer", Box::pin(start)).await.expect_err("nobody is there");
            assert_eq!(failure.kind, ErrorKind::NotConnected, "{failure:?}");
        }
    });
}

#[test]
fn m11_a_handler_that_takes_long_keeps_no_ping_and_no_other_request_waiting() {
    on_machines(|| async {
        let herd = Herd::start(&["c1"], &["w1"], &[]).await;
        let client = herd.lab.client("c1");
        let slow = {
            let client = client.clone();
            tokio::spawn(async move {
                let class = "exec".parse().expect("a class");
                // Longer than a silent link would live.
                let request = json!({"argv": ["sh", "-c", "sleep 30; echo done"]});
                client.request(&id("w1"), &class, request, Some(Duration::from_mins(2))).await
            })
        };
        let mut answered = 0;
        while !slow.is_finished() {
            assert_eq!(herd.view("c1", "w1").await.status, NodeStatus::Ready);
            info(&client, "w1").await.expect("it answers others");
            let (said, _) =
                exec(&client, "w1", &["sh", "-c", "sleep 0.5; echo hi"]).await.expect("runs");
            assert_eq!(said, "hi\n");
            answered += 1;
        }
        assert!(answered > 5, "{answered}");
        let answer = within("the slow answer", slow).await.expect("no panic").expect("it was done");
        assert_eq!(answer["stdout"], "done\n");
        let events = herd.lab.cli("c1", &["event", "--node", "w1", "--after", "0", "--json"]).await;
        assert!(!events.stdout.contains("not_connected"), "{}", events.stdout);
    });
}

#[test]
fn m17_a_worker_in_standby_stays_so_whatever_becomes_of_its_link() {
    on_machines(|| async {
        let mut herd = Herd::start(&["c1"], &["w1"], &[]).await;
        let client = herd.lab.client("c1");
        client.set_status(&id("w1"), NodeStatus::Standby).await.expect("it obeys");
        let standby = |view: &NodeView| {
            assert_ne!(view.status, NodeStatus::Ready);
            view.status == NodeStatus::Standby
        };
        herd.sees(("c1", "w1"), "is in standby", |view| view.status == NodeStatus::Standby).await;

        herd.lan.cut(&names(&["w1"]), &names(&["c1"]));
        herd.missed("c1", "w1").await;
        herd.lan.heal();
        herd.sees(("c1", "w1"), "is in standby after a cut cable", standby).await;

        herd.lab.node_mut("c1").kill9();
        herd.restart("c1").await;
        herd.sees(("c1", "w1"), "is in standby at a new process", standby).await;

        herd.lab.node_mut("w1").kill9();
        herd.missed("c1", "w1").await;
        herd.restart("w1").await;
        herd.sees(("c1", "w1"), "is in standby after its own restart", standby).await;

        let refused = client.exec_detached(&id("w1"), &remuda_e2e::command(&["true"])).await;
        assert_eq!(refused.expect_err("it takes no tasks").code, "node_not_ready");
        client.set_status(&id("w1"), NodeStatus::Ready).await.expect("it obeys");
        herd.ready(&["c1"], &["c1", "w1"]).await;
    });
}
