//! Runs that other control nodes coordinate.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use remuda_link::{Link, Priority, Stream, StreamError};
use remuda_model::{ErrorKind, Failure, NodeId, RunId, run::RunView};
use remuda_run::Filter;
use remuda_wire::message::{
    RUNS,
    runs::{Answer, Call},
};
use tokio::time::timeout;

use super::{RunChange, reading::RecordStream};
use crate::Control;

/// The longest call and the longest answer.
const MAX_CALL: usize = 64 << 10;
const MAX_ANSWER: usize = 64 << 20;
/// How long a control node may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the others may take when all are asked.
const ALL: Duration = Duration::from_secs(2);

impl Control {
    /// The other control nodes that can be asked.
    pub(super) fn other_controls(&self) -> BTreeSet<NodeId> {
        let mut others = self.shared.peers.linked();
        others.remove(&self.shared.me);
        others
    }

    /// The control nodes of the cluster that cannot be asked.
    pub(super) fn unreachable_controls(&self) -> Vec<NodeId> {
        let linked = self.shared.peers.linked();
        let state = self.shared.replica.state();
        state
            .nodes()
            .filter(|node| node.roles.is_control() && !linked.contains(&node.id))
            .map(|node| node.id.clone())
            .collect()
    }

    /// What all the others say to a call; those that do not answer are named apart.
    pub(super) async fn runs_elsewhere(&self, call: &Call) -> (Vec<RunView>, Vec<NodeId>) {
        let asked = self.other_controls().into_iter().map(|control| async move {
            let answer = timeout(ALL, self.ask_runs(&control, call)).await;
            (control, answer)
        });
        let (mut views, mut silent) = (Vec::new(), Vec::new());
        for (control, answer) in join_all(asked).await {
            match answer {
                Ok(Ok(found)) => views.extend(found),
                Ok(Err(failure)) if failure.kind == ErrorKind::NotFound => {}
                Ok(Err(_)) | Err(_) => silent.push(control),
            }
        }
        silent.extend(self.unreachable_controls());
        (views, silent)
    }

    /// Asks one control node for views.
    pub(super) async fn ask_runs(
        &self,
        control: &NodeId,
        call: &Call,
    ) -> Result<Vec<RunView>, Failure> {
        let mut stream = self.open_runs(control, call).await?;
        match receive(control, &mut stream).await? {
            Answer::Views(json) => {
                serde_json::from_slice(&json).map_err(|_error| crate::work::unexpected(control))
            }
            _ => Err(crate::work::unexpected(control)),
        }
    }

    /// Records of a run elsewhere.
    pub(super) async fn records_elsewhere(
        &self,
        control: &NodeId,
        call: &Call,
    ) -> Result<RecordStream, Failure> {
        let mut stream = self.open_runs(control, call).await?;
        let (to, records) = RecordStream::channel();
        let control = control.clone();
        self.shared.supervisor.spawn("records of a run", async move {
            loop {
                let said = tokio::select! {
                    said = stream.recv::<Answer>(MAX_ANSWER) => said,
                    () = to.closed() => return,
                };
                let handed = match said {
                    Ok(Some(Answer::Records(records))) => Ok(Some(records)),
                    Ok(Some(Answer::End)) => Ok(None),
                    Ok(Some(Answer::Failed(failure))) => Err(failure),
                    Ok(Some(Answer::Views(_))) => Err(crate::work::unexpected(&control)),
                    Ok(None) => Err(lost(&control, &StreamError::Truncated)),
                    Err(error) => Err(lost(&control, &error)),
                };
                let is_last = !matches!(handed, Ok(Some(_)));
                if to.send(handed).await.is_err() || is_last {
                    return;
                }
            }
        });
        Ok(records)
    }

    async fn open_runs(&self, control: &NodeId, call: &Call) -> Result<Stream, Failure> {
        let link = self.shared.peers.link_to(control).ok_or_else(|| {
            let text = format!("no link to control node `{control}`, which coordinates the run");
            Failure::new(ErrorKind::Unavailable, text).code("control_unreachable")
        })?;
        let opened = async {
            let mut stream = link
                .open(RUNS, Priority::Bulk)
                .await
                .map_err(|_error| lost(control, &StreamError::Truncated))?;
            stream.send(call).await.map_err(|error| lost(control, &error))?;
            Ok(stream)
        };
        timeout(ANSWER, opened).await.map_err(|_elapsed| silent(control))?
    }

    /// Answers another control node.
    pub(crate) async fn serve_runs(&self, link: Link, mut stream: Stream) {
        if self.is_out(link.peer()) {
            return;
        }
        let Ok(Ok(Some(call))) = timeout(ANSWER, stream.recv::<Call>(MAX_CALL)).await else {
            return;
        };
        let answered = async {
            let sent = match self.answer_runs(call).await {
                Ok(Said::Views(views)) => {
                    let json = serde_json::to_vec(&views).expect("views are plain data");
                    stream.send(&Answer::Views(json)).await
                }
                Ok(Said::Records(mut records)) => loop {
                    match records.next().await {
                        Ok(Some(batch)) => stream.send(&Answer::Records(batch)).await?,
                        Ok(None) => break stream.send(&Answer::End).await,
                        Err(failure) => break stream.send(&Answer::Failed(failure)).await,
                    }
                },
                Err(failure) => stream.send(&Answer::Failed(failure)).await,
            };
            sent?;
            stream.finish()
        };
        if let Err(error) = answered.await {
            tracing::debug!(%error, "an answer about runs broke off");
        }
    }

    async fn answer_runs(&self, call: Call) -> Result<Said, Failure> {
        let change = |run: RunId, change: RunChange| async move {
            Ok(Said::Views(vec![self.change_run_here(&run, change).await?]))
        };
        self.shared.runs.known().await?;
        match call {
            Call::List => Ok(Said::Views(self.runs_here())),
            Call::Show(run) => {
                self.is_up(&run).await;
                Ok(Said::Views(vec![self.run_here(&run)?]))
            }
            Call::Pause(run) => change(run, RunChange::Pause).await,
            Call::Resume(run) => change(run, RunChange::Resume).await,
            Call::Cancel(run) => change(run, RunChange::Cancel).await,
            Call::Remove(run) => Ok(Said::Views(vec![self.remove_run_here(&run).await?])),
            Call::Records { run, filter, follow } => {
                let filter: Filter = serde_json::from_slice(&filter)
                    .map_err(|error| Failure::invalid(format!("malformed filter: {error}")))?;
                self.records_here(&run, filter, follow).await.map(Said::Records)
            }
        }
    }
}

/// What is answered.
enum Said {
    Views(Vec<RunView>),
    Records(RecordStream),
}

async fn receive(control: &NodeId, stream: &mut Stream) -> Result<Answer, Failure> {
    match timeout(ANSWER, stream.recv::<Answer>(MAX_ANSWER)).await {
        Ok(Ok(Some(Answer::Failed(failure)))) => Err(failure),
        Ok(Ok(Some(answer))) => Ok(answer),
        Ok(Ok(None)) => Err(lost(control, &StreamError::Truncated)),
        Ok(Err(error)) => Err(lost(control, &error)),
        Err(_elapsed) => Err(silent(control)),
    }
}

fn silent(control: &NodeId) -> Failure {
    Failure::new(ErrorKind::TimedOut, format!("control node `{control}` does not answer"))
}

fn lost(control: &NodeId, error: &StreamError) -> Failure {
    let text = format!("control node `{control}`, which coordinates the run, was lost: {error}");
    Failure::new(ErrorKind::Unavailable, text).code("control_unreachable")
}
