//! One node as a process.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use remuda::client::{Client, ClientConfig};
use serde_json::Value;

use crate::{Place, binary::remuda, wait::eventually};

/// One node: its directory, how it is started, and its process while it runs.
#[derive(Debug)]
pub struct Node {
    name: String,
    dir: PathBuf,
    place: Place,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Node {
    /// A node that is not started yet. The arguments name its data directory.
    pub fn new(name: &str, dir: &Path, place: Place, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        Self { name: name.to_owned(), dir: dir.to_owned(), place, arguments, child: None }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where it runs.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Runs it somewhere else from its next start on.
    pub fn set_place(&mut self, place: Place) {
        self.place = place;
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
        let mut command = self.place.command(remuda());
        command.args(&self.arguments);
        command.env("REMUDA_LOG", "info,remuda=debug,openraft=error");
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
        self.signal(Signal::SIGTERM);
        self.ended().await
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().expect("it runs").id();
        let pid = Pid::from_raw(i32::try_from(pid).expect("a pid"));
        kill(pid, signal).unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// The pid of its agent, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("agent.log")).unwrap_or_default()
    }

    /// Waits until its log contains some words.
    pub async fn log_says(&self, words: &str) {
        let what = format!("{} says `{words}`", self.name);
        eventually(&what, async || self.log(), |log| log.contains(words)).await;
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

    /// What it said when it was ready.
    ///
    /// # Panics
    ///
    /// When it never was.
    pub fn said(&self) -> Value {
        let ready = fs::read(self.dir.join("ready.json")).expect("the node was ready");
        serde_json::from_slice(&ready).expect("JSON")
    }

    /// The address of its API.
    ///
    /// # Panics
    ///
    /// When it is no control node, or was never ready.
    pub fn api(&self) -> String {
        let said = self.said();
        format!("http://{}", said["api"].as_str().expect("a control node has an API"))
    }

    /// Waits until it says that it is ready or has ended; whether it still runs.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub async fn settled(&mut self) -> bool {
        let path = self.dir.join("ready.json");
        let child = self.child.as_mut().expect("it runs");
        let probe = async || match child.try_wait().expect("a process of ours") {
            Some(_) => Some(false),
            None => path.exists().then_some(true),
        };
        let what = format!("{} is ready or ends", self.name);
        let runs = eventually(&what, probe, Option::is_some).await.expect("seen");
        if !runs {
            self.child = None;
        }
        runs
    }

    /// Waits until it ends by itself; returns its exit code.
    ///
    /// # Panics
    ///
    /// When it does not run, or does not end.
    pub async fn ended(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it runs");
        let what = format!("{} ends", self.name);
        let probe = async || child.try_wait().expect("a process of ours");
        let ended = eventually(&what, probe, Option::is_some).await;
        ended.and_then(|status| status.code())
    }

    /// A client of its API.
    ///
    /// # Panics
    ///
    /// When it is no control node, or was never ready.
    pub fn client(&self, token: &str) -> Client {
        Client::new(ClientConfig::new(self.api(), token)).expect("a good address")
    }
}

impl Drop for Node {
    #[expect(clippy::print_stderr, reason = "the log of a node tells why its test failed")]
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        if let Some(holder) = self.holder() {
            // It may have ended meanwhile.
            let _ended = kill(Pid::from_raw(holder), Signal::SIGKILL).is_err();
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!("--- {} ---", self.name);
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}
