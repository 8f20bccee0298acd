//! One node as a process.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use remuda_model::NodeId;
use tokio::process::{Child, ChildStdin, Command};

use super::failed;
use crate::{commands::Ready, error::Report};

/// A node that runs, until it is dropped.
#[derive(Debug)]
pub(super) struct Node {
    name: NodeId,
    dir: PathBuf,
    process: Child,
    /// The agent ends when this is closed, even by our own death.
    lifeline: Option<ChildStdin>,
}

impl Node {
    /// Starts the process.
    pub(super) fn start(
        name: &NodeId,
        dir: &Path,
        program: &Path,
        arguments: &[String],
        hidden: &[String],
    ) -> Result<Self, Report> {
        let at = |error| failed(format!("cannot start {name}"), &error);
        fs::create_dir_all(dir).map_err(at)?;
        let log = File::options().create(true).append(true).open(log_path(dir)).map_err(at)?;
        // What an earlier process said is not true any more.
        let _absent = fs::remove_file(dir.join("ready.json")).is_err();
        let mut command = Command::new(program);
        command.args(arguments);
        for variable in hidden {
            command.env_remove(variable);
        }
        let process = command
            .stdin(Stdio::piped())
            .stdout(log.try_clone().map_err(at)?)
            .stderr(log)
            // Ctrl-C is for us: nodes are told to end, in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut process = process.map_err(at)?;
        let lifeline = process.stdin.take();
        Ok(Self { name: name.clone(), dir: dir.to_owned(), process, lifeline })
    }

    pub(super) fn name(&self) -> &NodeId {
        &self.name
    }

    /// What it says about itself once it runs.
    pub(super) fn ready(&self) -> Option<Ready> {
        Ready::read(&self.dir)
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Lets it end, as it would when we died.
    pub(super) fn let_go(&mut self) {
        self.lifeline = None;
    }

    /// Waits for its end.
    pub(super) async fn wait(&mut self) {
        let _unknown = self.process.wait().await.is_err();
    }

    /// The last lines of its log.
    pub(super) fn last_lines(&self, n_lines: usize) -> Vec<String> {
        let bytes = fs::read(log_path(&self.dir)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines[lines.len().saturating_sub(n_lines)..].to_vec()
    }

    pub(super) fn log_path(&self) -> PathBuf {
        log_path(&self.dir)
    }
}

fn log_path(dir: &Path) -> PathBuf {
    dir.join("agent.log")
}
