//! Questions to targets that take a request at once and do it later.

use remuda_model::{
    Failure,
    run::{MAX_TOTAL_MS, Poll},
};
use serde_json::Value;

use super::{
    field::{bad, pointer, size, within},
    fill::FillError,
};
use crate::{HttpUrl, Template, Values, template::Scope};

const URL: &str = "command.http.poll.url";
/// The most values that mean success, and failure.
const MAX_VALUES: usize = 64;
/// The longest name of a job, in bytes.
const MAX_JOB: usize = 1024;

/// Questions after the first answer, checked.
#[derive(Debug)]
pub struct PollPlan {
    /// Milliseconds between two questions.
    pub interval_ms: u64,
    /// After so many milliseconds without a change the target is stuck.
    pub stuck_ms: u64,
    /// How many questions in a row may go wrong.
    pub max_errors: u32,
    /// How long all of it may take in milliseconds.
    pub total_ms: u64,
    url: Template,
    job: Option<String>,
    done: String,
    success: Vec<String>,
    failure: Vec<String>,
}

/// How far a target says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is done.
    Success,
    /// It is done, and it failed; what it said.
    Failure(String),
    /// It is not done; what it said.
    Running(String),
    /// The answer does not say it.
    Missing,
}

impl PollPlan {
    pub(super) fn check(poll: &Poll) -> Result<Self, Failure> {
        size(URL, &poll.url)?;
        let scope = Scope { secrets: false, job: true };
        let url = Template::parse(&poll.url, scope).map_err(|error| bad(URL, error))?;
        if !url.job_is_in_path() {
            return Err(bad(URL, "`{{job}}` stands in the path, after a `/` that is written out"));
        }
        let job_field = "command.http.poll.job";
        match &poll.job {
            Some(job) => pointer(job_field, job)?,
            None if url.has_job() => {
                return Err(bad(job_field, "says where `{{job}}` of the URL is found"));
            }
            None => {}
        }
        pointer("command.http.poll.done", &poll.done)?;
        let values = [("success", &poll.success, 1), ("failure", &poll.failure, 0)];
        for (name, values, least) in values {
            let field = format!("command.http.poll.{name}");
            if !(least..=MAX_VALUES).contains(&values.len()) {
                return Err(bad(&field, format_args!("{least} to {MAX_VALUES} values")));
            }
            values.iter().try_for_each(|value| size(&field, value))?;
        }
        let time = |name: &str, value: Option<u64>, default, least| {
            let field = format!("command.http.poll.{name}");
            within(&field, value.unwrap_or(default), least..=MAX_TOTAL_MS)
        };
        let max_errors = poll.max_errors.unwrap_or(5);
        Ok(Self {
            interval_ms: time("interval_ms", poll.interval_ms, 2_000, 100)?,
            stuck_ms: time("stuck_ms", poll.stuck_ms, 600_000, 100)?,
            max_errors: within("command.http.poll.max_errors", max_errors, 0..=1_000)?,
            total_ms: time("total_ms", poll.total_ms, 3_600_000, 100)?,
            url,
            job: poll.job.clone(),
            done: poll.done.clone(),
            success: poll.success.clone(),
            failure: poll.failure.clone(),
        })
    }

    /// Whether the URL needs what [`job`](Self::job) finds.
    pub fn needs_job(&self) -> bool {
        self.url.has_job()
    }

    /// What the first answer calls the job: a text or a number, of which the part after the last `/`
    /// is taken.
    pub fn job(&self, answer: &Value) -> Option<String> {
        let text = scalar(answer.pointer(self.job.as_deref()?)?)?;
        let job = text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        (1..=MAX_JOB).contains(&job.len()).then(|| job.to_owned())
    }

    /// Where to ask; a path is one at the host of `first`, the URL of the request itself.
    ///
    /// # Errors
    ///
    /// When a value is missing, or it is no URL.
    pub fn url(
        &self,
        first: &HttpUrl,
        values: &Values<'_>,
        job: &str,
    ) -> Result<HttpUrl, FillError> {
        let values = Values { job: Some(job), ..*values };
        let url = self.url.fill_url(&values).map_err(|error| FillError::new(URL, error))?;
        let url = if url.starts_with('/') { first.with_path(&url) } else { HttpUrl::parse(&url) };
        url.map_err(|error| FillError::new(URL, error))
    }

    /// How far an answer says the target is.
    pub fn progress(&self, answer: &Value) -> Progress {
        let Some(value) = answer.pointer(&self.done) else { return Progress::Missing };
        let Some(text) = scalar(value) else { return Progress::Missing };
        let json = value.to_string();
        let is = |wanted: &String| *wanted == text || *wanted == json;
        if self.success.iter().any(is) {
            Progress::Success
        } else if self.failure.iter().any(is) {
            Progress::Failure(text)
        } else {
            Progress::Running(text)
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
