//! Processes that die or stand still.

use nix::sys::signal::Signal;

use super::Field;
use crate::{eventually, id};

pub(super) async fn leader_kill(field: &mut Field) {
    let leader = field.leader().await;
    field.kill(&leader);
    field.last(0, 4000).await;
    field.start(&leader).await;
}

pub(super) async fn owner_kill(field: &mut Field) {
    let worker = field.some_worker();
    let at = field.some_control();
    let client = field.client(&at);
    let node = id(&worker);
    let ask = async || client.node(&node).await.ok().and_then(|node| node.owner);
    let owner = eventually("an owner", ask, Option::is_some).await.expect("seen").to_string();
    field.kill(&owner);
    field.last(0, 4000).await;
    field.start(&owner).await;
}

pub(super) async fn all_kill(field: &mut Field) {
    let names = field.lab.names();
    for name in &names {
        field.kill(name);
    }
    for name in &names {
        field.lab.node_mut(name).start();
    }
    for name in &names {
        field.lab.node_mut(name).ready().await;
    }
}

pub(super) async fn agent_kill(field: &mut Field) {
    let both = field.rng.bool();
    let victims = if both { field.workers.clone() } else { vec![field.some_worker()] };
    for victim in &victims {
        field.kill(victim);
    }
    field.last(0, 3000).await;
    for victim in &victims {
        field.start(victim).await;
    }
}

pub(super) async fn pause(field: &mut Field) {
    let leader = field.leader().await;
    // Mostly the leader: it must not answer from what it knew.
    let victim = if field.rng.u32(..4) > 0 { leader } else { field.some_control() };
    field.signal(&victim, Signal::SIGSTOP);
    field.last(100, 6000).await;
    field.signal(&victim, Signal::SIGCONT);
}

/// Waits until so many control nodes vote.
async fn voters(field: &Field, n_voters: usize) {
    let client = field.client("c1");
    let count = async || client.cluster().await.map(|cluster| cluster.voters.len());
    eventually("voters", count, |seen| *seen == Ok(n_voters)).await.expect("seen");
}

pub(super) async fn membership(field: &mut Field) {
    let spare = ["c4", "c5"];
    for name in spare {
        field.note(format!("join {name}"));
        field.join_anew(name).await;
    }
    voters(field, 5).await;
    let leader = field.leader().await;
    field.kill(&leader);
    field.last(0, 2500).await;
    field.start(&leader).await;
    let client = field.client("c1");
    for name in spare {
        // One leaves in good order, the other one is given up.
        if field.rng.bool() {
            field.note(format!("leave {name}"));
            field.lab.node_mut(name).terminate().await;
        } else {
            field.kill(name);
        }
        let node = id(name);
        let remove = async || match client.remove_control(&node).await {
            Err(failure) if failure.code == "unknown_node" => Ok(()),
            other => other,
        };
        eventually(&format!("{name} is removed"), remove, Result::is_ok).await.expect("seen");
        field.lab.forget(name);
    }
    voters(field, 3).await;
}
