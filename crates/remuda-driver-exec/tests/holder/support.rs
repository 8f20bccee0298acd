//! A class `exec` with a holder of its own, as an agent would have it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use remuda_driver_exec::{ExecCommand, ExecConfig, ExecReply, ExecSpec, exec_class};
use remuda_model::{Failure, TaskEnd, TaskId};
use remuda_plugin::{
    Class, EventSink, RawInput, RawTask, RequestContext, Running,
    output::{OutputLog, OutputPiece, Source},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

/// Longer than anything here takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// The folder of a worker; its holder and what that holds end with it.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn dir(&self) -> &Path {
        self.0.path()
    }

    pub(crate) async fn agent(&self) -> Agent {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_remuda-holder"));
        let config = ExecConfig { data_dir: self.dir().to_owned(), program };
        Agent { class: exec_class(config).await.unwrap() }
    }

    pub(crate) fn task_dir(&self, task: &str) -> PathBuf {
        self.dir().join("tasks").join(task)
    }

    /// The pid that the holder has written down.
    pub(crate) fn pid(&self, task: &str) -> i32 {
        let text = fs::read_to_string(self.task_dir(task).join("spawned")).unwrap();
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        i32::try_from(record["pid"].as_i64().unwrap()).unwrap()
    }

    /// The holders of this place that run.
    pub(crate) fn holders(&self) -> Vec<i32> {
        let dir = fs::canonicalize(self.dir()).unwrap();
        let dir = dir.to_str().unwrap();
        processes(|pid| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
                let mut arguments = line.split(|&byte| byte == 0);
                arguments.nth(1) == Some(b"holder")
                    && arguments.nth(1).is_some_and(|its| its.starts_with(dir.as_bytes()))
            })
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for pid in self.holders() {
            kill(pid, rustix::process::Signal::KILL);
        }
    }
}

fn processes(wanted: impl Fn(i32) -> bool) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| wanted(pid) && alive(pid)).collect()
}

/// The processes that carry this word in their environment.
pub(crate) fn marked(word: &str) -> Vec<i32> {
    let variable = format!("MARK={word}");
    processes(|pid| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
            environ.split(|&byte| byte == 0).any(|entry| entry == variable.as_bytes())
        })
    })
}

/// Whether there is a process of this number that has not ended.
pub(crate) fn alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat.rsplit(')').next().unwrap_or_default();
        !state.trim_start().starts_with(['Z', 'X'])
    })
}

pub(crate) fn kill(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let _ = rustix::process::kill_process(pid, signal);
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

pub(crate) struct Agent {
    pub(crate) class: Arc<dyn Class>,
}

/// A task as its agent sees it.
pub(crate) struct Held {
    pub(crate) inbox: mpsc::Sender<RawInput>,
    pub(crate) summary: String,
    pub(crate) log: OutputLog,
    pub(crate) work: JoinHandle<TaskEnd>,
}

pub(crate) fn id(task: &str) -> TaskId {
    task.parse().unwrap()
}

pub(crate) fn spec(argv: &[&str]) -> ExecSpec {
    ExecSpec { argv: argv.iter().map(|&a| a.to_owned()).collect(), ..ExecSpec::default() }
}

pub(crate) fn shell(line: &str) -> ExecSpec {
    spec(&["sh", "-c", line])
}

fn sink() -> EventSink {
    EventSink::new("exec".parse().unwrap(), mpsc::channel(1).0)
}

fn raw(task: &str) -> (RawTask, mpsc::Sender<RawInput>) {
    let (sender, inbox) = mpsc::channel(16);
    let task = RawTask {
        id: id(task),
        class: "exec".parse().unwrap(),
        node: "n1".parse().unwrap(),
        inbox,
        events: sink(),
    };
    (task, sender)
}

impl Agent {
    pub(crate) async fn start(&self, task: &str, spec: &ExecSpec) -> Result<Held, Failure> {
        let (raw, inbox) = raw(task);
        let running = self.class.start(raw, serde_json::to_vec(spec).unwrap()).await?;
        Ok(Held::new(inbox, running))
    }

    pub(crate) async fn recover(&self, task: &str) -> Result<Held, Failure> {
        let (raw, inbox) = raw(task);
        Ok(Held::new(inbox, self.class.recover(raw).await?))
    }

    pub(crate) async fn request(&self, spec: &ExecSpec) -> Result<ExecReply, Failure> {
        let context = RequestContext {
            node: "n1".parse().unwrap(),
            class: "exec".parse().unwrap(),
            deadline: LIMIT,
            events: sink(),
        };
        let reply = self.class.request(context, serde_json::to_vec(spec).unwrap()).await?;
        Ok(serde_json::from_slice(&reply).unwrap())
    }

    /// Starts a task and waits for its end.
    pub(crate) async fn run(&self, task: &str, spec: &ExecSpec) -> (TaskEnd, Output) {
        self.start(task, spec).await.unwrap().finish().await
    }
}

impl Held {
    fn new(inbox: mpsc::Sender<RawInput>, running: Running) -> Self {
        let Running { summary, output, work } = running;
        Self { inbox, summary, log: output.unwrap(), work: tokio::spawn(work) }
    }

    pub(crate) async fn send(&self, command: ExecCommand) -> Result<(), Failure> {
        let (sender, answer) = oneshot::channel();
        let bytes = serde_json::to_vec(&command).unwrap();
        self.inbox.send(RawInput::Command(bytes, sender)).await.unwrap();
        timeout(LIMIT, answer).await.expect("an answer in time").unwrap().map(drop)
    }

    pub(crate) async fn stop(&self, grace: Duration) {
        self.inbox.send(RawInput::Stop(grace)).await.unwrap();
    }

    /// Waits for the end, and reads all output.
    pub(crate) async fn finish(self) -> (TaskEnd, Output) {
        let end = timeout(LIMIT, self.work).await.expect("the task ends in time").unwrap();
        (end, read(&self.log).await)
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) dropped: u64,
}

impl Output {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

/// Follows an output to its end.
pub(crate) async fn read(log: &OutputLog) -> Output {
    let mut reader = log.read_from(0, true);
    let mut output = Output::default();
    loop {
        let piece = timeout(LIMIT, reader.next()).await.expect("output in time").unwrap();
        match piece {
            OutputPiece::Data { source: Source::Stdout, bytes, .. } => output.stdout.extend(bytes),
            OutputPiece::Data { source: Source::Stderr, bytes, .. } => output.stderr.extend(bytes),
            OutputPiece::Dropped { bytes } => output.dropped += bytes,
            OutputPiece::End(_) => return output,
            OutputPiece::UpToDate => panic!("a follower is never told that this is all"),
        }
    }
}

/// Waits until an output holds some text.
pub(crate) async fn output_with(log: &OutputLog, text: &str) {
    let mut reader = log.read_from(0, true);
    let mut seen = String::new();
    while !seen.contains(text) {
        match timeout(LIMIT, reader.next()).await.expect("output in time").unwrap() {
            OutputPiece::Data { bytes, .. } => seen.push_str(&String::from_utf8_lossy(&bytes)),
            other => panic!("`{text}` never came, but {other:?} after {seen:?}"),
        }
    }
}
