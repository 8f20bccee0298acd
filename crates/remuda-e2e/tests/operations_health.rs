//! `remuda cluster status`: one screen that says whether the cluster is well, and why not.

use remuda_e2e::{Finished, Lab, Place, eventually, wrong_clock};
use serde_json::Value;

const HEALTHY: Option<i32> = Some(0);
const UNHEALTHY: Option<i32> = Some(8);

/// Asks a control node until the screen is as wanted.
async fn status(lab: &Lab, at: &str, good: impl Fn(&Finished) -> bool) -> Finished {
    let what = format!("the status at {at}");
    let probe = async || lab.cli(at, &["cluster", "status"]).await;
    eventually(&what, probe, |seen| good(seen)).await
}

/// The words of the problems that the machine-readable form lists.
async fn codes(lab: &Lab, at: &str) -> Vec<String> {
    let shown = lab.cli(at, &["cluster", "status", "--json"]).await;
    let shown: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let problems = shown["problems"].as_array().expect("a list");
    let code = |problem: &Value| {
        assert!(problem["hint"].as_str().is_some_and(|hint| hint.len() > 10), "{problem}");
        problem["code"].as_str().expect("a word").to_owned()
    };
    problems.iter().map(code).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_screen_names_what_is_wrong_until_it_is_right() {
    let mut lab = Lab::start(3, 1).await;
    let screen = status(&lab, "c2", |seen| seen.code == HEALTHY).await;
    assert!(
        screen.stdout.contains("healthy") && screen.stdout.contains("4: 4 ready"),
        "{screen:?}"
    );
    for control in ["c1", "c2", "c3"] {
        let row = screen.stdout.lines().find(|line| line.starts_with(control)).expect("a row");
        assert!(row.contains(" up "), "{row}");
    }

    lab.node_mut("c3").kill9();
    let screen = status(&lab, "c1", |seen| {
        seen.code == UNHEALTHY && seen.stdout.contains("voters out of reach: c3")
    });
    let screen = screen.await;
    assert!(screen.stdout.contains("remuda cluster remove c3"), "a hint: {screen:?}");
    let row = screen.stdout.lines().find(|line| line.starts_with("c3")).expect("a row");
    assert!(row.contains("lost"), "{row}");
    assert!(codes(&lab, "c1").await.contains(&"voter_unreachable".to_owned()));

    // Without a majority it still says what the node that is asked knows.
    lab.node_mut("c2").kill9();
    let screen = status(&lab, "c1", |seen| seen.stdout.contains("no majority")).await;
    assert_eq!(screen.code, UNHEALTHY, "{screen:?}");

    lab.node_mut("c2").start();
    lab.node_mut("c3").start();
    status(&lab, "c1", |seen| seen.code == HEALTHY).await;
    assert_eq!(codes(&lab, "c1").await, [""; 0]);

    lab.node_mut("w1").kill9();
    let screen = status(&lab, "c1", |seen| seen.code == UNHEALTHY).await;
    assert!(screen.stdout.contains("nodes not connected: w1"), "{screen:?}");
    assert_eq!(codes(&lab, "c1").await, ["node_not_connected"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_named() {
    let mut lab = Lab::start(1, 0).await;
    let late = wrong_clock(Place::default()).with("FAKETIME", "-20s");
    lab.join_at(&late, "c2", &["--control"]).await;
    let seen = async || codes(&lab, "c1").await;
    eventually("the clock is named", seen, |codes| codes.contains(&"clock_skew".to_owned())).await;
    let screen = lab.cli("c1", &["cluster", "status"]).await;
    assert!(screen.stdout.contains("the clock of c2 is"), "{screen:?}");
    assert!(screen.stdout.contains("behind ours"), "{screen:?}");
}
