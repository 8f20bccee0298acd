//! Command lines over SSH.

use std::borrow::Cow;

use remuda_model::{
    Failure,
    run::{DEFAULT_BODY, HostKeys, Login, MAX_BODY, Secrets, Ssh, Sudo},
};

use super::{
    field::{bad, port, size, template, within},
    fill::{self, FillError},
};
use crate::{Template, Values};

const COMMAND: &str = "command.ssh.command";
const USER: &str = "command.ssh.user";
const PORT: &str = "command.ssh.port";

/// Command lines over SSH, checked.
#[derive(Debug)]
pub struct SshPlan {
    /// A script that is sent over; the command is its arguments then.
    pub script: Option<String>,
    /// How the run proves who it is.
    pub login: Login,
    /// Which targets are believed.
    pub host_keys: HostKeys,
    /// Lines in the form of OpenSSH's `known_hosts`.
    pub known_hosts: Option<String>,
    /// As whom `sudo` runs it.
    pub sudo: Option<Sudo>,
    /// How much of each output is kept, in bytes.
    pub keep: usize,
    command: Template,
    user: Template,
    port: Option<Template>,
}

/// The command line for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshCall<'a> {
    /// The command line.
    pub command: Cow<'a, str>,
    /// Who logs in.
    pub user: Cow<'a, str>,
    /// The port.
    pub port: u16,
}

impl SshPlan {
    pub(super) fn check(ssh: &Ssh, secrets: &Secrets) -> Result<Self, Failure> {
        if ssh.command.trim().is_empty() && ssh.script.is_none() {
            return Err(bad(COMMAND, "neither a command nor a script"));
        }
        if ssh.user.is_empty() {
            return Err(bad(USER, "who logs in is missing"));
        }
        for (field, text) in [("script", &ssh.script), ("known_hosts", &ssh.known_hosts)] {
            size(&format!("command.ssh.{field}"), text.as_deref().unwrap_or_default())?;
        }
        if ssh.script.as_deref().is_some_and(|script| script.trim().is_empty()) {
            return Err(bad("command.ssh.script", "it is empty"));
        }
        check_login(ssh, secrets)?;
        if let Some(user) = ssh.sudo.as_ref().and_then(|sudo| sudo.user.as_deref())
            && !is_user(user)
        {
            return Err(bad("command.ssh.sudo.user", "not the name of a user"));
        }
        let keep = ssh.output.unwrap_or(DEFAULT_BODY);
        Ok(Self {
            script: ssh.script.clone(),
            login: ssh.login,
            host_keys: ssh.host_keys,
            known_hosts: ssh.known_hosts.clone(),
            sudo: ssh.sudo.clone(),
            keep: within("command.ssh.output", keep, 0..=MAX_BODY)? as usize,
            command: template(COMMAND, &ssh.command)?,
            user: template(USER, &ssh.user)?,
            port: ssh.port.as_deref().map(|text| port(PORT, text)).transpose()?,
        })
    }

    /// The command line for a target.
    ///
    /// # Errors
    ///
    /// When a value is missing, or does not belong where it stands.
    pub fn fill<'a>(&'a self, values: &Values<'a>) -> Result<SshCall<'a>, FillError> {
        let command = fill::text(COMMAND, &self.command, values)?;
        if command.contains('\0') {
            return Err(FillError::new(COMMAND, "a command has no zero bytes"));
        }
        if command.trim().is_empty() && self.script.is_none() {
            return Err(FillError::new(COMMAND, "it is empty"));
        }
        Ok(SshCall {
            command,
            user: fill::line(USER, &self.user, values)?,
            port: fill::port(PORT, self.port.as_ref(), 22, values)?,
        })
    }
}

fn check_login(ssh: &Ssh, secrets: &Secrets) -> Result<(), Failure> {
    let missing = |field, what| Err(bad(field, format_args!("no {what} was given")));
    match ssh.login {
        Login::Key if secrets.key.is_none() => missing("command.ssh.login", "key"),
        Login::Password if secrets.password.is_none() => missing("command.ssh.login", "password"),
        _ if ssh.sudo.as_ref().is_some_and(|sudo| sudo.password) && secrets.password.is_none() => {
            missing("command.ssh.sudo.password", "password")
        }
        _ => Ok(()),
    }
}

/// Whether it can be the argument of `sudo -u`, and of nothing else.
fn is_user(name: &str) -> bool {
    (1..=256).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.@#$".contains(&byte))
}
