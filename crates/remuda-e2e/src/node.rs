//! One node as a process.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use remuda::client::{Client, ClientConfig};
use serde_json::Value;

use crate::{binary::remuda, wait::eventually};

/// One node: its directory, how it is started, and its process while it runs.
#[derive(Debug)]
pub struct Node {
    name: String,
    dir: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Node {
    pub(crate) fn new(name: &str, dir: PathBuf, arguments: Vec<String>) -> Self {
        Self { name: name.to_owned(), dir, arguments, child: None }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts its process.
    ///
    /// # Panics
    ///
    /// When it runs already.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        fs::create_dir_all(&self.dir).expect("a directory for the node");
        drop(fs::remove_file(self.dir.join("ready.json")));
        let log = File::options().create(true).append(true).open(self.dir.join("agent.log"));
        let log = log.expect("a log file");
        let mut command = Command::new(remuda());
        command.args(&self.arguments).env_clear().env("PATH", "/usr/bin:/bin");
        command.env("REMUDA_LOG", "info,remuda=debug");
        // The agent ends when this end of its standard input is closed, even by our own death.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("the agent starts"));
    }

    /// Waits until it says that it is ready, and returns what it says.
    pub async fn ready(&mut self) -> Value {
        let path = self.dir.join("ready.json");
        let what = format!("{} is ready", self.name);
        let child = self.child.as_mut().expect("it runs");
        let probe = async || {
            if let Ok(Some(status)) = child.try_wait() {
                let log = fs::read_to_string(self.dir.join("agent.log")).unwrap_or_default();
                panic!("{} ended: {status}\n{log}", self.name);
            }
            fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        };
        eventually(&what, probe, Option::is_some).await.expect("seen")
    }

    /// Ends it without warning, as a power cut would.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn kill9(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("a process of ours");
        child.wait().expect("a process of ours");
    }

    /// Asks it to end, and waits; returns its exit code.
    ///
    /// # Panics
    ///
    /// When it does not run, or does not end.
    pub async fn terminate(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it runs");
        self.signal_pid(child.id(), Signal::SIGTERM);
        let what = format!("{} ends", self.name);
        let probe = async || child.try_wait().expect("a process of ours");
        let ended = eventually(&what, probe, Option::is_some).await;
        ended.and_then(|status| status.code())
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn signal(&self, signal: Signal) {
        self.signal_pid(self.child.as_ref().expect("it runs").id(), signal);
    }

    fn signal_pid(&self, pid: u32, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(pid).expect("a pid"));
        kill(pid, signal).unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("agent.log")).unwrap_or_default()
    }

    /// The pid of its holder, once it has one.
    pub fn holder(&self) -> Option<i32> {
        let needle = self.dir.to_str().expect("a path in UTF-8");
        fs::read_dir("/proc").expect("proc").flatten().find_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let words: Vec<_> = line.split(|byte| *byte == 0).collect();
            let is_holder = words.get(1) == Some(&b"holder".as_slice());
            let line = String::from_utf8_lossy(&line);
            (is_holder && line.contains(needle)).then_some(pid)
        })
    }

    pub(crate) fn client(&self, token: &str) -> Client {
        let ready = fs::read(self.dir.join("ready.json")).expect("the node was ready");
        let ready: Value = serde_json::from_slice(&ready).expect("JSON");
        let api = ready["api"].as_str().expect("a control node has an API");
        Client::new(ClientConfig::new(format!("http://{api}"), token)).expect("a good address")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        if let Some(holder) = self.holder() {
            drop(kill(Pid::from_raw(holder), Signal::SIGKILL));
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!("--- {} ---", self.name);
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}
