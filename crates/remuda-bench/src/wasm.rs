//! `remuda-bench wasm`: components as job classes, beside a native class.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use remuda_driver_wasm::{WasmConfig, wasm_class};
use remuda_model::{ClassName, Digest, Failure};
use remuda_plugin::{Class, ClassTable, EventSink, JobClass, RawTask, RequestContext, erase};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet};

use crate::options::Options;

/// How long calls are counted, for each figure.
const SPAN: Duration = Duration::from_secs(3);
/// Tasks at a time, when memory is measured.
const TASKS: u32 = 200;

/// Greets like the example guests, without counting.
struct Native;

impl JobClass for Native {
    const NAME: &'static str = "native";
    type Request = Value;
    type Reply = Value;
    type Spec = ();
    type Command = ();
    type CommandReply = ();
    type Event = ();

    async fn request(&self, _: RequestContext, request: Value) -> Result<Value, Failure> {
        let name = request["name"].as_str().unwrap_or_default();
        Ok(json!({ "greeting": format!("Hello, {name}!"), "count": 1 }))
    }
}

pub(crate) async fn run(words: &[&str]) -> Result<()> {
    let options = Options::parse(words, &[], &[])?;
    let rounds = options.number("--rounds", 3, 1)?;
    let dir = tempfile::tempdir()?;
    let node = Node::new(dir.path()).await?;
    println!("native: {}", node.speed("native").await?);
    for language in ["rust", "c", "javascript", "python"] {
        let component = build(language)?;
        let bytes = std::fs::read(&component)?;
        let mut cold: Vec<f64> = Vec::new();
        for round in 0..rounds {
            if round > 0 {
                node.wasm(json!({ "unload": { "name": language } })).await?;
            }
            let begun = Instant::now();
            node.load(language, &bytes).await?;
            cold.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        cold.sort_by(f64::total_cmp);
        let (median, kib) = (cold[cold.len() / 2], bytes.len() >> 10);
        let (speed, memory) = (node.speed(language).await?, node.memory(language).await?);
        println!(
            "{language} ({kib} KiB): cold load {median:.0} ms; {speed}; {memory:.0} KiB for each task"
        );
    }
    Ok(())
}

fn build(language: &str) -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = Command::new(root.join("examples/guests/build")).arg(language).output()?;
    let said = String::from_utf8_lossy(&built.stderr).into_owned();
    ensure!(built.status.success(), "the guest in {language} is not built: {said}");
    Ok(PathBuf::from(String::from_utf8(built.stdout)?.trim()))
}

/// A node with nothing but classes.
struct Node {
    content: PathBuf,
    classes: ClassTable,
    wasm: Arc<dyn Class>,
    spool: mpsc::Sender<remuda_model::EventBody>,
}

impl Node {
    async fn new(dir: &Path) -> Result<Self> {
        let content = dir.join("content");
        std::fs::create_dir_all(&content)?;
        let classes = ClassTable::default();
        classes.fix(erase(Native))?;
        let looked = content.clone();
        let lookup = move |digest: &Digest| Some(looked.join(digest.as_str()));
        let config = WasmConfig::new(dir.join("wasm"), classes.clone(), lookup);
        let wasm = wasm_class(config).await?;
        let (spool, mut events) = mpsc::channel(1024);
        tokio::spawn(async move { while events.recv().await.is_some() {} });
        Ok(Self { content, classes, wasm, spool })
    }

    fn context(&self, class: &ClassName) -> RequestContext {
        let events = EventSink::new(class.clone(), self.spool.clone());
        let (node, deadline) = ("bench".parse().expect("a name"), Duration::from_mins(5));
        RequestContext { node, class: class.clone(), deadline, events }
    }

    async fn wasm(&self, request: Value) -> Result<()> {
        let context = self.context(&self.wasm.name());
        self.wasm.request(context, request.to_string().into_bytes()).await?;
        Ok(())
    }

    async fn load(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let digest = blake3::hash(bytes).to_hex();
        std::fs::write(self.content.join(digest.as_str()), bytes)?;
        let load = json!({
            "name": name,
            "digest": digest.as_str(),
            "grants": { "key_value": true, "events": true },
            "quota": { "tasks": TASKS },
        });
        self.wasm(json!({ "load": load })).await
    }

    /// Requests a second, with one caller and with eight. Those of the guests call a function, which
    /// touches no disk.
    async fn speed(&self, class: &str) -> Result<String> {
        let (one, eight) = (self.calls(class, 1).await?, self.calls(class, 8).await?);
        Ok(format!("{one:.0} calls/s with 1 caller, {eight:.0} with 8"))
    }

    async fn calls(&self, class: &str, callers: usize) -> Result<f64> {
        let native = class == "native";
        let handler =
            if native { self.classes.get(&class.parse()?)? } else { Arc::clone(&self.wasm) };
        let payload = if native {
            json!({ "name": "Ada" })
        } else {
            json!({ "call": { "class": class, "function": "add", "args": [1, 2] } })
        };
        let payload = payload.to_string().into_bytes();
        let mut running = JoinSet::new();
        let begun = Instant::now();
        for _ in 0..callers {
            let (handler, payload) = (Arc::clone(&handler), payload.clone());
            let context = self.context(&handler.name());
            running.spawn(async move {
                let mut calls = 0_u32;
                while begun.elapsed() < SPAN {
                    handler.request(context.clone(), payload.clone()).await?;
                    calls += 1;
                }
                Ok::<_, Failure>(calls)
            });
        }
        let mut calls = 0;
        while let Some(done) = running.join_next().await {
            calls += done??;
        }
        Ok(f64::from(calls) / begun.elapsed().as_secs_f64())
    }

    /// Resident KiB for each of many tasks that wait.
    async fn memory(&self, class: &str) -> Result<f64> {
        let class = self.classes.get(&class.parse()?)?;
        let (mut inboxes, mut works) = (Vec::new(), JoinSet::new());
        let before = resident_kib()?;
        for number in 0..TASKS {
            let (inbox, receiver) = mpsc::channel(1);
            inboxes.push(inbox);
            let task = RawTask {
                id: format!("t{number}").parse()?,
                class: class.name(),
                node: "bench".parse()?,
                inbox: receiver,
                events: EventSink::new(class.name(), self.spool.clone()),
            };
            works.spawn(class.start(task, b"1000000".to_vec()).await?.work);
        }
        let after = resident_kib()?;
        drop(inboxes);
        while works.join_next().await.is_some() {}
        Ok((after - before) / f64::from(TASKS))
    }
}

fn resident_kib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
