//! The classes as an agent would have them.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use remuda_driver_exec::{ExecConfig, exec_class};
use remuda_driver_script::{Report, ScriptConfig, script_classes};
use remuda_model::{Digest, EventBody, Failure, TaskEnd, TaskId};
use remuda_plugin::{
    Class, EventSink, RawInput, RawTask, RequestContext, Running,
    output::{OutputLog, OutputPiece, Source},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

/// Longer than anything here takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// The folder of an agent; its holder and what that holds end with it.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn dir(&self) -> PathBuf {
        fs::canonicalize(self.0.path()).unwrap()
    }

    /// Where the agent keeps content by its digest.
    fn store(&self) -> PathBuf {
        self.dir().join("store")
    }

    /// Puts a file where the agent finds it.
    pub(crate) fn keep(&self, bytes: &[u8]) -> Digest {
        let digest: Digest = blake3::hash(bytes).to_hex().as_str().parse().unwrap();
        fs::create_dir_all(self.store()).unwrap();
        fs::write(self.store().join(digest.as_str()), bytes).unwrap();
        digest
    }

    pub(crate) fn kept(&self, digest: &Digest) -> PathBuf {
        self.store().join(digest.as_str())
    }

    pub(crate) async fn agent(&self) -> Agent {
        let program = program();
        let holder = ExecConfig { data_dir: self.dir().join("holder"), program: program.clone() };
        let store = self.store();
        let config = ScriptConfig {
            data_dir: self.dir().join("script"),
            program,
            lookup: Arc::new(move |digest| {
                let path = store.join(digest.as_str());
                path.exists().then_some(path)
            }),
            exec: exec_class(holder).await.unwrap(),
            allow_file: true,
        };
        Agent { classes: script_classes(config).await.unwrap() }
    }

    pub(crate) fn task_dir(&self, task: &str) -> PathBuf {
        self.dir().join("script/tasks").join(task)
    }

    /// Whether nothing is left of where a task has worked.
    pub(crate) fn is_clean(&self, task: &str) -> bool {
        let Ok(entries) = fs::read_dir(self.task_dir(task)) else { return true };
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.into_iter().all(|name| name == "result.json" || name == "summary.json")
    }

    /// The process that the holder has started for a task.
    pub(crate) fn pid(&self, task: &str) -> i32 {
        let path = self.dir().join("holder/tasks").join(task).join("spawned");
        let record: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        i32::try_from(record["pid"].as_i64().unwrap()).unwrap()
    }

    /// The processes whose command line or environment names this place.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let dir = self.dir();
        let dir = dir.to_str().unwrap().as_bytes().to_owned();
        let names = |path: String| {
            fs::read(path).is_ok_and(|text| text.windows(dir.len()).any(|part| part == dir))
        };
        let entries = fs::read_dir("/proc").unwrap();
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let named = pids.filter(|pid| {
            names(format!("/proc/{pid}/cmdline")) || names(format!("/proc/{pid}/environ"))
        });
        named.filter(|&pid| alive(pid)).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for pid in self.processes() {
            kill(pid, Signal::KILL);
        }
    }
}

/// The example of this crate, which cargo builds with the tests.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.parent().unwrap().with_file_name("examples").join("program");
    assert!(program.exists(), "build the examples of this crate: cargo test without --test");
    program
}

pub(crate) fn alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat.rsplit(')').next().unwrap_or_default();
        !state.trim_start().starts_with(['Z', 'X'])
    })
}

pub(crate) fn kill(pid: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

/// The process that runs a function of so many seconds, by its limit of processor time.
pub(crate) fn helper(seconds: u64) -> Option<i32> {
    let limit = (seconds + 2).to_string();
    let entries = fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let mut helpers = pids.filter(|pid| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.ends_with(b"\0function-helper\0"))
    });
    helpers.find(|pid| {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
        let time = limits.lines().find_map(|line| line.strip_prefix("Max cpu time"));
        time.is_some_and(|time| time.split_whitespace().next() == Some(&limit)) && alive(*pid)
    })
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

/// An agent with a runtime of its own, which can die without a word to anybody.
pub(crate) struct Mortal(pub(crate) tokio::runtime::Runtime);

impl Mortal {
    pub(crate) fn new() -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        Self(builder.worker_threads(1).enable_all().build().unwrap())
    }

    /// Everything of it ends at once, as by a `kill -9`.
    pub(crate) fn die(self) {
        self.0.shutdown_timeout(Duration::from_secs(10));
    }
}

pub(crate) struct Agent {
    classes: Vec<Arc<dyn Class>>,
}

pub(crate) fn id(task: &str) -> TaskId {
    task.parse().unwrap()
}

impl Agent {
    pub(crate) fn class(&self, name: &str) -> &dyn Class {
        &**self.classes.iter().find(|class| class.name().as_str() == name).unwrap()
    }

