//! How a worker contacts one target: what a run says is made ready once, then each attempt is a
//! future that ends within its limits and leaves nothing behind.

mod connect;
mod draft;
mod http;
mod ping;
mod ssh;
mod stop;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;

use std::{
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::future::BoxFuture;
use remuda_discovery::dns::Names;
use remuda_model::{
    Failure,
    run::{Command, Limits, Outcome, Record, RunSpec, Secrets, TroubleKind},
};
use remuda_run::{
    Checked, Target, Values,
    check::{self, FillError, Plan},
};
use remuda_wire::message::run::Given;
use tokio::time::timeout;

pub(crate) use self::{
    draft::{Draft, Kept},
    stop::Stop,
};
use crate::{
    Again, Attempt, Contact, Opener,
    policy::{Policy, PolicyConfig},
    resolve::Gate,
};

/// What all runs of a worker share.
#[derive(Debug)]
pub struct Shared {
    policy: PolicyConfig,
    names: Names,
    roots: tls::Roots,
    user: ssh::User,
}

impl Shared {
    /// Asks the name servers of the system.
    pub fn new(policy: PolicyConfig) -> Self {
        Self::with_names(policy, Names::new(None))
    }

    /// Asks these name servers.
    pub fn with_names(policy: PolicyConfig, names: Names) -> Self {
        Self { policy, names, roots: tls::Roots::default(), user: ssh::User::from_environment() }
    }

    /// Makes what contacts the targets of runs, for an [`Engine`](crate::Engine).
    pub fn opener(self) -> Opener {
        let shared = Arc::new(self);
        Arc::new(move |spec: RunSpec, secrets: Secrets| {
            let shared = shared.clone();
            Box::pin(async move {
                // Opening a key and reading known hosts take their time.
                let made =
                    tokio::task::spawn_blocking(move || Contactor::new(&spec, &secrets, shared));
                let made = made.await.map_err(|error| Failure::internal(&error))??;
                Ok(Arc::new(made) as Arc<dyn Contact>)
            })
        })
    }

    /// The gate as it is now: addresses of the machine come and go.
    fn gate(&self) -> Gate {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
            tracing::warn!(%error, "the addresses of this machine cannot be read");
            Vec::new()
        });
        let local: Vec<IpAddr> = interfaces.iter().map(if_addrs::Interface::ip).collect();
        Gate::new(self.names.clone(), Policy::new(self.policy.clone(), local))
    }
}

/// How one run contacts its targets.
pub struct Contactor {
    checked: Checked,
    prepared: Prepared,
    gate: Gate,
    shared: Arc<Shared>,
}

/// What is made of the plan of a run once, for all of its targets.
enum Prepared {
    Http(http::Common),
    Ssh(Box<ssh::Common>),
    Tcp(Option<tls::Judge>),
    Ping,
}

impl fmt::Debug for Contactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contactor").finish_non_exhaustive()
    }
}

impl Contactor {
    /// Checks a run and makes it ready.
    ///
    /// # Errors
    /// Something of it is malformed, or lacks a secret.
    pub fn new(spec: &RunSpec, secrets: &Secrets, shared: Arc<Shared>) -> Result<Self, Failure> {
        let checked = remuda_run::check(spec, secrets)?;
        let prepared = match (&spec.command, checked.plan()) {
            (Command::Http(http), Plan::Http(plan)) => {
                Prepared::Http(http::Common::new(http, plan)?)
            }
            (_, Plan::Ssh(plan)) => {
                Prepared::Ssh(Box::new(ssh::Common::new(plan, secrets, &shared.user)?))
            }
            (_, Plan::Tcp(plan)) => {
                let judge = plan.tls.as_ref().map(|tls| tls::Judge::new(tls, None));
                Prepared::Tcp(judge.transpose()?)
            }
            _ => Prepared::Ping,
        };
        Ok(Self { checked, prepared, gate: shared.gate(), shared })
    }

