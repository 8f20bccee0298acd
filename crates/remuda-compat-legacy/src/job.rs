//! Runs as jobs. What a run has of its job is among its variables, so that every control node knows
//! it, also after a restart; pure.

use std::collections::BTreeMap;

use remuda_model::run::{RunState, RunView};
use serde::Serialize;

use crate::{conf::Command, time};

/// The variable of a target whose node is not called as its host.
pub(crate) const NODE: &str = "node";
const FACE: &str = "face";
const GROUP: &str = "group";
const COMMAND: &str = "command";
const HEADERS: &str = "headers";
const EXTRACT: &str = "extract";
/// The value of [`FACE`].
const OURS: &str = "rest-commander";
/// The longest title, in characters.
const MAX_TITLE: usize = 60;

/// What the variables of a run say of its job.
pub(crate) fn marks(group: &str, command: &Command) -> [(String, String); 5] {
    let (start, end) = command.extract;
    [
        (FACE, OURS.to_owned()),
        (GROUP, group.to_owned()),
        (COMMAND, command.id.clone()),
        (HEADERS, command.headers.clone()),
        (EXTRACT, format!("{start} {end}")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}

/// What people see in a list of runs.
pub(crate) fn title(group: &str, command: &str) -> String {
    let plain = |text: &str| -> String {
        text.chars().filter(|character| !character.is_control()).take(MAX_TITLE / 2).collect()
    };
    format!("{OURS} {} {}", plain(group), plain(command)).trim().to_owned()
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job<'a> {
    pub(crate) group: &'a str,
    pub(crate) command: &'a str,
    pub(crate) headers: &'a str,
    /// Which characters of an answer are kept.
    pub(crate) extract: Option<(usize, usize)>,
}

/// The job of a run, if it was begun by way of this face.
pub(crate) fn of(vars: &BTreeMap<String, String>) -> Option<Job<'_>> {
    let get = |name: &str| vars.get(name).map(String::as_str);
    (get(FACE)? == OURS).then_some(())?;
    let extract = get(EXTRACT).and_then(|text| {
        let (start, end) = text.split_once(' ')?;
        let (start, end) = (start.parse().ok()?, end.parse().ok()?);
        (start <= end).then_some((start, end))
    });
    Some(Job { group: get(GROUP)?, command: get(COMMAND)?, headers: get(HEADERS)?, extract })
}

/// A job as it was told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Info {
    time_stamp: String,
    start_time: u64,
    finished_not_aggregated_time: u64,
    end_time: u64,
    aggregation_time: f64,
    tot_job_num: u32,
    worker_request_count: BTreeMap<String, u32>,
    worker_response_count: BTreeMap<String, u32>,
    capacity_usage: BTreeMap<String, f64>,
    state: &'static str,
    collected_num: u32,
    max_conc_num: u32,
    job_id: String,
    node_group_type: String,
    agent_command_type: String,
}

impl Info {
    /// The job of a run.
    pub(crate) fn of(view: &RunView) -> Option<Self> {
        let job = of(&view.spec.vars)?;
        let start = view.started_ms.unwrap_or(view.created_ms);
        let ended = view.ended_ms.unwrap_or_default();
        let of_workers = |count: fn(&remuda_model::run::WorkerShare) -> u32| {
            view.workers.iter().map(|(node, share)| (node.to_string(), count(share))).collect()
        };
        Some(Self {
            time_stamp: time::seconds(start),
            start_time: start,
            // Results are kept as they come: nothing is gathered at the end.
            finished_not_aggregated_time: ended,
            end_time: ended,
            aggregation_time: 0.0,
            tot_job_num: view.targets,
            worker_request_count: of_workers(|share| share.done.saturating_add(share.in_flight)),
            worker_response_count: of_workers(|share| share.done),
            capacity_usage: view
                .workers
                .iter()
                .map(|(node, share)| (node.to_string(), usage(share.window, width(view))))
                .collect(),
            state: state(view.state),
            collected_num: view.done,
            max_conc_num: width(view),
            job_id: view.id.to_string(),
            node_group_type: job.group.to_owned(),
            agent_command_type: job.command.to_owned(),
        })
    }
}

/// The state of a job. There was none for paused or cancelled ones.
pub(crate) fn state(state: RunState) -> &'static str {
    match state {
        RunState::Waiting => "waiting",
        RunState::Running | RunState::Paused => "processing",
        RunState::Finished | RunState::Cancelled => "gathered",
    }
}

/// How much of a job is done, 0 to 1.
pub(crate) fn progress(view: &RunView) -> f64 {
    if view.state.has_ended() || view.targets == 0 {
        return 1.0;
    }
    f64::from(view.done) / f64::from(view.targets)
}

/// How many seconds a job has taken.
pub(crate) fn elapsed(view: &RunView, now_ms: u64) -> f64 {
    let until = view.ended_ms.unwrap_or(now_ms);
    let ms = until.saturating_sub(view.started_ms.unwrap_or(view.created_ms));
    std::time::Duration::from_millis(ms).as_secs_f64()
}

