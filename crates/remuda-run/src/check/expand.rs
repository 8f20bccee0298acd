//! What would be done to a target, for people to read before it is done.

use std::{collections::BTreeMap, fmt};

use remuda_model::run::{Login, PingMode, Secret};

use super::{Checked, FillError, HttpPlan, PingPlan, Plan, SshPlan, TcpPlan};
use crate::{Target, Values, host};

/// How much of a body is shown, in characters.
const SHOWN: usize = 1000;

/// What would be done to a target. Secrets are shown as `***`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expansion {
    /// The target.
    pub host: String,
    /// Lines without control characters.
    pub lines: Vec<String>,
}

impl fmt::Display for Expansion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        for line in &self.lines {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

/// Fills everything in for a target as a worker would, and shows it.
///
/// # Errors
///
/// When a value is missing, or does not belong where it stands.
pub fn expand(checked: &Checked, target: &Target) -> Result<Expansion, FillError> {
    let names = checked.secrets().values.keys();
    let hidden: BTreeMap<String, Secret> =
        names.map(|name| (name.clone(), Secret::from("***".to_owned()))).collect();
    let target = checked.at_a_site(target)?;
    let values = Values { secrets: &hidden, ..checked.values(&target) };
    let texts = match checked.plan() {
        Plan::Http(plan) => http(plan, &values)?,
        Plan::Ssh(plan) => ssh(plan, &values)?,
        Plan::Tcp(plan) => tcp(plan, &values)?,
        Plan::Ping(plan) => ping(plan, &values)?,
    };
    let lines = texts.iter().flat_map(|text| text.split('\n')).map(visible).collect();
    Ok(Expansion { host: target.host.to_string(), lines })
}

fn http(plan: &HttpPlan, values: &Values<'_>) -> Result<Vec<String>, FillError> {
    let call = plan.fill(values)?;
    let mut lines = vec![format!("{} {}", call.method, call.url)];
    lines.extend(call.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    if let Some(name) = &call.tls_name {
        lines.push(format!("(the certificate has the name {name})"));
    }
    if let Some(body) = &call.body {
        lines.push(String::new());
        match std::str::from_utf8(body) {
            Ok(text) => lines.push(beginning(text)),
            Err(_) => lines.push(format!("({} bytes)", body.len())),
        }
    }
    if let Some(poll) = &plan.poll {
        let url = poll.url(&call.url, values, "JOB")?;
        lines.push(format!("(then GET {url} every {} ms)", poll.interval_ms));
    }
    Ok(lines)
}

fn ssh(plan: &SshPlan, values: &Values<'_>) -> Result<Vec<String>, FillError> {
    let call = plan.fill(values)?;
    let with = match plan.login {
        Login::Key => "a key",
        Login::Password => "a password",
        Login::Agent => "the agent",
    };
    let mut lines = vec![format!("{}@{} port {} with {with}", call.user, values.host, call.port)];
    if let Some(sudo) = &plan.sudo {
        lines.push(format!("(as {} by sudo)", sudo.user.as_deref().unwrap_or("root")));
    }
    match &plan.script {
        Some(script) => {
            lines.push(format!("$ SCRIPT {}", call.command));
            lines.push(beginning(script));
        }
        None => lines.push(format!("$ {}", beginning(&call.command))),
    }
    Ok(lines)
}

fn tcp(plan: &TcpPlan, values: &Values<'_>) -> Result<Vec<String>, FillError> {
    let call = plan.fill(values)?;
    let scheme = if plan.tls.is_some() { "tls" } else { "tcp" };
    let mut lines = vec![format!("{scheme}://{}:{}", in_brackets(values.host), call.port)];
    if !call.send.is_empty() {
        lines.push(format!("send {:?}", beginning(&call.send)));
    }
    Ok(lines)
}

fn ping(plan: &PingPlan, values: &Values<'_>) -> Result<Vec<String>, FillError> {
    let call = plan.fill(values)?;
    Ok(vec![match plan.mode {
        PingMode::Auto => format!("ICMP echo, or TCP port {}", call.port),
        PingMode::Icmp => "ICMP echo".to_owned(),
        PingMode::Tcp => format!("TCP port {}", call.port),
    }])
}

fn in_brackets(host: &str) -> String {
    if host::is_ipv6(host) { format!("[{host}]") } else { host.to_owned() }
}

fn beginning(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Without what a terminal would obey.
fn visible(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    for character in line.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}