    async fn once(&self, given: &Given) -> Attempt {
        let started_ms = SystemTime::now().duration_since(UNIX_EPOCH);
        let started_ms = started_ms.map_or(0, millis);
        let began = Instant::now();
        let mut draft = Draft::new();
        let total = self.total();
        let ended = timeout(total, self.run(given, &mut draft)).await;
        let ended = ended.unwrap_or_else(|_late| {
            let kind = match draft.moment {
                Again::NothingSent => TroubleKind::ConnectTimeout,
                _ => TroubleKind::Timeout,
            };
            Err(Stop::passing(kind, format!("not done in {} ms", total.as_millis())))
        });
        let (outcome, trouble, again) = match ended {
            Ok(()) => (Outcome::Ok, None, Again::No),
            Err(stop) => (stop.outcome(), Some(stop.trouble.clone()), stop.again(draft.moment)),
        };
        let record = Record {
            index: given.index,
            outcome,
            status: draft.status,
            trouble,
            started_ms,
            duration_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
            attempts: 1,
            worker: None,
            address: draft.address,
            headers: draft.headers,
            truncated: draft.body.is_truncated() || draft.stderr.is_truncated(),
            body: draft.body.into_vec(),
            stderr: draft.stderr.into_vec(),
        };
        Attempt { record, again }
    }

    fn total(&self) -> Duration {
        match self.checked.plan() {
            Plan::Http(check::HttpPlan { poll: Some(poll), .. }) => limit(poll.total_ms),
            _ => limit(self.limits().total_ms),
        }
    }

    fn limits(&self) -> &Limits {
        &self.checked.spec().limits
    }

    async fn run(&self, given: &Given, draft: &mut Draft) -> Result<(), Stop> {
        let visit = &Visit { target: target(given)?, run: self };
        match (self.checked.plan(), &self.prepared) {
            (Plan::Http(plan), Prepared::Http(common)) => {
                http::run(plan, common, visit, draft).await
            }
            (Plan::Tcp(plan), Prepared::Tcp(judge)) => {
                tcp::run(plan, judge.as_ref(), visit, draft).await
            }
            (Plan::Ping(plan), _) => ping::run(plan, visit, draft).await,
            // Much larger than the others, of which there are more.
            (Plan::Ssh(plan), Prepared::Ssh(common)) => {
                Box::pin(ssh::run(plan, common, visit, draft)).await
            }
            _ => Err(Stop::new(TroubleKind::Internal, "the run was made ready as another one")),
        }
    }
}

impl Contact for Contactor {
    fn attempt<'a>(&'a self, given: &'a Given) -> BoxFuture<'a, Attempt> {
        Box::pin(self.once(given))
    }
}

/// A target as it was given.
fn target(given: &Given) -> Result<Target, Stop> {
    let vars = given.vars.iter().map(|(name, value)| (&**name, &**value));
    Target::new(&given.host, vars)
        .map_err(|error| Stop::new(TroubleKind::Template, error.to_string()))
}

/// One target of a run, and what its attempt may use.
pub(crate) struct Visit<'a> {
    target: Target,
    run: &'a Contactor,
}

impl Visit<'_> {
    /// What a plan is for this target.
    pub(crate) fn fill<'a, T>(
        &'a self,
        fill: impl FnOnce(&Values<'a>) -> Result<T, FillError>,
    ) -> Result<T, Stop> {
        let values = self.run.checked.values(&self.target);
        fill(&values).map_err(|error| Stop { trouble: error.into(), passes: false })
    }

    pub(crate) fn host(&self) -> &str {
        &self.target.host
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.run.gate
    }

    pub(crate) fn roots(&self) -> &tls::Roots {
        &self.run.shared.roots
    }

    pub(crate) fn connect_limit(&self) -> Duration {
        limit(self.run.limits().connect_ms)
    }

    pub(crate) fn first_byte(&self) -> Duration {
        limit(self.run.limits().first_byte_ms)
    }

    /// How long one request may take.
    pub(crate) fn one_request(&self) -> Duration {
        limit(self.run.limits().total_ms)
    }
}

fn limit(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
