//! Readers of events: each follows one worker, now here, now there, and checks what it is shown.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use remuda_control::sim::Sequence;
use remuda_model::{Event, EventBody, NodeId};
use remuda_wire::message::control::Subscribe;
use tokio::time::{Instant, sleep};

use crate::{
    clients::{at, some_control},
    control::Control,
    mutant::Mutant,
    world::{fail, mutated, world},
};

const BATCH: usize = 64;
const LOOK: Duration = Duration::from_millis(150);
const ANSWER: Duration = Duration::from_secs(1);

/// Follows a worker for ever.
pub(crate) async fn run(node: NodeId) {
    let mut last = None;
    loop {
        sleep(Duration::from_millis(fastrand::u64(10..1_000))).await;
        let Some(control) = some_control() else { continue };
        let length = Duration::from_millis(fastrand::u64(1_000..15_000));
        let after =
            last.map(
                |last: u64| {
                    if mutated(Mutant::ResumeAtIndex) { last.saturating_sub(1) } else { last }
                },
            );
        let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
        let name = node.clone();
        let followed = at(&control, |control| follow(control, name, after, length, sender));
        let check = async {
            while let Some(event) = events.recv().await {
                accept(&node, &mut last, &event);
            }
        };
        // It ends with its control node, or after its time.
        let (_, ()) = tokio::join!(followed, check);
    }
}

/// What a control node shows to one subscriber.
async fn follow(
    control: Rc<Control>,
    node: NodeId,
    after: Option<u64>,
    length: Duration,
    out: tokio::sync::mpsc::UnboundedSender<Event>,
) {
    let subscribe =
        Subscribe { node: Some(node), after, whole_cluster: true, ..Subscribe::default() };
    let mut sequence = Sequence::new(subscribe);
    let mut places: BTreeMap<NodeId, (Option<crate::executor::Life>, u64)> = BTreeMap::new();
    let end = Instant::now() + length;
    while Instant::now() < end {
        for other in control.linked() {
            let (known, next) = places.get(&other).copied().unwrap_or((None, 0));
            let read = move |there: Rc<Control>| async move {
                // Another life has another ring.
                let next = if known == Some(there.life) { next } else { 0 };
                let batch = there.bus.borrow().read(next, BATCH);
                Ok((there.life, batch))
            };
            let read = if other == control.me {
                read(Rc::clone(&control)).await
            } else {
                control.ask(&other, ANSWER, read).await
            };
            let Ok((life, batch)) = read else { continue };
            places.insert(other, (Some(life), batch.next));
            for event in batch.events {
                for shown in sequence.accept(&event) {
                    if out.send(shown).is_err() {
                        return;
                    }
                }
            }
        }
        sleep(LOOK).await;
    }
}

fn accept(node: &NodeId, last: &mut Option<u64>, event: &Event) {
    const LAW: &str = "I-9 events come in order, once, with every gap named";
    if event.node != *node {
        return fail(LAW, format!("event of {} among those of {node}", event.node));
    }
    let (from, to) = match event.body {
        // Said by an owner, under the last number that it knows of.
        EventBody::NodeStatus { .. } if last.is_some_and(|last| event.seq <= last) => return,
        EventBody::Gap { from, to } => (from, to),
        _ => (event.seq, event.seq),
    };
    if let Some(last) = *last
        && from != last + 1
    {
        return fail(LAW, format!("{node}: {from}..={to} after {last}: {:?}", event.body));
    }
    *last = Some(to);
    if to > from || matches!(event.body, EventBody::Gap { .. }) {
        world().ledger.borrow_mut().n_gaps += 1;
    }
}