/// What the workers of a job do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Load {
    names: Vec<String>,
    loads: Vec<String>,
    requests: Vec<String>,
    status: Vec<&'static str>,
}

impl Load {
    /// Of a run.
    pub(crate) fn of(view: &RunView) -> Self {
        let mut load = Self::default();
        for (node, share) in &view.workers {
            load.names.push(node.to_string());
            load.loads.push(share.done.to_string());
            load.requests.push(share.done.saturating_add(share.in_flight).to_string());
            load.status.push(if share.connected { "active" } else { "passive" });
        }
        load
    }
}

/// How many targets each of these workers contacts at a time, for each job that has not ended.
pub(crate) fn loads(names: &[String], views: &[RunView]) -> BTreeMap<String, Vec<String>> {
    let mut loads = BTreeMap::from([("names".to_owned(), names.to_vec())]);
    let active = views.iter().filter(|view| !view.state.has_ended());
    for view in active.filter(|view| of(&view.spec.vars).is_some()) {
        let windows: BTreeMap<&str, u32> =
            view.workers.iter().map(|(node, share)| (node.as_str(), share.window)).collect();
        let of_names = names.iter().map(|name| {
            let window = windows.get(&**name).copied().unwrap_or_default();
            window.min(width(view)).to_string()
        });
        loads.insert(view.id.to_string(), of_names.collect());
    }
    loads
}

fn width(view: &RunView) -> u32 {
    view.spec.limits.per_worker.unwrap_or_default()
}

fn usage(window: u32, width: u32) -> f64 {
    if width == 0 { 0.0 } else { (f64::from(window) / f64::from(width)).min(1.0) }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A run in the middle of its life, begun by way of this face unless `vars` says otherwise.
    pub(crate) fn view(vars: &BTreeMap<String, String>) -> RunView {
        let vars = serde_json::to_value(vars).expect("JSON");
        let value = json!({
            "id": "j1", "coordinator": "c1", "state": "running", "reason": null,
            "spec": {"command": {"http": {"method": "GET", "url": "http://{{host}}:80/"}},
                "vars": vars, "limits": {"per_worker": 2000}},
            "targets": 40, "done": 10, "counts": {"ok": 10}, "in_flight": 5,
            "created_ms": 1_410_748_353_000_u64, "started_ms": 1_410_748_363_828_u64,
            "ended_ms": null, "rate": 1.0, "latency_us": null, "slowest": [],
            "workers": {"w1": {"connected": true, "done": 10, "in_flight": 5, "window": 1000,
                "rate": 1.0}},
        });
        serde_json::from_value(value).expect("a view")
    }

    pub(crate) fn vars() -> BTreeMap<String, String> {
        let command = Command::parse("A GET http 80 / 0 2 5", "").expect("a command");
        marks("G", &command).into()
    }

    #[test]
    fn a_run_is_told_as_documented() {
        let info = serde_json::to_value(Info::of(&view(&vars()))).expect("JSON");
        let expected: Value = json!({
            "timeStamp": "2014-09-15 02:32:43", "startTime": 1_410_748_363_828_u64,
            "finishedNotAggregatedTime": 0, "endTime": 0, "aggregationTime": 0.0, "totJobNum": 40,
            "workerRequestCount": {"w1": 15}, "workerResponseCount": {"w1": 10},
            "capacityUsage": {"w1": 0.5}, "state": "processing", "collectedNum": 10,
            "maxConcNum": 2000, "jobId": "j1", "nodeGroupType": "G", "agentCommandType": "A",
        });
        assert_eq!(info, expected);
        let mut other = view(&vars());
        other.spec.vars.insert("face".to_owned(), "other".to_owned());
        assert_eq!(Info::of(&other), None);
    }

    #[test]
    fn the_small_questions_are_answered() {
        let mut view = view(&vars());
        assert!((progress(&view) - 0.25).abs() < 1e-9);
        assert!((elapsed(&view, 1_410_748_364_828) - 1.0).abs() < 1e-9);
        assert_eq!(of(&view.spec.vars).expect("ours").extract, Some((2, 5)));
        let load = serde_json::to_value(Load::of(&view)).expect("JSON");
        assert_eq!(
            load,
            json!({"names": ["w1"], "loads": ["10"], "requests": ["15"],
            "status": ["active"]})
        );
        let names = ["w0".to_owned(), "w1".to_owned()];
        let told = serde_json::to_value(loads(&names, &[view.clone()])).expect("JSON");
        assert_eq!(told, json!({"names": ["w0", "w1"], "j1": ["0", "1000"]}));
        view.state = RunState::Cancelled;
        assert!((progress(&view) - 1.0).abs() < 1e-9);
        assert_eq!(loads(&names, &[view.clone()]).len(), 1);
        assert_eq!(state(view.state), "gathered");
    }

    #[test]
    fn titles_are_short_and_plain() {
        let title = title(&"g".repeat(500), "A\n");
        assert!(title.len() < 60 && title.ends_with(" A"), "{title}");
    }
}
