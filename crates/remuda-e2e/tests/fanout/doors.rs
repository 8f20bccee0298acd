//! What became of some thousand targets, through every door and at every control node.

use std::{
    collections::BTreeSet,
    fs::File,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parquet::{
    file::reader::{FileReader as _, SerializedFileReader},
    record::RowAccessor as _,
};
use remuda::client::dto::RunRecord;
use remuda_model::run::Outcome;
use serde_json::Value;

use crate::{
    crowd::{Act, Crowd, hosts},
    field::{by_index, cluster, count, fanout, finished, json, listed, records, said},
};

const TARGETS: u32 = 2000;

/// JSON objects, one a line.
fn lines(text: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
    text.lines().map(parse).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_target_has_one_record_and_all_doors_agree() {
    let lab = cluster(3, 2).await;
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let crowd = Crowd::start(move |host| match host.octets()[3] {
        octet if octet % 10 == 0 && !is_mended.load(Ordering::Relaxed) => {
            Act::Answer(500, b"broken, build=7".to_vec())
        }
        octet => Act::ok(&format!("{{\"version\": \"1.{}\", \"at\": \"{host}\"}}", octet % 3)),
    })
    .await;
    let all = hosts(TARGETS);
    let broken = u32::try_from(all.iter().filter(|host| host.octets()[3] % 10 == 0).count());
    let broken = broken.expect("few");
    let targets = listed(&lab, "hosts.txt", &all);
    let (url, client) = (crowd.url("/health"), lab.client("c1"));

    // The first run in full view: some answer otherwise than expected.
    let arguments = ["http", "GET", &url, "--targets", &targets, "--id", "first"];
    let ended = fanout(&lab, "c1", &arguments).await;
    assert_eq!(ended.code, Some(7), "{ended:#?}");
    assert!(ended.stderr.contains(&format!("{broken} unexpected")), "{ended:#?}");
    let first = "first".parse().expect("an id");
    let kept = finished(&client, &first).await;
    assert_eq!(count(&kept, Outcome::Ok), TARGETS - broken);
    assert_eq!(count(&kept, Outcome::Unexpected), broken);
    for record in &kept {
        assert_eq!(record.host, all[record.index as usize].to_string(), "{record:?}");
        assert_eq!(record.attempts, 1, "{record:?}");
        assert!(record.worker.is_some() && record.started_ms > 0, "{record:?}");
        let wanted = if record.outcome == Outcome::Ok { "version" } else { "broken" };
        assert!(record.body.contains(wanted), "{record:?}");
    }
    let asked = crowd.asked();
    assert_eq!(asked.len(), all.len());
    assert!(asked.values().all(|times| *times == 1), "somebody was asked again");
    assert!(crowd.request_to(all[0]).starts_with("GET /health HTTP/1.1\r\n"));

    // Every control node says the same.
    let view = client.run(&first).await.expect("known");
    let kept = by_index(kept);
    for at in ["c1", "c2", "c3"] {
        let client = lab.client(at);
        assert_eq!(client.run(&first).await.expect("known"), view, "at {at}");
        assert_eq!(by_index(records(&client, &first).await), kept, "at {at}");
        let shown = json(&lab, at, &["show", "first"]).await;
        assert_eq!(shown["counts"]["unexpected"], broken, "at {at}");
        let results = lines(&said(&lab, at, &["results", "first", "--json"]).await);
        assert_eq!(results.len(), all.len(), "at {at}");
        let by_status = json(&lab, at, &["group", "first", "--by", "status"]).await;
        assert_eq!(by_status["total"], TARGETS, "{by_status}");
        assert_eq!(by_status["list"][0]["value"], "200", "{by_status}");
        assert_eq!(by_status["list"][0]["count"], TARGETS - broken, "{by_status}");
        assert_eq!(by_status["list"][1]["count"], broken, "{by_status}");
    }
    let by_version = ["group", "first", "--by", "json:/version", "--outcome", "ok"];
    let by_version = json(&lab, "c2", &by_version).await;
    let groups = by_version["list"].as_array().expect("groups");
    let sum: u64 = groups.iter().filter_map(|group| group["count"].as_u64()).sum();
    assert_eq!((groups.len(), sum), (3, u64::from(TARGETS - broken)), "{by_version}");
    let by_build = json(&lab, "c3", &["group", "first", "--by", r"regex:build=(\d+)"]).await;
    let build = by_build["list"].as_array().expect("groups").iter();
    let build: Vec<_> = build.filter(|group| group["value"] == "7").collect();
    assert_eq!(build.len(), 1, "{by_build}");
    assert_eq!(build[0]["count"], broken, "{by_build}");

    let few = ["results", "first", "--outcome", "unexpected", "--status", "500", "--hosts"];
    assert_eq!(said(&lab, "c2", &few).await.lines().count(), broken as usize);
    let table = said(&lab, "c3", &["results", "first", "--csv"]).await;
    assert_eq!(table.lines().count(), all.len() + 1);
    assert!(table.starts_with("host,outcome,status,"), "{}", &table[..100]);
    let quoted = r#""{""version"": ""1.1"", ""at"": ""127.1.0.1""}""#;
    assert!(table.contains(quoted), "{}", &table[..1000]);
    let file = lab.dir().join("first.parquet");
    let path = file.to_str().expect("UTF-8");
    said(&lab, "c2", &["results", "first", "--parquet", path]).await;
    let all_rows: BTreeSet<Bare> = kept.values().map(bare).collect();
    assert_eq!(in_parquet(&file), all_rows);
    let some = ["results", "first", "--outcome", "unexpected", "--parquet", path];
    said(&lab, "c3", &some).await;
    let is_unexpected = |record: &&RunRecord| record.outcome == Outcome::Unexpected;
    let some_rows: BTreeSet<Bare> = kept.values().filter(is_unexpected).map(bare).collect();
    assert_eq!(in_parquet(&file), some_rows);

    // All is mended; what failed is asked again by its results, and the difference is told.
    mended.store(true, Ordering::Relaxed);
    let again = written_again(&said(&lab, "c2", &few).await, &lab);
    let arguments = ["http", "GET", &url, "--targets", &again, "--id", "again"];
    let ended = fanout(&lab, "c2", &arguments).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let arguments = ["http", "GET", &url, "--targets", &targets, "--id", "second", "--json"];
    let second = said(&lab, "c3", &arguments).await;
    assert_eq!(lines(&second).len(), all.len());
    let diff = json(&lab, "c1", &["diff", "first", "second"]).await;
    assert_eq!(diff["outcome"]["count"], broken, "{diff}");
    assert_eq!(diff["unchanged"], TARGETS - broken, "{diff}");
    assert_eq!(diff["only_before"]["count"], 0, "{diff}");
    let diff = json(&lab, "c2", &["diff", "again", "second"]).await;
    assert_eq!(diff["only_after"]["count"], TARGETS - broken, "{diff}");
    assert_eq!(diff["unchanged"], broken, "{diff}");

    let found = lines(&said(&lab, "c3", &["search", "127.1.0.10", "--json"]).await);
    let runs: Vec<&Value> = found.iter().map(|found| &found["run"]).collect();
    assert_eq!(runs, ["second", "again", "first"], "the newest first");
    let found = said(&lab, "c1", &["search", "127.1.0.*", "--text", "broken", "--json"]).await;
    assert_eq!(lines(&found).len(), 25, "{found}");

    // A run that has ended can be forgotten at any control node.
    said(&lab, "c3", &["remove", "again"]).await;
    for at in ["c1", "c2", "c3"] {
        let gone = fanout(&lab, at, &["show", "again"]).await;
        assert_eq!(gone.code, Some(3), "{gone:#?}");
        let listed = json(&lab, at, &["list"]).await;
        let ids: Vec<&Value> =
            listed["runs"].as_array().expect("runs").iter().map(|run| &run["id"]).collect();
        assert_eq!(ids, ["second", "first"]);
    }
}

/// What a record says: host, outcome, status, worker and body.
type Bare = (String, String, Option<i32>, Option<String>, String);

fn bare(record: &RunRecord) -> Bare {
    let worker = record.worker.as_ref().map(ToString::to_string);
    let outcome = record.outcome.to_string();
    (record.host.clone(), outcome, record.status, worker, record.body.clone())
}

/// What the records in a Parquet file say.
fn in_parquet(path: &Path) -> BTreeSet<Bare> {
    let file = File::open(path).expect("it is there");
    let reader = SerializedFileReader::new(file).expect("a Parquet file");
    let rows = reader.get_row_iter(None).expect("rows");
    let rows = rows.map(|row| {
        let row = row.expect("a row");
        let at = |name| row.get_column_iter().position(|(column, _)| column == name);
        let text = |name| at(name).and_then(|at| row.get_string(at).ok()).cloned();
        let [host, outcome, body] = ["host", "outcome", "body"].map(|name| text(name).expect(name));
        let status = at("status").and_then(|at| row.get_int(at).ok());
        (host, outcome, status, text("worker"), body)
    });
    rows.collect()
}

/// Hosts that were printed, as a file of targets.
fn written_again(hosts: &str, lab: &remuda_e2e::Lab) -> String {
    crate::field::written(lab, "again.txt", hosts)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_when_nobody_looks_and_can_be_followed_later() {
    let lab = cluster(1, 1).await;
    let crowd = Crowd::held(|_| Act::ok("late")).await;
    let targets = listed(&lab, "hosts.txt", &hosts(300));
    let run = crate::field::detach(&lab, ("c1", &crowd), &targets, &["--fixed"]).await;
    crowd.until("all are asked", |busy| busy.now == 300).await;
    let follow = lab.command("c1", &["fanout", "results", run.as_str(), "--follow", "--hosts"]);
    let follow = tokio::spawn(remuda_e2e::finish(follow));
    crowd.open();
    let followed = remuda_e2e::within("following", follow).await.expect("ends");
    assert_eq!(followed.code, Some(0), "{followed:#?}");
    assert_eq!(followed.stdout.lines().count(), 300);
    let kept = finished(&lab.client("c1"), &run).await;
    assert_eq!(count(&kept, Outcome::Ok), 300);
}
