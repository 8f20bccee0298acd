//! Results as they come, put together or one by one.

use std::{io, time::Duration};

use axum::body::{Body, Bytes};
use futures_util::stream;
use remuda_control::RecordStream;
use remuda_model::{ErrorKind, Failure, run::RunView};
use remuda_wire::message::runs::Hosted;
use tokio::time::{Instant, timeout_at};

use crate::{
    aggregate::{Aggregated, Aggregation},
    conf::Rule,
    job,
    node_data::{NodeData, Response, node},
};

/// How long a caller waits for the end of a job.
const WAIT: Duration = Duration::from_mins(42);

/// Records of a run until its end, for as long as a caller waits.
pub(super) struct Awaited {
    records: RecordStream,
    until: Instant,
}

impl Awaited {
    pub(super) fn new(records: RecordStream) -> Self {
        Self { records, until: Instant::now() + WAIT }
    }

    async fn next(&mut self) -> Result<Option<Vec<Hosted>>, Failure> {
        timeout_at(self.until, self.records.next()).await.map_err(|_elapsed| {
            Failure::new(ErrorKind::TimedOut, "the job did not end in time")
                .hint("it goes on; `remuda fanout list` shows it")
        })?
    }

    /// Waits for the end.
    pub(super) async fn end(mut self) -> Result<(), Failure> {
        while self.next().await?.is_some() {}
        Ok(())
    }

    /// Waits for the end and puts the results together.
    pub(super) async fn aggregated(
        mut self,
        rule: Rule,
        view: &RunView,
        skipped: &[String],
    ) -> Result<Aggregated, Failure> {
        let too_large = |error: crate::aggregate::TooLarge| {
            Failure::new(ErrorKind::NoCapacity, error.to_string())
        };
        let mut aggregation = Aggregation::new(rule);
        while let Some(batch) = self.next().await? {
            let Some(job) = job::of(&view.spec.vars) else { continue };
            for hosted in batch {
                let response = Response::of(&hosted.record, &view.spec, job);
                aggregation.add(node(&hosted), &response).map_err(too_large)?;
            }
        }
        skipped.iter().try_for_each(|node| aggregation.skipped(node)).map_err(too_large)?;
        Ok(aggregation.finish())
    }
}

/// What is still to be written of a map of results.
struct Writing {
    records: Awaited,
    view: RunView,
    skipped: Vec<String>,
    /// The one node that is wanted.
    only: Option<String>,
    is_first: bool,
    is_over: bool,
}

/// Results by node, as they come. Broken off where records cannot be read.
pub(super) fn map(
    records: RecordStream,
    view: RunView,
    skipped: Vec<String>,
    only: Option<String>,
) -> Body {
    let records = Awaited::new(records);
    let writing = Writing { records, view, skipped, only, is_first: true, is_over: false };
    Body::from_stream(stream::try_unfold(writing, |mut writing| async move {
        if writing.is_over {
            return Ok::<_, io::Error>(None);
        }
        let mut text = Vec::new();
        let next = writing.records.next().await.map_err(io::Error::other)?;
        match next {
            Some(batch) => writing.write(&batch, &mut text)?,
            None => writing.finish(&mut text)?,
        }
        Ok(Some((Bytes::from(text), writing)))
    }))
}

impl Writing {
    fn write(&mut self, batch: &[Hosted], text: &mut Vec<u8>) -> io::Result<()> {
        let Some(job) = job::of(&self.view.spec.vars) else { return Ok(()) };
        let wanted = batch
            .iter()
            .filter(|hosted| self.only.as_deref().is_none_or(|only| node(hosted) == only));
        let wanted: Vec<NodeData> =
            wanted.map(|hosted| NodeData::of(hosted, &self.view.spec, job)).collect();
        wanted.iter().try_for_each(|data| self.entry(data, text))
    }

    fn finish(&mut self, text: &mut Vec<u8>) -> io::Result<()> {
        let command = job::of(&self.view.spec.vars).map(|job| job.command.to_owned());
        for node in std::mem::take(&mut self.skipped) {
            self.entry(&NodeData::skipped(&node, command.as_deref().unwrap_or_default()), text)?;
        }
        text.extend_from_slice(if self.is_first { b"{}" } else { b"}" });
        self.is_over = true;
        Ok(())
    }

    fn entry(&mut self, data: &NodeData, text: &mut Vec<u8>) -> io::Result<()> {
        text.push(if self.is_first { b'{' } else { b',' });
        self.is_first = false;
        serde_json::to_writer(&mut *text, &data.fqdn)?;
        text.push(b':');
        serde_json::to_writer(text, data)?;
        Ok(())
    }
}

/// The same when nobody was contacted.
pub(super) fn none(skipped: &[String], command: &str) -> Result<Vec<u8>, Failure> {
    let data = skipped.iter().map(|node| (node.clone(), NodeData::skipped(node, command)));
    let data: std::collections::BTreeMap<String, NodeData> = data.collect();
    serde_json::to_vec(&data).map_err(|error| Failure::internal(&error))
}
