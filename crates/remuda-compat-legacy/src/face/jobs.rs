//! Jobs: asked, searched, dropped.

use remuda_control::RunChange;
use remuda_model::{
    ErrorKind, Failure, RunId,
    run::{RunState, RunView},
};
use remuda_run::Filter;
use remuda_runtime::wall_ms;

use super::{Face, Reply, Wrong};
use crate::{
    job::{self, Info, Load},
    node_data::{self, NodeData},
    params::Call,
};

impl Face {
    /// How a job stands; `null` if there is none of this id.
    pub(super) async fn job_info(&self, call: &Call) -> Result<Reply, Wrong> {
        let view = self.find_job(call.need("jobId")?).await?;
        Reply::json(&view.as_ref().and_then(Info::of))
    }

    /// How all jobs stand, the oldest first.
    pub(super) async fn job_queue(&self) -> Result<Reply, Wrong> {
        let mut views = self.control.runs().await.runs;
        views.reverse();
        Reply::json(&views.iter().filter_map(Info::of).collect::<Vec<_>>())
    }

    pub(super) async fn progress(&self, call: &Call) -> Result<Reply, Wrong> {
        let view = self.job(call).await?;
        Ok(Reply::Text(job::progress(&view).to_string()))
    }

    pub(super) async fn elapsed_time(&self, call: &Call) -> Result<Reply, Wrong> {
        let view = self.job(call).await?;
        Ok(Reply::Text(job::elapsed(&view, wall_ms()).to_string()))
    }

    pub(super) async fn job_state(&self, call: &Call) -> Result<Reply, Wrong> {
        Ok(Reply::Text(job::state(self.job(call).await?.state).to_owned()))
    }

    pub(super) async fn worker_load(&self, call: &Call) -> Result<Reply, Wrong> {
        Reply::json(&Load::of(&self.job(call).await?))
    }

    pub(super) async fn cluster_state(&self) -> Result<Reply, Wrong> {
        let names: Vec<String> =
            self.members().await?.iter().map(|view| view.id.to_string()).collect();
        Reply::json(&job::loads(&names, &self.control.runs().await.runs))
    }

    /// What a node answered in a job, as soon as it did.
    pub(super) async fn search_host(&self, call: &Call) -> Result<Reply, Wrong> {
        let none = Reply::Text("None exist!".to_owned());
        let (job, fqdn) = (call.need("jobId")?, call.need("fqdn")?);
        let Some(view) = self.find_job(job).await? else { return Ok(none) };
        // Hosts are found without looking at all answers; what was called otherwise is not.
        let host = remuda_run::Target::plain(fqdn).ok();
        let host = host.and_then(|target| target.host.parse().ok());
        let mut filters = vec![Filter::default()];
        if host.is_some() {
            filters.insert(0, Filter { host, ..Filter::default() });
        }
        for filter in filters {
            let mut records = self.control.run_records(&view.id, filter, false).await?;
            while let Some(batch) = records.next().await? {
                let found = batch.iter().find(|hosted| node_data::node(hosted) == fqdn);
                if let (Some(hosted), Some(job)) = (found, job::of(&view.spec.vars)) {
                    return Reply::json(&NodeData::of(hosted, &view.spec, job));
                }
            }
        }
        Ok(none)
    }

    /// Gives up the jobs that wait.
    pub(super) async fn reset_scheduler(&self) -> Result<Reply, Wrong> {
        for view in self.control.runs().await.runs {
            if view.state != RunState::Waiting || job::of(&view.spec.vars).is_none() {
                continue;
            }
            match self.control.change_run(&view.id, RunChange::Cancel).await {
                // It has ended meanwhile, or is forgotten.
                Err(failure)
                    if matches!(failure.kind, ErrorKind::Conflict | ErrorKind::NotFound) => {}
                changed => drop(changed?),
            }
        }
        Ok(Reply::Empty)
    }

    /// The job that a call is about.
    async fn job(&self, call: &Call) -> Result<RunView, Wrong> {
        let job = call.need("jobId")?;
        let view = self.find_job(job).await?;
        view.ok_or_else(|| {
            let job: String = job.chars().take(128).collect();
            Failure::not_found(format!("no job {job:?}")).into()
        })
    }

    /// A job, if there is one of this id. Runs that were begun otherwise are none.
    pub(super) async fn find_job(&self, job: &str) -> Result<Option<RunView>, Failure> {
        let Ok(id) = job.parse::<RunId>() else { return Ok(None) };
        match self.control.run(&id).await {
            Ok(view) => Ok(Some(view).filter(|view| job::of(&view.spec.vars).is_some())),
            Err(failure) if failure.kind == ErrorKind::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}
