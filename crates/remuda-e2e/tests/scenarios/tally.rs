//! Requests that leave a line each, so that one can count how often each was done.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use remuda::client::Client;
use remuda_e2e::id;
use remuda_model::Failure;
use serde_json::json;

/// How long a node may take for one of them.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was asked, and what came of it.
pub(crate) struct Tally {
    file: PathBuf,
    asked: Vec<(String, Result<(), Failure>)>,
}

impl Tally {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { file: dir.join("tally"), asked: Vec::new() }
    }

    /// Asks a node once; whether it was done for sure.
    pub(crate) async fn ask(&mut self, client: &Client, node: &str) -> bool {
        let line = format!("{node}-{}", self.asked.len());
        let script = format!("echo {line} >> {}", self.file.display());
        let (class, request) = ("exec".parse(), json!({"argv": ["sh", "-c", script]}));
        let class = class.expect("a class");
        let answer = client.request(&id(node), &class, request, Some(PATIENCE)).await;
        let is_done = answer.is_ok();
        self.asked.push((line, answer.map(|_answer| ())));
        is_done
    }

    /// What answered requests came to is there once, what refused ones came to is not, and nothing
    /// was done twice. How many were answered.
    pub(crate) fn check(&self) -> usize {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        for (line, answer) in &self.asked {
            let times = text.lines().filter(|done| done == line).count();
            let allowed = match answer {
                Ok(()) => 1..=1,
                Err(failure) if failure.kind.nothing_was_done() => 0..=0,
                Err(_) => 0..=1,
            };
            assert!(allowed.contains(&times), "{line} was done {times} times: {answer:?}");
        }
        self.asked.iter().filter(|(_, answer)| answer.is_ok()).count()
    }
}
