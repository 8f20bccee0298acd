//! Control nodes start, come, go and lose sight of each other (M1 to M5).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use remuda::client::{Client, EventMessage, dto::EventQuery};
use remuda_e2e::{detach, eventually, id, info, processes, within};
use remuda_model::{EventBody, Failure, NodeStatus, NodeView, TaskId};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    herd::{Herd, names, on_machines, owner},
    tally::Tally,
};

const CONTROLS: [&str; 3] = ["c1", "c2", "c3"];
const FIVE: [&str; 5] = ["c1", "c2", "c3", "w1", "w2"];

/// The five nodes are one cluster, as each of them sees it.
async fn are_one_cluster(herd: &Herd) {
    herd.ready(&CONTROLS, &FIVE).await;
    let mut seen = BTreeSet::new();
    for at in CONTROLS {
        let client = herd.lab.client(at);
        let voters = async || client.cluster().await.map(|cluster| cluster.voters.len());
        eventually("three voters", voters, |seen| *seen == Ok(3)).await.expect("seen");
        let cluster = client.cluster().await.expect("it answers");
        assert_eq!(cluster.nodes, 5, "{cluster:?}");
        seen.insert(cluster.id.to_string());
        for worker in ["w1", "w2"] {
            info(&client, worker).await.expect("it answers");
        }
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
}

/// Prepares a node with the tokens of the cluster.
fn prepare(herd: &mut Herd, name: &str, extra: &[&str]) {
    let mut arguments = herd.arguments(name);
    if name == "c1" {
        arguments.push("--bootstrap".to_owned());
    } else {
        let role = if name.starts_with('c') { "control" } else { "worker" };
        arguments.extend(["--token".to_owned(), herd.lab.join_token(role)]);
    }
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let place = herd.lan.place(name);
    herd.lab.prepare_at(&place, name, &[&words, extra].concat());
}

#[test]
fn m01_nodes_that_start_at_the_same_time_become_one_cluster() {
    on_machines(|| async {
        let mut herd = Herd::machines(&FIVE);
        herd.lab.init().await;
        for name in FIVE {
            // They know their token and find each other.
            prepare(&mut herd, name, &[]);
        }
        for name in FIVE {
            herd.lab.node_mut(name).start();
        }
        for name in FIVE {
            herd.lab.node_mut(name).ready().await;
        }
        are_one_cluster(&herd).await;
    });
}

#[test]
fn m01_nodes_that_start_before_those_that_they_join_become_one_cluster() {
    on_machines(|| async {
        let mut herd = Herd::machines(&FIVE);
        herd.lab.init().await;
        let c1 = format!("remuda://{}:1973", herd.lan.address("c1"));
        for name in ["w2", "w1", "c3", "c2"] {
            prepare(&mut herd, name, &["--join", &c1, "--lan", "off"]);
            herd.lab.node_mut(name).start();
            herd.lab.node(name).log_says("cannot join yet").await;
        }
        prepare(&mut herd, "c1", &["--lan", "off"]);
        for name in ["c1", "c2", "c3", "w1", "w2"] {
            if name == "c1" {
                herd.lab.node_mut(name).start();
            }
            herd.lab.node_mut(name).ready().await;
        }
        are_one_cluster(&herd).await;
    });
}

#[test]
fn m02_a_worker_belongs_to_its_owner_directly_if_it_can_be_and_by_a_relay_if_not() {
    on_machines(|| async {
        let workers = ["w1", "w2", "w3", "w4"];
        // They know of c1 only.
        let mut herd = Herd::start(&CONTROLS, &workers, &[]).await;
        let mut strangers = Vec::new();
        for worker in workers {
            let owner = owner(worker, &CONTROLS);
            let owned = |view: &NodeView| {
                view.owner == Some(id(&owner))
                    && view.via.is_none()
                    && view.status == NodeStatus::Ready
            };
            for at in CONTROLS {
                herd.sees((at, worker), &format!("belongs to {owner}"), owned).await;
                info(&herd.lab.client(at), worker).await.expect("it answers");
            }
            if owner != "c1" {
                strangers.push((worker, owner));
            }
        }
        let (worker, owner) = strangers.pop().expect("c1 does not own all of four workers");

        // Neither of the two can reach the other any more.
        herd.lan.cut(&names(&[worker]), std::slice::from_ref(&owner));
        let relayed = |view: &NodeView| {
            let by_another = view.via.as_ref().is_some_and(|via| *via != id(&owner));
            view.owner == Some(id(&owner)) && by_another && view.status == NodeStatus::Ready
        };
        for at in CONTROLS {
            herd.sees((at, worker), "is relayed", relayed).await;
            info(&herd.lab.client(at), worker).await.expect("it answers");
        }

        // The direct way is better as soon as there is one.
        herd.lan.heal();
        let direct = |view: &NodeView| {
            view.owner == Some(id(&owner)) && view.via.is_none() && view.status == NodeStatus::Ready
        };
        herd.sees(("c1", worker), "is reached directly again", direct).await;
        info(&herd.lab.client("c1"), worker).await.expect("it answers");
    });
}

/// A request that is answered once a file appears.
fn begin(client: Client, node: &str, flag: &Path) -> JoinHandle<Result<Value, Failure>> {
    let request = json!({"argv": ["sh", "-c", waits(flag)]});
    let to = id(node);
    tokio::spawn(async move {
        let class = "exec".parse().expect("a class");
        client.request(&to, &class, request, Some(Duration::from_mins(5))).await
    })
}

/// A script that ends once a file appears.
fn waits(flag: &Path) -> String {
    format!("until [ -e {} ]; do sleep 0.1; done; echo done", flag.display())
}

/// Listens to one worker until a task has ended: no event is missing, and none comes twice.
fn follow(client: Client, node: &str, task: TaskId) -> JoinHandle<()> {
    let node = id(node);
    tokio::spawn(async move {
        let (mut last, mut first) = (0, true);
        loop {
            let query =
                EventQuery { node: Some(node.clone()), after: Some(last), ..EventQuery::default() };
            let mut stream = client.events(&query, None).await.expect("a stream");
            // A stream may end with its owner; the next one goes on.
            while let Ok(Some(message)) = stream.next().await {
                let EventMessage::Event(event) = message else { continue };
                if matches!(event.body, EventBody::NodeStatus { .. }) && event.seq <= last {
                    continue;
                }
                let is_gap = matches!(event.body, EventBody::Gap { .. });
                assert!(first || (event.seq == last + 1 && !is_gap), "{event:?} after {last}");
                (first, last) = (false, event.seq);
                if matches!(&event.body, EventBody::TaskEnded { task: ended, .. } if *ended == task)
                {
                    return;
                }
            }
        }
    })
}

#[test]
fn m03_a_fourth_control_node_takes_its_share_and_nobody_notices() {
    on_machines(|| async {
        let workers = ["w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8"];
        let four = ["c1", "c2", "c3", "c4"];
        let mut herd = Herd::start(&CONTROLS, &workers, &["c4"]).await;
        let client = herd.lab.client("c1");
        let dir = herd.lab.dir().to_owned();
        let flag = |node: &str, what: &str| dir.join(format!("{what}-{node}"));
        let (mut requests, mut tasks, mut listeners) = (Vec::new(), BTreeMap::new(), Vec::new());
        for worker in workers {
            let (answer, end) = (flag(worker, "answer"), flag(worker, "end"));
            requests.push((worker, begin(client.clone(), worker, &answer)));
            let task = detach(&client, worker, &["sh", "-c", &waits(&end)]).await;
            listeners.push((worker, follow(client.clone(), worker, task.id)));
            for flag in [answer, end] {
                let script = waits(&flag);
                let pids = async || processes(&["sh", "-c", &script]);
                let pids = eventually("it runs", pids, |pids| pids.len() == 1).await;
                tasks.insert((worker, script), pids);
            }
        }

        herd.control("c4").await;
        herd.ready(&four, &[&four[..], &workers].concat()).await;
        let mut moved = 0;
        for worker in workers {
            let (old, new) = (owner(worker, &CONTROLS), owner(worker, &four));
            let owned = |view: &NodeView| view.owner == Some(id(&new));
            herd.sees(("c4", worker), &format!("belongs to {new}"), owned).await;
            assert!(old == new || new == "c4", "{worker} moved from {old} to {new}");
            moved += usize::from(old != new);
        }
        assert!((1..=4).contains(&moved), "{moved} of 8 have moved");

        // Everything that was under way still is, in the same processes.
        for ((worker, script), pids) in &tasks {
            // A shell that is about to become `sleep` looks like itself.
            let same = async || processes(&["sh", "-c", script]);
            eventually(&format!("{worker} runs it once"), same, |seen| seen == pids).await;
        }
        for (worker, request) in requests {
            fs::write(flag(worker, "answer"), "").expect("a file");
            let answer = within("an answer", request).await.expect("no panic");
            assert_eq!(answer.expect("it was done")["stdout"], "done\n", "{worker}");
        }
        for (worker, listener) in listeners {
            fs::write(flag(worker, "end"), "").expect("a file");
            within(&format!("the end of the task of {worker}"), listener).await.expect("heard");
        }
    });
}

#[test]
fn m04_workers_of_a_control_node_that_dies_are_served_by_others_until_it_is_back() {
    on_machines(|| async {
        let workers = ["w1", "w2", "w3", "w4"];
        let mut herd = Herd::start(&CONTROLS, &workers, &[]).await;
        let mut tally = Tally::new(herd.lab.dir());
        let victim = owner("w1", &CONTROLS);
        let left: Vec<&str> = CONTROLS.into_iter().filter(|name| **name != victim).collect();
        let clients: Vec<Client> = left.iter().map(|at| herd.lab.client(at)).collect();
        let task = detach(&clients[0], "w1", &["sleep", "1000"]).await;
        let rest = [&left[..], &workers].concat();
        let all = [&CONTROLS[..], &workers].concat();

        herd.lab.node_mut(&victim).kill9();
        // Both ask until both are answered again.
        for client in &clients {
            for worker in workers {
                eventually(worker, async || tally.ask(client, worker).await, |done| *done).await;
            }
        }
        herd.ready(&left, &rest).await;
        for worker in workers {
            let owner = owner(worker, &left);
            let owned = |view: &NodeView| view.owner == Some(id(&owner));
            for at in &left {
                herd.sees((at, worker), &format!("belongs to {owner}"), owned).await;
            }
        }

        herd.lab.node_mut(&victim).start();
        // Requests go on while its workers go back.
        let returned = herd.lab.client(left[0]);
        let is_back = async || {
            for (client, worker) in clients.iter().zip(workers.into_iter().cycle()) {
                tally.ask(client, worker).await;
            }
            tally.ask(&clients[1], "w1").await;
            returned.node(&id("w1")).await.map(|view| view.owner)
        };
        eventually("w1 goes back", is_back, |seen| *seen == Ok(Some(id(&victim))))
            .await
            .expect("seen");
        herd.lab.node_mut(&victim).ready().await;
        herd.ready(&CONTROLS, &all).await;
        for at in CONTROLS {
            for worker in workers {
                assert!(tally.ask(&herd.lab.client(at), worker).await, "{worker} at {at}");
            }
        }
        // Whoever was the owner at which time: nothing was done twice.
        assert!(tally.check() >= 20);
        let record = herd.lab.client("c1").task(&task.id, Some(&id("w1"))).await.expect("known");
        assert_eq!(record.end, None, "{record:?}");
    });
}

#[test]
fn m05_only_the_majority_commands_a_worker_that_both_sides_of_a_partition_reach() {
    on_machines(|| async {
        let workers = ["w1", "w2", "w3", "w4"];
        let mut herd = Herd::start(&CONTROLS, &workers, &[]).await;
        let mut tally = Tally::new(herd.lab.dir());
        // The owner of w1 is in the minority.
        let alone = owner("w1", &CONTROLS);
        let majority: Vec<&str> = CONTROLS.into_iter().filter(|name| **name != alone).collect();
        let (minor, major) = (herd.lab.client(&alone), herd.lab.client(majority[0]));
        let epoch = major.cluster().await.expect("whole").epoch;

        herd.lan.cut(std::slice::from_ref(&alone), &names(&majority));
        let new_owner = owner("w1", &majority);
        // Both sides command as long as it takes.
        let owned = async || {
            tally.ask(&minor, "w1").await;
            tally.ask(&major, "w1").await;
            let view = major.node(&id("w1")).await.ok();
            view.filter(|view| view.status == NodeStatus::Ready).and_then(|view| view.owner)
        };
        eventually("w1 has another owner", owned, |seen| *seen == Some(id(&new_owner))).await;
        for worker in workers {
            let owner = owner(worker, &majority);
            let owned = |view: &NodeView| {
                view.owner == Some(id(&owner)) && view.status == NodeStatus::Ready
            };
            herd.sees((majority[0], worker), "belongs to the majority", owned).await;
            assert!(tally.ask(&major, worker).await, "{worker}: the majority is obeyed");
            assert!(!tally.ask(&minor, worker).await, "{worker}: the minority is obeyed");
        }
        assert!(major.cluster().await.expect("it goes on").epoch > epoch);
        tally.check();

        herd.lan.heal();
        herd.ready(&CONTROLS, &[&CONTROLS[..], &workers].concat()).await;
        for worker in workers {
            let again = async || tally.ask(&minor, worker).await;
            eventually("it is heard again", again, |done| *done).await;
        }
        assert!(tally.check() >= 8);
    });
}
