//! A worker is cut off from the control nodes, and still reaches the targets.

use std::{collections::BTreeMap, net::Ipv4Addr, path::Path, process::Command};

use remuda_e2e::{Lab, Lan, finish, in_private_network};
use remuda_model::run::{Outcome, RunView};
use tokio::runtime::Handle;

use crate::{
    crowd::{Act, Crowd},
    field::{assert_kept, count, detach, finished, listed, records, until},
};

/// Where the machines of this test are: beyond the switch, for all nodes alike.
const BEYOND: &str = "10.99.0.0/16";
const TEST: &str = "10.77.0.254";
const TARGETS: u32 = 300;

fn hosts() -> Vec<Ipv4Addr> {
    let first = u32::from(Ipv4Addr::new(10, 99, 0, 1));
    (first..first + TARGETS).map(Ipv4Addr::from).collect()
}

async fn must(mut command: Command, words: &[&str]) {
    command.args(words);
    let ended = finish(command).await;
    assert_eq!(ended.code, Some(0), "{words:?}: {ended:#?}");
}

async fn field() -> (Lab, Lan) {
    let mut lan = Lan::new();
    let mut lab = Lab::empty();
    must(Command::new("ip"), &["route", "add", "local", BEYOND, "dev", "lo"]).await;
    for name in ["c1", "w1", "w2"] {
        lan.add(name);
        let ip = lan.place(name).command(Path::new("ip"));
        must(ip, &["route", "add", BEYOND, "via", TEST]).await;
        let address = lan.address(name);
        let listen = format!("remuda://{address}:1973");
        let usual = ["--listen", &listen, "--fanout-allow", BEYOND, "--lan", "off"];
        if name == "c1" {
            let api = format!("{address}:44200");
            let more = ["--api", &api, "--api-insecure"];
            lab.bootstrap(&lan.place(name), &[&usual[..], &more].concat()).await;
        } else {
            lab.join_at(&lan.place(name), name, &usual).await;
        }
    }
    lab.wait_ready(3).await;
    (lab, lan)
}

fn misses_w1(view: &RunView) -> bool {
    view.workers.iter().any(|(node, share)| node.as_str() == "w1" && !share.connected)
}

/// How often each machine was asked, and how many targets ended as unknown.
fn cut_off(options: &[&str]) -> (BTreeMap<Ipv4Addr, u32>, u32) {
    in_private_network(|| {
        Handle::current().block_on(Box::pin(async {
            let (lab, mut lan) = field().await;
            let crowd = Crowd::held(|host| Act::ok(&host.to_string())).await;
            let targets = listed(&lab, "hosts.txt", &hosts());
            let options =
                [&["--fixed", "--concurrency", "60", "--on", "node!=c1"], options].concat();
            let run = detach(&lab, ("c1", &crowd), &targets, &options).await;
            crowd.until("the first are asked", |busy| busy.now == 60).await;
            crowd.let_through(40);
            let client = lab.client("c1");
            until(&client, &run, "has begun", |view| view.done == 40).await;
            crowd.until("the next are asked", |busy| busy.now == 60).await;
            let before = records(&client, &run).await;

            lan.cut(&["w1".to_owned()], &["c1".to_owned()]);
            until(&client, &run, "misses w1", misses_w1).await;
            crowd.open();
            let kept = finished(&client, &run).await;
            assert_kept(before, kept.clone());
            let unknown = count(&kept, Outcome::Unknown);
            assert_eq!(count(&kept, Outcome::Ok) + unknown, TARGETS);
            lan.heal();
            lab.wait_ready(3).await;
            (crowd.asked(), unknown)
        }))
    })
}

#[test]
fn its_targets_are_contacted_by_others() {
    let (asked, unknown) = cut_off(&[]);
    assert_eq!(unknown, 0);
    assert_eq!(asked.len(), TARGETS as usize);
}

#[test]
fn its_targets_are_unknown_when_none_may_be_contacted_twice() {
    let (asked, unknown) = cut_off(&["--at-most-once"]);
    assert!(unknown >= 30, "{unknown} are unknown");
    assert!(asked.values().all(|times| *times == 1), "somebody was asked twice");
}
