//! Checks a run before it starts, and prepares what is filled in for each target.
//!
//! [`check`] looks at the spec by itself, [`check_targets`] at the spec with its targets. What passes
//! both can be sent; a worker checks the spec again, since it believes nobody, and then fills
//! [`Plan`]s only.

use std::{borrow::Cow, sync::Arc};

use remuda_model::{
    Failure,
    run::{Command, RunSpec, Secrets},
};

use crate::{
    Target, Values,
    target::{MAX_VARS, TargetError, is_var_name},
};

mod expand;
mod field;
mod fill;
mod http;
mod limits;
mod poll;
mod ssh;
mod targets;
mod tcp;
mod tls;

pub use expand::{Expansion, expand};
pub use field::MAX_TEXT;
pub use fill::FillError;
pub use http::{HttpCall, HttpPlan};
pub use poll::{PollPlan, Progress};
pub use ssh::{SshCall, SshPlan};
pub use targets::check_targets;
pub use tcp::{PingCall, PingPlan, TcpCall, TcpPlan};
pub use tls::TlsPlan;

use field::{bad, size};

/// The longest name of a run, in bytes.
const MAX_NAME: usize = 200;
/// The most secrets with names of their own.
const MAX_SECRETS: usize = 64;

/// A run that can be done, its templates parsed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Checked {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    spec: RunSpec,
    secrets: Secrets,
    plan: Plan,
}

/// What is done to each target, ready to be filled in with its [`Values`].
#[derive(Debug)]
pub enum Plan {
    /// An HTTP request.
    Http(HttpPlan),
    /// A command line over SSH.
    Ssh(SshPlan),
    /// Bytes over TCP.
    Tcp(TcpPlan),
    /// Whether the target is there.
    Ping(PingPlan),
}

impl Checked {
    /// What was checked.
    pub fn spec(&self) -> &RunSpec {
        &self.inner.spec
    }

    /// What nobody may read.
    pub fn secrets(&self) -> &Secrets {
        &self.inner.secrets
    }

    /// What is done to each target.
    pub fn plan(&self) -> &Plan {
        &self.inner.plan
    }

    /// What the templates are filled with for a target.
    pub fn values<'a>(&'a self, target: &'a Target) -> Values<'a> {
        Values {
            host: &target.host,
            vars: &target.vars,
            run_vars: &self.inner.spec.vars,
            secrets: &self.inner.secrets.values,
            job: None,
        }
    }

    /// The target as a worker gets it: with `from_each`, `{{vars.site}}` is the site. Which sites
    /// there are is not known yet; `1` does as a part of a name and as a port.
    fn at_a_site<'a>(&self, target: &'a Target) -> Result<Cow<'a, Target>, FillError> {
        if self.inner.spec.from_each.is_none() {
            return Ok(Cow::Borrowed(target));
        }
        let own = target.vars.iter().cloned();
        let there = Target::new(&target.host, own.chain([("site".into(), "1".into())]));
        there.map(Cow::Owned).map_err(|error| match error {
            TargetError::VarTwice(_) => {
                let reason = "with `from_each` this is the site, and no value of the target";
                FillError::new("vars.site", reason)
            }
            error => FillError::new("vars", error),
        })
    }

    /// Whether all texts can be made for a target.
    ///
    /// # Errors
    ///
    /// Names the field and what is wrong with it for this target.
    pub fn check_target(&self, target: &Target) -> Result<(), FillError> {
        let target = self.at_a_site(target)?;
        let values = self.values(&target);
        match &self.inner.plan {
            Plan::Http(plan) => plan.check_target(&values),
            Plan::Ssh(plan) => plan.fill(&values).map(drop),
            Plan::Tcp(plan) => plan.fill(&values).map(drop),
            Plan::Ping(plan) => plan.fill(&values).map(drop),
        }
    }
}

/// Checks everything that can be known of a run without its targets.
///
/// # Errors
///
/// Names the first field that is wrong, such as `command.http.url`, and why.
pub fn check(spec: &RunSpec, secrets: &Secrets) -> Result<Checked, Failure> {
    check_run(spec)?;
    check_secrets(secrets)?;
    limits::check(&spec.limits)?;
    if spec.at_most_once && spec.limits.retries > 0 {
        return Err(bad("limits.retries", "a run that contacts no target twice has no retries"));
    }
    let plan = match &spec.command {
        Command::Http(http) => Plan::Http(HttpPlan::check(http, secrets)?),
        Command::Ssh(ssh) => Plan::Ssh(SshPlan::check(ssh, secrets)?),
        Command::Tcp(tcp) => Plan::Tcp(TcpPlan::check(tcp, secrets)?),
        Command::Ping(ping) => Plan::Ping(PingPlan::check(ping, spec.at_most_once)?),
    };
    let inner = Inner { spec: spec.clone(), secrets: secrets.clone(), plan };
    Ok(Checked { inner: Arc::new(inner) })
}

fn check_run(spec: &RunSpec) -> Result<(), Failure> {
    if let Some(name) = &spec.name
        && (name.trim().is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control))
    {
        return Err(bad("name", format_args!("1 to {MAX_NAME} bytes, without control characters")));
    }
    if spec.vars.len() > MAX_VARS {
        return Err(bad("vars", format_args!("at most {MAX_VARS} variables")));
    }
    for (name, value) in &spec.vars {
        check_value("vars", name, value)?;
    }
    match &spec.from_each {
        Some(label) if !is_label_name(label) => {
            Err(bad("from_each", "the name of a label: no white space, `,` or `;`"))
        }
        _ => Ok(()),
    }
}

fn check_secrets(secrets: &Secrets) -> Result<(), Failure> {
    if secrets.values.len() > MAX_SECRETS {
        return Err(bad("secrets.values", format_args!("at most {MAX_SECRETS} secrets")));
    }
    for (name, value) in &secrets.values {
        check_value("secrets.values", name, value.reveal())?;
    }
    let single = [("password", &secrets.password), ("passphrase", &secrets.passphrase)];
    for (name, secret) in single {
        let field = format!("secrets.{name}");
        let text = secret.as_ref().map_or("", |secret| secret.reveal());
        size(&field, text)?;
        if text.contains(['\0', '\n', '\r']) {
            // It is sent as one line.
            return Err(bad(&field, "one line, without zero bytes"));
        }
    }
    match &secrets.key {
        Some(key) if !key.reveal().trim_start().starts_with("-----BEGIN") => {
            Err(bad("secrets.key", "not a private key: it begins with `-----BEGIN`"))
        }
        Some(key) => size("secrets.key", key.reveal()),
        None => Ok(()),
    }
}

fn check_value(field: &str, name: &str, value: &str) -> Result<(), Failure> {
    if !is_var_name(name) {
        let name = crate::shortened(name);
        return Err(bad(
            field,
            format_args!("`{name}` is no name: {}", crate::target::VAR_NAME_RULE),
        ));
    }
    size(&format!("{field}.{name}"), value)
}

fn is_label_name(name: &str) -> bool {
    (1..=256).contains(&name.len())
        && !name.contains(|character: char| {
            character.is_whitespace() || character.is_control() || matches!(character, ',' | ';')
        })
}

#[cfg(test)]
mod tests;
