//! Lines that are slow, and lines that die without a word (M12, M16).

use std::{fs, path::Path, process::Stdio};

use remuda_e2e::{Copying, count_files, detach, eventually, exec};
use remuda_model::ErrorKind;
use serde_json::Value;

use crate::herd::{Herd, names, on_machines};

#[test]
fn m12_requests_are_answered_while_a_file_fills_a_slow_line() {
    on_machines(|| async {
        let mut herd = Herd::start(&["c1"], &[], &["w1"]).await;
        let allowed = herd.lab.dir().to_str().expect("text").to_owned();
        herd.worker("w1", &["--listen", "", "--files", &allowed]).await;
        herd.ready(&["c1"], &["c1", "w1"]).await;
        herd.lan.slow("c1", 200);
        let copying = Copying::begin(&herd.lab, "c1", 96 << 20);
        copying.arrives().await;
        let mut asked = 0;
        while !copying.is_finished() {
            let asking = ["request", "w1", "node", "\"status\"", "--timeout", "1s"];
            let answer = herd.lab.cli("c1", &asking).await;
            assert_eq!(answer.stdout.trim(), "\"ready\"", "{answer:#?}");
            asked += 1;
        }
        assert!(asked > 5, "{asked}");
        copying.succeeds().await;
    });
}

/// The tasks whose ends are in a file of events, in order. Every number comes once and without
/// holes; only what the owner says about the node's status repeats the last one.
fn ended(events: &Path) -> Vec<String> {
    let text = fs::read_to_string(events).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let events: Vec<Value> = whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    let mut last = 0;
    for event in &events {
        let seq = event["seq"].as_u64().expect("a number");
        let by_owner = seq == last && !event["body"]["node_status"].is_null();
        assert!(by_owner || seq == last + 1, "{event} after {last}");
        last = seq;
    }
    let tasks = events.iter().filter_map(|event| event["body"]["task_ended"]["task"].as_str());
    tasks.map(str::to_owned).collect()
}

#[test]
fn m16_no_event_is_lost_or_comes_twice_when_a_peer_is_lost_without_a_word() {
    on_machines(|| async {
        let mut herd = Herd::start(&["c1"], &[], &["w1"]).await;
        herd.worker("w1", &["--listen", ""]).await;
        herd.ready(&["c1"], &["c1", "w1"]).await;
        let client = herd.lab.client("c1");

        // Tasks that end when they are told to, by a file.
        let dir = herd.lab.dir().to_owned();
        let flag = |number: usize| dir.join(format!("flag-{number}"));
        let mut tasks = Vec::new();
        for number in 0..5 {
            let script = format!("until [ -e {} ]; do sleep 0.05; done", flag(number).display());
            tasks.push(detach(&client, "w1", &["sh", "-c", &script]).await.id.to_string());
        }
        let events = dir.join("events");
        let mut follow = herd.lab.command("c1", &["event", "--follow", "--json", "--node", "w1"]);
        follow.args(["--after", "0"]).stdin(Stdio::null());
        follow.stdout(fs::File::create(&events).expect("a file"));
        let _follow =
            tokio::process::Command::from(follow).kill_on_drop(true).spawn().expect("it runs");
        fs::write(flag(0), "").expect("a file");
        eventually("the first end", async || ended(&events), |seen| *seen == tasks[..1]).await;

        herd.lan.cut(&names(&["w1"]), &names(&["c1"]));
        // Long before TCP would give up.
        herd.missed("c1", "w1").await;
        for number in 1..4 {
            fs::write(flag(number), "").expect("a file");
            let exits = async || count_files(herd.lab.node("w1").dir(), "exit");
            eventually("tasks go on without a link", exits, |seen| *seen > number).await;
        }
        let failure = exec(&client, "w1", &["true"]).await.expect_err("nobody is there");
        assert_eq!(failure.kind, ErrorKind::NotConnected, "{failure:?}");
        assert_eq!(ended(&events), tasks[..1], "nothing comes over a cut cable");

        herd.lan.heal();
        herd.ready(&["c1"], &["c1", "w1"]).await;
        let meantime = async || ended(&events);
        eventually("the ends of the meantime", meantime, |seen| *seen == tasks[..4]).await;
        fs::write(flag(4), "").expect("a file");
        eventually("the last end", async || ended(&events), |seen| *seen == tasks).await;
        exec(&client, "w1", &["true"]).await.expect("all is well");
    });
}
