//! Flaws on purpose: the judgement must find them, or it is worth nothing.

use super::{
    Field,
    load::Reads,
    shim::{self, Ill},
};

/// Acknowledged changes are only in memory when the power goes.
pub(super) async fn lying_disk(field: &mut Field) {
    let controls = field.controls.clone();
    for name in &controls {
        shim::fall_ill(field.lab.dir(), name, Ill::Lies);
    }
    field.last(1500, 1500).await;
    for name in &controls {
        field.lab.node_mut(name).kill9();
    }
    for name in &controls {
        shim::recover(field.lab.dir(), name);
        field.lab.image_mut(name).cut();
    }
    for name in &controls {
        field.lab.node_mut(name).start();
    }
    for name in &controls {
        field.lab.node_mut(name).ready().await;
    }
}

/// A control node that is cut off answers with what it knew.
pub(super) async fn stale_reads(field: &mut Field) {
    let leader = field.leader().await;
    let follower = field.others(&leader).swap_remove(0);
    field.lan.cut(std::slice::from_ref(&follower), &field.others(&follower));
    let at = field.controls.iter().position(|name| *name == follower).expect("one of them");
    field.pace.reads = Reads::StaleAt(at);
    let load = field.load("stale-reads-of-a-cut-off-node");
    field.last(2500, 2500).await;
    field.lan.heal();
    let story = load.stop().await;
    let dir = field.lab.dir().join("evidence");
    super::judge(&story, &dir).unwrap_or_else(|wrong| panic!("{wrong}"));
}
