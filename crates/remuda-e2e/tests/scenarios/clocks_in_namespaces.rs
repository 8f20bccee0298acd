//! Machines whose clocks are wrong (M15).

use remuda_e2e::{exec, wrong_clock};

use crate::herd::{Herd, on_machines};

#[test]
fn m15_a_clock_that_is_wrong_by_an_hour_costs_a_warning_and_nothing_else() {
    on_machines(|| async {
        let mut herd = Herd::start(&["c1", "c2", "c3"], &["w1", "w2"], &[]).await;
        let all = ["c1", "c2", "c3", "w1", "w2"];
        for (node, by) in [("w1", "+1h"), ("w2", "-1h"), ("c3", "+1h")] {
            herd.lab.node_mut(node).kill9();
            let place = wrong_clock(herd.lan.place(node)).with("FAKETIME", by);
            herd.lab.node_mut(node).set_place(place);
            herd.restart(node).await;
        }
        herd.ready(&["c1", "c2", "c3"], &all).await;
        for at in ["c1", "c3"] {
            for node in all {
                let ran = exec(&herd.lab.client(at), node, &["echo", node]).await.expect("runs");
                assert_eq!((ran.0.trim(), ran.1.success()), (node, true));
            }
        }
        // That the clocks are wrong is seen by the work they do, and said by both sides.
        let date = ["date", "+%s"];
        let mut seconds = Vec::new();
        for node in ["w1", "w2"] {
            let (text, _) = exec(&herd.lab.client("c1"), node, &date).await.expect("runs");
            seconds.push(text.trim().parse::<i64>().expect("a number"));
        }
        assert!(seconds[0] - seconds[1] > 7_000, "{seconds:?}");
        for node in ["w1", "w2", "c3", "c1"] {
            let words = "clocks of this node and its peer differ";
            herd.lab.node(node).log_says(words).await;
        }
    });
}
