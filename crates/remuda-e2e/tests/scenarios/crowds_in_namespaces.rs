//! Many workers that come back at the same time (M19).

use remuda_e2e::info;

use crate::herd::{Herd, on_machines};

/// More than a control node lets come from one address before they have proved themselves.
const MANY: usize = 70;

#[test]
fn m19_all_workers_come_back_at_once_when_their_control_node_does() {
    on_machines(|| async {
        // One machine for all workers: one source address, as behind a router.
        let mut herd = Herd::start(&["c1"], &[], &["m1"]).await;
        let workers: Vec<String> = (1..=MANY).map(|number| format!("w{number}")).collect();
        let place = herd.lan.place("m1");
        for worker in &workers {
            herd.lab.prepare_join(&place, worker, &["--listen", "", "--lan", "off"]).start();
        }
        let mut all = vec!["c1"];
        all.extend(workers.iter().map(String::as_str));
        herd.ready(&["c1"], &all).await;
        let pids: Vec<_> = workers.iter().map(|worker| herd.lab.node(worker).pid()).collect();

        for _ in 0..3 {
            herd.lab.node_mut("c1").kill9();
            herd.restart("c1").await;
            herd.ready(&["c1"], &all).await;
            let client = herd.lab.client("c1");
            for worker in &workers {
                info(&client, worker).await.expect("it answers");
            }
        }
        let now: Vec<_> = workers.iter().map(|worker| herd.lab.node(worker).pid()).collect();
        assert_eq!(now, pids, "no agent was started again");
        for worker in &workers {
            let log = herd.lab.node(worker).log();
            assert!(!log.contains("refuses this worker"), "{worker}: {log}");
        }
    });
}
