//! How many runs there may be.

use serde_json::json;

use super::*;

/// A run with so many contacts, which nobody carries out.
fn run(id: &str, targets: u32) -> (RunId, Arc<Entry>) {
    let id: RunId = id.parse().expect("an id");
    let spec = json!({"command": {"ping": {}}});
    let saved = Saved {
        id: id.clone(),
        incarnation: None,
        spec: serde_json::from_value(spec).expect("a spec"),
        sites: Vec::new(),
        targets,
        state: RunState::Running,
        created_ms: 0,
        started_ms: None,
        ended_ms: None,
        given_up: None,
        summary: None,
        slowest: Vec::new(),
    };
    let me = "c1".parse().expect("a name");
    let dir = RunDir::of(Path::new("/nowhere"), &id);
    (id, entry(dir, &saved, &me, &Summary::default()).0)
}

fn enter(runs: &Runs, id: &str, targets: u32) -> Result<(), String> {
    let (id, entry) = run(id, targets);
    runs.enter(&id, &entry, targets).map_err(|failure| failure.code)
}

fn end(runs: &Runs, id: &str) {
    let entry = runs.entry(&id.parse().expect("an id")).expect("it is there");
    entry.told.view.send_modify(|view| Arc::make_mut(view).state = RunState::Finished);
}

#[test]
fn a_full_line_takes_no_more_until_a_run_has_ended() {
    let runs = Runs::new(Path::new("/nowhere"));
    for number in 0..MAX_OPEN {
        assert_eq!(enter(&runs, &format!("r{number}"), 1), Ok(()));
    }
    assert_eq!(enter(&runs, "more", 1), Err("too_many_runs".to_owned()));
    end(&runs, "r7");
    assert_eq!(enter(&runs, "more", 1), Ok(()));
    assert_eq!(enter(&runs, "yet-more", 1), Err("too_many_runs".to_owned()));
}

#[test]
fn runs_have_so_many_contacts_together_and_no_more() {
    let runs = Runs::new(Path::new("/nowhere"));
    assert_eq!(enter(&runs, "large", MAX_OPEN_CONTACTS - 10), Ok(()));
    assert_eq!(enter(&runs, "small", 11), Err("too_many_runs".to_owned()));
    assert_eq!(enter(&runs, "smaller", 10), Ok(()));
    end(&runs, "large");
    assert_eq!(enter(&runs, "small", 11), Ok(()));
}

#[test]
fn a_name_is_taken_once() {
    let runs = Runs::new(Path::new("/nowhere"));
    assert_eq!(enter(&runs, "mine", 1), Ok(()));
    assert_eq!(enter(&runs, "mine", 1), Err("run_exists".to_owned()));
}
