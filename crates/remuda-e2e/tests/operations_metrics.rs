//! Metrics: those that are documented and no others, and they count what happens.

use std::collections::{BTreeMap, BTreeSet};

use remuda_e2e::{Lab, command, detach, eventually, exec, id, info};

/// A family: its kind and the names of its labels.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// Reads rows such as ``| `remuda_links` | gauge | `transport`, `role` | … |``.
fn documented() -> Families {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let text = std::fs::read_to_string(path).expect("docs/metrics.md");
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `remuda_")?.split(" | ");
        let name = format!("remuda_{}", cells.next()?.strip_suffix('`')?);
        let (kind, labels) = (cells.next()?.to_owned(), cells.next()?);
        let labels = labels.split(", ").map(|label| label.trim_matches('`').to_owned());
        let labels: BTreeSet<_> = labels.filter(|label| label != "–").collect();
        let meaning = cells.next()?.trim_end_matches(" |");
        assert!(meaning.len() > 10, "{name} is not explained");
        Some((name, (kind, labels)))
    };
    let rows: Vec<_> = text.lines().filter_map(row).collect();
    let families: Families = rows.iter().cloned().collect();
    assert_eq!(families.len(), rows.len(), "a metric is described twice");
    families
}

/// The samples of a page: name with labels, and value.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        (name.to_owned(), value.parse().expect("a number"))
    };
    lines.map(sample).collect()
}

fn exposed(page: &str) -> Families {
    let mut families = Families::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a kind");
            families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        }
    }
    for sample in samples(page).keys() {
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let plain = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let name = plain.filter(|name| families.contains_key(*name)).unwrap_or(name);
        let (_, known) = families.get_mut(name).unwrap_or_else(|| panic!("no type of {name}"));
        let names = labels.split("\",").filter_map(|label| label.split_once("=\""));
        known.extend(names.map(|(label, _)| label.to_owned()).filter(|label| label != "le"));
    }
    families
}

fn value(page: &str, sample: &str) -> f64 {
    samples(page).get(sample).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_documented_and_counts() {
    let lab = Lab::start(1, 1).await;
    let client = lab.client("c1");
    for _ in 0..3 {
        info(&client, "w1").await.expect("it answers");
    }
    let (_, end) = exec(&client, "w1", &["false"]).await.expect("runs");
    assert!(!end.success());
    let task = detach(&client, "w1", &["true"]).await;
    let missing = client.exec(&id("w9"), &command(&["true"])).await;
    assert!(missing.is_err(), "there is no such node");
    // Loopback is forbidden unless workers are told otherwise.
    let run = ["fanout", "ping", "-t", "127.0.0.1", "--on", "node==c1", "--id", "seen"];
    for code in [7, 4] {
        let asked = lab.cli("c1", &run).await;
        assert_eq!(asked.code, Some(code), "{asked:?}");
    }
    let ended = "remuda_tasks_ended_total{class=\"exec\",reason=\"exited_zero\"}";
    let probe = async || client.metrics().await.unwrap_or_default();
    let page = eventually("the end of the task is counted", probe, |page| {
        value(page, ended) >= 1.0 && page.contains("remuda_link_rtt_seconds{")
    });
    let page = page.await;
    assert!(!page.contains(task.id.as_str()), "no label has the name of a task");

    let (documented, exposed) = (documented(), exposed(&page));
    let names = |families: &Families| families.keys().cloned().collect::<BTreeSet<_>>();
    let (described, shown) = (names(&documented), names(&exposed));
    let lacking: Vec<_> = shown.difference(&described).collect();
    assert!(lacking.is_empty(), "docs/metrics.md lacks {lacking:?}");
    let gone: Vec<_> = described.difference(&shown).collect();
    assert!(gone.is_empty(), "docs/metrics.md describes what is not shown: {gone:?}");
    for (name, (kind, labels)) in &exposed {
        let (described, known) = &documented[name];
        assert_eq!(kind, described, "{name}");
        assert!(labels.is_subset(known), "{name} has {labels:?}, described are {known:?}");
    }

    for (sample, least) in [
        ("remuda_requests_total{op=\"request\",class=\"node\",outcome=\"ok\"}", 3.0),
        ("remuda_request_seconds_count{op=\"request\",class=\"node\"}", 3.0),
        ("remuda_tasks_started_total{class=\"exec\"}", 1.0),
        ("remuda_raft_is_leader", 1.0),
        ("remuda_raft_term", 1.0),
        ("remuda_raft_applied_index", 3.0),
        ("remuda_raft_commit_seconds_count", 1.0),
        ("remuda_workers_owned", 2.0),
        ("remuda_workers_connected", 2.0),
        ("remuda_workers{status=\"ready\"}", 2.0),
        ("remuda_nodes", 2.0),
        ("remuda_control_nodes", 1.0),
        ("remuda_links{transport=\"tls\",role=\"worker\"}", 1.0),
        ("remuda_link_sent_bytes_total{transport=\"tls\",role=\"worker\"}", 1000.0),
        ("remuda_worker_sessions_total", 2.0),
        ("remuda_events_received_total", 2.0),
        (
            "remuda_api_requests_total{method=\"POST\",route=\"/v1/nodes/{node}/requests\",status=\"200\"}",
            3.0,
        ),
        (
            "remuda_api_requests_total{method=\"POST\",route=\"/v1/nodes/{node}/exec\",status=\"404\"}",
            1.0,
        ),
        ("remuda_runs{state=\"finished\"}", 1.0),
        ("remuda_runs_created_total", 1.0),
        ("remuda_runs_refused_total{reason=\"exists\"}", 1.0),
        ("remuda_run_contacts_total{outcome=\"blocked\"}", 1.0),
        ("remuda_run_records_bytes", 1.0),
        ("remuda_fanout_slots", 2500.0),
        ("remuda_fanout_attempts_total{outcome=\"blocked\"}", 1.0),
        ("remuda_process_resident_memory_bytes", 1e6),
        ("remuda_process_threads", 2.0),
        ("remuda_process_open_fds", 10.0),
    ] {
        assert!(value(&page, sample) >= least, "{sample} is less than {least}:\n{page}");
    }
    for at_rest in
        ["remuda_raft_stopped", "remuda_run_contacts_in_flight", "remuda_fanout_slots_used"]
    {
        assert!(value(&page, at_rest) < 1.0, "{at_rest}:\n{page}");
    }
}
