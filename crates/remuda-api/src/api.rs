//! What handlers share.

use std::net::IpAddr;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use remuda_control::Control;
use remuda_model::{Failure, NodeId, TaskId, TaskRecord};
use remuda_runtime::{CancellationToken, Supervisor, metrics::Page};
use remuda_wire::message::work;

use crate::{
    config::{ApiConfig, ApiLimits},
    guard::{Hosts, Throttle},
    metrics::{MoreMetrics, Stats},
};

/// How long calls to a worker may take that only say something.
pub(crate) const WORK_DEADLINE: Duration = Duration::from_secs(30);

/// What handlers share; cheap to clone.
#[derive(Clone)]
pub(crate) struct Api(Arc<Shared>);

struct Shared {
    control: Control,
    hosts: Hosts,
    limits: ApiLimits,
    throttle: Mutex<Throttle>,
    supervisor: Supervisor,
    since: Instant,
    stats: Stats,
    open_metrics: bool,
    more_metrics: Option<MoreMetrics>,
    in_the_clear: bool,
}

impl Api {
    pub(crate) fn new(
        config: &ApiConfig,
        hosts: Hosts,
        control: Control,
        supervisor: Supervisor,
    ) -> Self {
        Self(Arc::new(Shared {
            control,
            hosts,
            limits: config.limits.clone(),
            throttle: Mutex::new(Throttle::new(config.limits.failures_per_second)),
            supervisor,
            since: Instant::now(),
            stats: Stats::new(),
            open_metrics: config.open_metrics,
            more_metrics: config.more_metrics.clone(),
            in_the_clear: config.in_the_clear(),
        }))
    }

    pub(crate) fn control(&self) -> &Control {
        &self.0.control
    }

    pub(crate) fn hosts(&self) -> &Hosts {
        &self.0.hosts
    }

    pub(crate) fn limits(&self) -> &ApiLimits {
        &self.0.limits
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.0.stats
    }

    /// Whether `/metrics` needs no token.
    pub(crate) fn has_open_metrics(&self) -> bool {
        self.0.open_metrics
    }

    /// Whether others could read what the API sends.
    pub(crate) fn is_in_the_clear(&self) -> bool {
        self.0.in_the_clear
    }

    /// Everything that is counted here, for Prometheus. May read files of the kernel.
    pub(crate) fn metrics(&self) -> String {
        let mut page = Page::new();
        self.control().write_metrics(&mut page);
        self.0.stats.write(&mut page);
        if let Some(more) = &self.0.more_metrics {
            more.write(&mut page);
        }
        page.into_text()
    }

    pub(crate) fn supervisor(&self) -> &Supervisor {
        &self.0.supervisor
    }

    pub(crate) fn stopping(&self) -> CancellationToken {
        self.0.supervisor.token()
    }

    /// Counts a wrong token; tells whether its source tries too many.
    pub(crate) fn wrong_token(&self, source: IpAddr) -> bool {
        let second = self.0.since.elapsed().as_secs();
        self.0.throttle.lock().unwrap_or_else(PoisonError::into_inner).failed(source, second)
    }

    /// Where a task runs: as the caller says, or as the nodes say.
    pub(crate) async fn locate(
        &self,
        task: &TaskId,
        node: Option<NodeId>,
    ) -> Result<NodeId, Failure> {
        match node {
            Some(node) => Ok(node),
            None => Ok(self.control().find_task(task, None).await?.node),
        }
    }

    /// Does something on a node. What a job class refuses is an error here.
    pub(crate) async fn work(
        &self,
        node: &NodeId,
        op: work::Op,
        deadline: Duration,
    ) -> Result<work::Done, Failure> {
        match self.control().work(node, op, deadline).await? {
            work::Done::Refused(failure) => Err(failure),
            done => Ok(done),
        }
    }

    /// Starts a task; the record is what the node made of it.
    pub(crate) async fn start(&self, node: &NodeId, op: work::Op) -> Result<TaskRecord, Failure> {
        match self.work(node, op, WORK_DEADLINE).await? {
            work::Done::Started(record) => Ok(*record),
            other => Err(unexpected(&other)),
        }
    }
}

/// A worker answered something that was not asked.
pub(crate) fn unexpected(done: &work::Done) -> Failure {
    let what = match done {
        work::Done::Payload(_) => "a payload",
        work::Done::Refused(_) => "a refusal",
        work::Done::Started(_) => "a start",
        work::Done::Accepted => "consent",
        work::Done::Tasks(_) => "tasks",
        work::Done::Task(_) => "a task",
    };
    Failure::new(
        remuda_model::ErrorKind::Internal,
        format!("the node answered with {what}, which was not asked"),
    )
}