    pub(crate) async fn request(&self, class: &str, spec: &Value) -> Result<Value, Failure> {
        let context = RequestContext {
            node: "n1".parse().unwrap(),
            class: class.parse().unwrap(),
            deadline: LIMIT,
            events: EventSink::new(class.parse().unwrap(), mpsc::channel(1).0),
        };
        let reply = self.class(class).request(context, spec.to_string().into_bytes()).await?;
        Ok(serde_json::from_slice(&reply).unwrap())
    }

    pub(crate) async fn start(
        &self,
        class: &str,
        task: &str,
        spec: &Value,
    ) -> Result<Held, Failure> {
        let (raw, inbox, events) = raw(class, task);
        let running = self.class(class).start(raw, spec.to_string().into_bytes()).await?;
        Ok(Held::new(inbox, events, running))
    }

    pub(crate) async fn recover(&self, class: &str, task: &str) -> Result<Held, Failure> {
        let (raw, inbox, events) = raw(class, task);
        Ok(Held::new(inbox, events, self.class(class).recover(raw).await?))
    }

    /// What an agent does first: it tells each class which of its tasks it knows.
    pub(crate) async fn recovering(&self, class: &str, known: &[&str]) {
        for each in &self.classes {
            let known: Vec<_> = known.iter().map(|task| id(task)).collect();
            let is_its = each.name().as_str() == class;
            each.recovering(if is_its { &known } else { &[] }).await;
        }
    }

    /// Starts a task and waits for its end.
    pub(crate) async fn run(&self, class: &str, task: &str, spec: &Value) -> Done {
        self.start(class, task, spec).await.unwrap().finish().await
    }
}

fn raw(class: &str, task: &str) -> (RawTask, mpsc::Sender<RawInput>, mpsc::Receiver<EventBody>) {
    let (sender, inbox) = mpsc::channel(16);
    let (spool, events) = mpsc::channel(10_000);
    let task = RawTask {
        id: id(task),
        class: class.parse().unwrap(),
        node: "n1".parse().unwrap(),
        inbox,
        events: EventSink::new(class.parse().unwrap(), spool),
    };
    (task, sender, events)
}

/// A task as its agent sees it.
pub(crate) struct Held {
    pub(crate) inbox: mpsc::Sender<RawInput>,
    pub(crate) events: mpsc::Receiver<EventBody>,
    pub(crate) summary: String,
    pub(crate) log: OutputLog,
    pub(crate) work: JoinHandle<TaskEnd>,
}

/// A task that has ended, and all that it said.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) end: TaskEnd,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) reports: Vec<Report>,
}

impl Held {
    fn new(
        inbox: mpsc::Sender<RawInput>,
        events: mpsc::Receiver<EventBody>,
        running: Running,
    ) -> Self {
        let Running { summary, output, work } = running;
        Self { inbox, events, summary, log: output.unwrap(), work: tokio::spawn(work) }
    }

    pub(crate) async fn stop(&self, grace: Duration) {
        self.inbox.send(RawInput::Stop(grace)).await.unwrap();
    }

    /// The next event.
    pub(crate) async fn report(&mut self) -> Report {
        let event = timeout(LIMIT, self.events.recv()).await.expect("an event in time");
        report(event.unwrap())
    }

    pub(crate) async fn finish(mut self) -> Done {
        let end = timeout(LIMIT, self.work).await.expect("the task ends in time").unwrap();
        let mut reports = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            reports.push(report(event));
        }
        let (stdout, stderr) = read(&self.log).await;
        Done { end, stdout, stderr, reports }
    }
}

fn report(event: EventBody) -> Report {
    match event {
        EventBody::Class { payload, .. } => serde_json::from_str(&payload).unwrap(),
        other => panic!("not of a class: {other:?}"),
    }
}

async fn read(log: &OutputLog) -> (String, String) {
    let mut reader = log.read_from(0, true);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        match timeout(LIMIT, reader.next()).await.expect("output in time").unwrap() {
            OutputPiece::Data { source: Source::Stdout, bytes, .. } => stdout.extend(bytes),
            OutputPiece::Data { source: Source::Stderr, bytes, .. } => stderr.extend(bytes),
            OutputPiece::Dropped { .. } => {}
            OutputPiece::End(_) => break,
            OutputPiece::UpToDate => panic!("a follower is never told that this is all"),
        }
    }
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(stdout), text(stderr))
}

/// Waits until the output of a task holds some text.
pub(crate) async fn output_with(log: &OutputLog, wanted: &str) {
    let mut reader = log.read_from(0, true);
    let mut seen = String::new();
    while !seen.contains(wanted) {
        match timeout(LIMIT, reader.next()).await.expect("output in time").unwrap() {
            OutputPiece::Data { bytes, .. } => seen.push_str(&String::from_utf8_lossy(&bytes)),
            other => panic!("`{wanted}` never came, but {other:?} after {seen:?}"),
        }
    }
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
