//! Fan-out runs.

use std::time::Duration;

use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use remuda_model::{Failure, RunId, run::RunView};
use remuda_run::{Diff, Groups};

use super::{
    Client,
    body::{Lines, tame},
    dto::{CreateRun, DiffQuery, GroupQuery, RecordLine, RecordQuery, RunList, RunRecord},
    stream::{cut_off, read},
    transport::Call,
};

/// How long a run with very many targets may take to be checked and written down.
const CREATING: Duration = Duration::from_mins(2);
/// How long the records of a large run may take to be read.
const READING: Duration = Duration::from_mins(5);

/// Fan-out: one command for very many targets.
impl Client {
    /// Creates a run. It goes on by itself; with an `id` in the request the call may be repeated.
    ///
    /// # Errors
    ///
    /// `invalid` names what is wrong with the spec or the targets; `run_exists`; `too_many_runs`;
    /// `disk_full`.
    pub async fn create_run(&self, run: &CreateRun) -> Result<RunView, Failure> {
        let mut call = Call::new(Method::POST, "/v1/fanout").body(run)?;
        call.patience = CREATING;
        self.transport.json(call).await
    }

    /// The runs of the cluster, the newest first.
    pub async fn runs(&self) -> Result<RunList, Failure> {
        self.transport.json(Call::new(Method::GET, "/v1/fanout")).await
    }

    /// How a run stands.
    ///
    /// # Errors
    ///
    /// `unknown_run`; `run_unreachable` when a control node that may know it does not answer.
    pub async fn run(&self, run: &RunId) -> Result<RunView, Failure> {
        self.transport.json(Call::new(Method::GET, format!("/v1/fanout/{run}"))).await
    }

    /// Begins no more targets of a run.
    pub async fn pause_run(&self, run: &RunId) -> Result<RunView, Failure> {
        self.change_run(run, "pause").await
    }

    /// Goes on with a run.
    pub async fn resume_run(&self, run: &RunId) -> Result<RunView, Failure> {
        self.change_run(run, "resume").await
    }

    /// Gives up the targets of a run that have no record: they get one that says so.
    pub async fn cancel_run(&self, run: &RunId) -> Result<RunView, Failure> {
        self.change_run(run, "cancel").await
    }

    async fn change_run(&self, run: &RunId, change: &str) -> Result<RunView, Failure> {
        self.transport.json(Call::new(Method::POST, format!("/v1/fanout/{run}/{change}"))).await
    }

    /// Forgets a run that has ended, and its records.
    pub async fn remove_run(&self, run: &RunId) -> Result<(), Failure> {
        self.transport.nothing(Call::new(Method::DELETE, format!("/v1/fanout/{run}"))).await
    }

    /// The records of a run; with `follow` also those that are to come, until it has ended: each
    /// once, also when another control node takes the run over meanwhile.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run). The stream itself breaks off when the control node is lost that this
    /// client speaks to; another one has the records, from the start.
    pub async fn run_records(
        &self,
        run: &RunId,
        query: &RecordQuery,
    ) -> Result<RecordStream, Failure> {
        let mut call = Call::new(Method::GET, format!("/v1/fanout/{run}/results")).query(&[
            ("outcome", encoded(query.outcome.as_deref())),
            ("status", encoded(query.status.as_deref())),
            ("host", encoded(query.host.as_deref())),
            ("text", encoded(query.text.as_deref())),
            ("worker", encoded(query.worker.as_deref())),
            ("min_duration_us", query.min_duration_us.map(|least| least.to_string())),
            ("limit", query.limit.map(|most| most.to_string())),
            ("follow", query.follow.then(|| "true".to_owned())),
        ]);
        call.patience = READING;
        Ok(RecordStream { lines: Lines::new(self.transport.stream(call).await?), ended: false })
    }

    /// The records of a run, grouped.
    pub async fn run_groups(&self, run: &RunId, query: &GroupQuery) -> Result<Groups, Failure> {
        let mut call = Call::new(Method::GET, format!("/v1/fanout/{run}/groups")).query(&[
            ("by", encoded(Some(&query.by))),
            ("hosts", query.hosts.map(|most| most.to_string())),
            ("outcome", encoded(query.outcome.as_deref())),
            ("status", encoded(query.status.as_deref())),
            ("host", encoded(query.host.as_deref())),
        ]);
        call.patience = READING;
        self.transport.json(call).await
    }

    /// What a later run has different from this one.
    pub async fn run_diff(&self, run: &RunId, query: &DiffQuery) -> Result<Diff, Failure> {
        let mut call = Call::new(Method::GET, format!("/v1/fanout/{run}/diff")).query(&[
            ("with", Some(query.with.to_string())),
            ("hosts", query.hosts.map(|most| most.to_string())),
        ]);
        call.patience = READING;
        self.transport.json(call).await
    }
}

/// The records of a run. Dropping it ends the call; the run goes on.
#[derive(Debug)]
pub struct RecordStream {
    lines: Lines,
    ended: bool,
}

impl RecordStream {
    /// The next record, or `None` after the last.
    ///
    /// # Errors
    ///
    /// What the API says of records that cannot be read; `outcome_unknown` with the code
    /// `stream_interrupted` when the stream was cut off. Afterwards there is `None`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<RunRecord>, Failure> {
        if self.ended {
            return Ok(None);
        }
        let line = loop {
            match self.lines.next().await {
                Ok(Some(line)) if line.is_empty() => {}
                Ok(Some(line)) => break read(&line),
                Ok(None) => break Err(cut_off()),
                Err(error) => break Err(error),
            }
        };
        match line {
            Ok(RecordLine::Record(record)) => Ok(Some(record)),
            Ok(RecordLine::End) => {
                self.ended = true;
                Ok(None)
            }
            Ok(RecordLine::Failed { error }) => {
                self.ended = true;
                Err(tame(error))
            }
            Err(error) => {
                self.ended = true;
                Err(error)
            }
        }
    }
}

fn encoded(text: Option<&str>) -> Option<String> {
    text.map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string())
}
