//! Tells proxies where their workers belong when the control nodes change.

use std::{rc::Rc, time::Duration};

use remuda_control::sim::{Place, place_of};
use remuda_model::Epoch;
use tokio::time::sleep;

use crate::control::Control;

const PACE: (usize, Duration) = (10, Duration::from_millis(50));
const GATHER: Duration = Duration::from_millis(100);

/// Runs for as long as its control node.
pub(crate) async fn keep(control: Rc<Control>) {
    let mut states = control.replica.watch_state();
    let mut epoch = Epoch::default();
    loop {
        let state = states.borrow_and_update().clone();
        let mut moving = Vec::new();
        if state.epoch() != epoch {
            control.history.changed(&state);
            epoch = state.epoch();
            let proxies: Vec<_> = control.proxies.borrow().clone().into_iter().collect();
            for (node, proxy) in proxies {
                if proxy.place().epoch().is_none_or(|epoch| epoch >= state.epoch()) {
                    continue;
                }
                match place_of(&state, &control.me, &node) {
                    Some(place @ Place::Mine(_)) => proxy.placed(place),
                    Some(_) => moving.push(node),
                    None => (),
                }
            }
        }
        for batch in moving.chunks(PACE.0) {
            for node in batch {
                let proxy = control.proxies.borrow().get(node).cloned();
                if let Some(proxy) = proxy
                    && let Some(place) = place_of(&state, &control.me, node)
                {
                    proxy.placed(place);
                }
            }
            sleep(PACE.1.mul_f64(0.5 + fastrand::f64())).await;
            if states.borrow().epoch() != state.epoch() {
                break;
            }
        }
        sleep(GATHER).await;
        if states.changed().await.is_err() {
            return;
        }
    }
}
