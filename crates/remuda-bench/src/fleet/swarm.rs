//! All simulated workers together: how many have a session, and since when.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use remuda::model::{Labels, LinkUrl, Role};
use remuda_link::{JoinToken, NodeCertificate, join};
use remuda_runtime::Supervisor;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::worker::{Worker, name};
use crate::agents::Cluster;

/// First contacts at a time: all come from one address, and a listener takes 64 strangers of one.
const JOINS: usize = 48;
/// How often is looked.
const LOOK: Duration = Duration::from_millis(5);

/// What all workers share.
pub(super) struct Swarm {
    pub(super) controls: Vec<LinkUrl>,
    pub(super) size: usize,
    pub(super) supervisor: Supervisor,
    token: JoinToken,
    connected: AtomicUsize,
    /// Sessions that ended without the owner's word.
    lost: AtomicUsize,
    failures: AtomicUsize,
    last_failure: Mutex<String>,
    welcomes: Mutex<Vec<Instant>>,
}

impl Swarm {
    pub(super) fn new(cluster: &Cluster, size: usize) -> Result<Arc<Self>> {
        let controls: Result<_> = cluster.controls().map(|(at, _)| cluster.link(at)).collect();
        Ok(Arc::new(Self {
            controls: controls?,
            size,
            supervisor: Supervisor::new(),
            token: cluster.read("join-token-worker")?.parse()?,
            connected: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
            failures: AtomicUsize::new(0),
            last_failure: Mutex::default(),
            welcomes: Mutex::default(),
        }))
    }

    /// Gets every worker its certificate with the join token.
    pub(super) async fn join(self: &Arc<Self>) -> Result<Vec<Arc<Worker>>> {
        let places = Arc::new(Semaphore::new(JOINS));
        let mut joins = JoinSet::new();
        for number in 0..self.size {
            let (swarm, places) = (Arc::clone(self), Arc::clone(&places));
            joins.spawn(async move {
                let _place = places.acquire().await?;
                let node = name(number)?;
                let first = fastrand::usize(..swarm.controls.len());
                let url = std::slice::from_ref(&swarm.controls[first]);
                let joined = join(url, &swarm.token, &node, Role::Worker).await;
                let (certificate, _) = joined.with_context(|| format!("{node} cannot join"))?;
                anyhow::Ok((number, certificate))
            });
        }
        let mut certificates: Vec<(usize, NodeCertificate)> = Vec::with_capacity(self.size);
        while let Some(joined) = joins.join_next().await {
            certificates.push(joined??);
        }
        let make = |(number, certificate)| {
            let worker = Worker::new(number, &self.token.cluster, certificate, &self.supervisor)?;
            Ok(Arc::new(worker))
        };
        certificates.into_iter().map(make).collect()
    }

    /// Lets the workers live from now on.
    pub(super) fn release(self: &Arc<Self>, workers: &[Arc<Worker>]) {
        for worker in workers {
            self.supervisor.spawn_small("worker", Arc::clone(worker).live(Arc::clone(self)));
        }
    }

    /// Changes a label of all of them.
    pub(super) fn relabel(workers: &[Arc<Worker>], labels: &Labels) {
        for worker in workers {
            worker.relabel(labels);
        }
    }

    pub(super) fn welcomed(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
        self.welcomes.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
    }

    pub(super) fn left(&self, unasked: bool) {
        self.connected.fetch_sub(1, Ordering::Relaxed);
        if unasked {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn failed(&self, error: &anyhow::Error) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        *last = format!("{error:#}");
    }

    /// Sessions that were lost, and attempts that failed, since the last call.
    pub(super) fn losses(&self) -> (usize, usize) {
        (self.lost.swap(0, Ordering::Relaxed), self.failures.swap(0, Ordering::Relaxed))
    }

    /// The welcomes since the last call.
    pub(super) fn welcomes(&self) -> Vec<Instant> {
        std::mem::take(&mut *self.welcomes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until every worker has a session.
    pub(super) async fn complete(&self, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            let connected = self.connected.load(Ordering::Relaxed);
            if connected == self.size {
                return Ok(());
            }
            let why = || self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let size = self.size;
            ensure!(Instant::now() < end, "{connected} of {size} are connected; last: {}", why());
            sleep(LOOK).await;
        }
    }

    /// Waits until some worker has lost its session.
    pub(super) async fn broken(&self, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        while self.connected.load(Ordering::Relaxed) == self.size {
            ensure!(Instant::now() < end, "no worker notices");
            sleep(LOOK).await;
        }
        Ok(())
    }
}
