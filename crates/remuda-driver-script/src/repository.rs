//! The job class `repository`.

use std::{collections::BTreeMap, sync::Arc};

use remuda_model::Failure;
use remuda_plugin::{RawTask, Running};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    held::{Held, Process, line},
    only_tasks::Scripts,
    script::Script,
    task_dir::TaskDir,
};

mod address;
mod git;

pub(crate) use git::clone;

/// How many commands one task may name.
const MAX_COMMANDS: usize = 100;

/// A command: the program and its arguments.
pub(crate) type Argv = Vec<String>;

/// A repository to clone, and what to do with it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositorySpec {
    /// Its address: `https://HOST/PATH`, `ssh://USER@HOST/PATH` or `USER@HOST:PATH`.
    #[serde(default)]
    pub url: Option<String>,
    /// Instead of the address: a user of GitHub, …
    #[serde(default)]
    pub user: Option<String>,
    /// … and the name of a repository of that user.
    #[serde(default)]
    pub repo: Option<String>,
    /// A branch, a tag or a full commit id; by default what the repository shows first.
    #[serde(default)]
    pub revision: Option<String>,
    /// The folder of the repository in which the commands run; by default its top.
    #[serde(default)]
    pub dir: Option<String>,
    /// Commands that must succeed one after the other before the command.
    #[serde(default)]
    pub pre: Vec<Vec<String>>,
    /// The command. Its end is that of the task.
    pub command: Vec<String>,
    /// Commands that run after the command, however it and those before it have ended.
    #[serde(default)]
    pub post: Vec<Vec<String>>,
    /// Variables added to the environment, or replaced in it. `git` sees the few that it may.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Whether to begin with an empty environment instead of the agent's.
    #[serde(default)]
    pub clear_env: bool,
    /// What the command reads, as for the class `exec`.
    #[serde(default)]
    pub stdin: Option<Value>,
    /// How long all of it may take, in milliseconds.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// How much output is kept, in bytes; by default 64 MiB.
    #[serde(default)]
    pub max_output_bytes: Option<u64>,
}

/// The same, checked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Checkout {
    pub(crate) url: String,
    pub(crate) revision: Option<String>,
    pub(crate) dir: Option<String>,
    pub(crate) pre: Vec<Argv>,
    pub(crate) command: Argv,
    pub(crate) post: Vec<Argv>,
    /// Whether the address may be one of this machine.
    pub(crate) allow_file: bool,
}

impl RepositorySpec {
    fn checkout(&self, allow_file: bool) -> Result<Checkout, Failure> {
        let url = match (&self.url, &self.user, &self.repo) {
            (Some(url), None, None) => url.clone(),
            (None, Some(user), Some(repo)) => address::github(user, repo)?,
            _ => {
                return Err(Failure::invalid("url: the repository is missing, or named twice")
                    .hint("give either url, or user and repo for one of GitHub"));
            }
        };
        address::check_url(&url, allow_file)?;
        if let Some(revision) = &self.revision {
            address::check_revision(revision)?;
        }
        if let Some(dir) = &self.dir {
            address::check_dir(dir)?;
        }
        check_command("command", &self.command)?;
        for (field, commands) in [("pre", &self.pre), ("post", &self.post)] {
            if commands.len() > MAX_COMMANDS {
                return Err(Failure::invalid(format!(
                    "{field}: more than {MAX_COMMANDS} commands"
                )));
            }
            for command in commands {
                check_command(field, command)?;
            }
        }
        Ok(Checkout {
            url,
            revision: self.revision.clone(),
            dir: self.dir.clone(),
            pre: self.pre.clone(),
            command: self.command.clone(),
            post: self.post.clone(),
            allow_file,
        })
    }
}

fn check_command(field: &str, argv: &[String]) -> Result<(), Failure> {
    if argv.first().is_none_or(String::is_empty) {
        return Err(Failure::invalid(format!("{field}: the name of a program is missing"))
            .hint("give the program and its arguments as a list, such as [\"make\", \"test\"]"));
    }
    if argv.iter().any(|argument| argument.contains('\0')) {
        return Err(Failure::invalid(format!("{field}: an argument holds a zero byte")));
    }
    Ok(())
}

pub(crate) struct Repositories {
    allow_file: bool,
    held: Arc<Held>,
}

impl Repositories {
    pub(crate) fn new(allow_file: bool, held: Arc<Held>) -> Self {
        Self { allow_file, held }
    }
}

impl Scripts for Repositories {
    const NAME: &'static str = "repository";
    type Spec = RepositorySpec;

    fn held(&self) -> &Held {
        &self.held
    }

    async fn run(&self, task: RawTask, spec: RepositorySpec) -> Result<Running, Failure> {
        let checkout = spec.checkout(self.allow_file)?;
        let revision = checkout.revision.as_ref().map(|name| format!(" at {name}"));
        let command = checkout.command.join(" ");
        let summary = line(&format!("{}{}: {command}", checkout.url, revision.unwrap_or_default()));
        let process = Process {
            env: spec.env,
            clear_env: spec.clear_env,
            stdin: spec.stdin,
            timeout_ms: spec.timeout_ms,
            max_output_bytes: spec.max_output_bytes,
        };
        let ready = |_: &TaskDir| Ok(());
        self.held.start(task, Script::Repository(checkout), process, summary, ready).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checkout(spec: Value) -> Result<Checkout, Failure> {
        serde_json::from_value::<RepositorySpec>(spec).expect("a spec").checkout(false)
    }

    #[test]
    fn a_repository_is_named_by_its_address_or_at_github() {
        let url = |spec| checkout(spec).map(|checkout| checkout.url);
        let by_url = url(json!({"url": "https://host/r", "command": ["true"]}));
        assert_eq!(by_url.as_deref(), Ok("https://host/r"));
        let github = url(json!({"user": "u", "repo": "r", "command": ["true"]}));
        assert_eq!(github.as_deref(), Ok("https://github.com/u/r.git"));
        for spec in [
            json!({"command": ["true"]}),
            json!({"user": "u", "command": ["true"]}),
            json!({"url": "https://host/r", "user": "u", "repo": "r", "command": ["true"]}),
        ] {
            let failure = url(spec).expect_err("refused");
            assert!(failure.message.starts_with("url: "), "{failure}");
        }
    }

    #[test]
    fn every_command_is_checked() {
        for (field, spec) in [
            ("command", json!({"url": "https://host/r", "command": []})),
            ("pre", json!({"url": "https://host/r", "command": ["true"], "pre": [[""]]})),
            ("post", json!({"url": "https://host/r", "command": ["true"], "post": [["a\0"]]})),
            ("url", json!({"url": "file:///r", "command": ["true"]})),
            ("dir", json!({"url": "https://host/r", "dir": "..", "command": ["true"]})),
            ("revision", json!({"url": "https://host/r", "revision": "-b", "command": ["true"]})),
        ] {
            let failure = checkout(spec).expect_err(field);
            assert!(failure.message.starts_with(field), "{failure}");
        }
    }
}
