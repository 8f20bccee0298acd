//! More runs than are carried out at a time: the others wait in line.

use remuda::client::{
    Client,
    dto::{CreateRun, RunTargets},
};
use remuda_model::{
    RunId,
    run::{Outcome, Priority, RunState, RunView, Secrets},
};
use serde_json::json;

use crate::{
    crowd::{Act, Crowd},
    field::{cluster, count, ended, finished, until},
};

/// Runs that are carried out at a time.
const PLACES: usize = 256;

/// What a run of one target would be given.
fn request(crowd: &Crowd) -> CreateRun {
    let patient = json!({"total_ms": 600_000, "first_byte_ms": 600_000});
    let command = json!({"http": {"method": "GET", "url": crowd.url("/")}});
    let spec = serde_json::from_value(json!({"command": command, "limits": patient}));
    let targets = RunTargets::Lines(vec!["127.1.0.1".to_owned()]);
    CreateRun { id: None, spec: spec.expect("a spec"), targets, secrets: Secrets::default() }
}

async fn create(client: &Client, request: &CreateRun, id: &str, priority: Priority) -> RunId {
    let mut request = request.clone();
    request.id = Some(id.parse().expect("an id"));
    request.spec.priority = priority;
    client.create_run(&request).await.expect("created").id
}

fn waits_behind(before: usize) -> impl Fn(&RunView) -> bool {
    let text = format!("; {before} more are before it");
    move |view| {
        view.state == RunState::Waiting
            && view.reason.as_ref().is_some_and(|reason| reason.ends_with(&text))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_wait_for_their_turn_by_priority_and_end_when_they_are_cancelled() {
    let mut lab = cluster(1, 1).await;
    let crowd = Crowd::held(|_| Act::ok("here")).await;
    let client = lab.client("c1");
    let request = request(&crowd);
    let mut runs = Vec::new();
    for number in 0..PLACES {
        runs.push(create(&client, &request, &format!("early-{number}"), Priority::Normal).await);
    }
    let all = u32::try_from(PLACES).expect("few");
    crowd.until("all of these are under way", |busy| busy.now == all).await;

    let low = create(&client, &request, "low", Priority::Low).await;
    let usual = create(&client, &request, "usual", Priority::Normal).await;
    let unwanted = create(&client, &request, "unwanted", Priority::Normal).await;
    let high = create(&client, &request, "high", Priority::High).await;
    until(&client, &high, "is first", waits_behind(0)).await;
    until(&client, &usual, "is next", waits_behind(1)).await;
    until(&client, &low, "is last", waits_behind(3)).await;
    assert_eq!(crowd.busy().total, all, "more were asked");

    client.cancel_run(&unwanted).await.expect("cancelled");
    assert_eq!(ended(&client, &unwanted).await.state, RunState::Cancelled);
    until(&client, &low, "comes up", waits_behind(2)).await;
    client.pause_run(&usual).await.expect("paused");
    until(&client, &usual, "is paused", |view| view.state == RunState::Paused).await;
    until(&client, &low, "comes up", waits_behind(1)).await;

    crowd.let_through(1);
    let under_way = |view: &RunView| view.state == RunState::Running && view.in_flight == 1;
    until(&client, &high, "has its turn", under_way).await;
    until(&client, &low, "is first now", waits_behind(0)).await;
    client.resume_run(&usual).await.expect("resumed");
    until(&client, &low, "is overtaken", waits_behind(1)).await;

    // Nobody is left out, also by a restart.
    lab.node_mut("c1").kill9();
    lab.node_mut("c1").start();
    lab.node_mut("c1").ready().await;
    lab.wait_ready(2).await;
    let client = lab.client("c1");
    until(&client, &low, "is there again", |view| !view.state.has_ended()).await;
    crowd.open();
    runs.extend([low, usual, high]);
    for run in runs {
        let kept = finished(&client, &run).await;
        assert_eq!(count(&kept, Outcome::Ok), 1);
    }
}
