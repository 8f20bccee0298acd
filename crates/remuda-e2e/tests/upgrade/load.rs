//! Work and changes that never pause, and what must be true of them in the end.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use remuda::client::{Client, ClientConfig};
use remuda_api::dto::Scope;
use remuda_e2e::{Lab, eventually, id, within};
use remuda_model::{ClassName, ErrorKind, Failure, Labels};
use serde_json::json;
use tokio::task::JoinHandle;

/// Between two pieces of work of one kind, so that the nodes under test get the processor too.
const PACE: Duration = Duration::from_millis(30);
/// How often a piece of work is tried before it counts as failed.
const ATTEMPTS: usize = 400;

/// Control nodes by the files in which they say where their API listens.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    files: Vec<PathBuf>,
    token: String,
    next: usize,
}

impl Doors {
    pub(crate) fn of(lab: &Lab, controls: &[&str]) -> Self {
        let files = controls.iter().map(|name| lab.node(name).dir().join("ready.json")).collect();
        Self { files, token: lab.admin_token().to_owned(), next: 0 }
    }

    /// The API of the next control node that says it runs.
    pub(crate) fn next(&mut self) -> Option<Client> {
        let n_doors = self.files.len();
        for _ in 0..n_doors {
            self.next = (self.next + 1) % n_doors;
            let Ok(said) = fs::read(&self.files[self.next]) else { continue };
            let Ok(said) = serde_json::from_slice::<serde_json::Value>(&said) else { continue };
            let Some(api) = said["api"].as_str() else { continue };
            let config = ClientConfig::new(format!("http://{api}"), self.token.clone());
            return Some(Client::new(config).expect("a good address"));
        }
        None
    }
}

/// What was done, shared by all workers of the load.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    answered: AtomicU64,
    changed: AtomicU64,
    named: Mutex<Vec<String>>,
    /// The last number that a node has acknowledged, and the last that was tried.
    labels: Mutex<Vec<(String, u64, u64)>>,
    failed: Mutex<Vec<String>>,
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

/// Work under way.
pub(crate) struct Load {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// What a node on the way of a call may say while it stops or starts: the documented failures after
/// which one tries again.
fn may_be_repeated(failure: &Failure) -> bool {
    matches!(
        failure.kind,
        ErrorKind::Unavailable
            | ErrorKind::NotConnected
            | ErrorKind::OutcomeUnknown
            | ErrorKind::TimedOut
    )
}

/// Does one piece of work by way of one control node after the other until it succeeds.
async fn until_done<T, Work>(
    shared: &Shared,
    doors: &mut Doors,
    what: &str,
    work: impl Fn(Client) -> Work,
) -> Option<T>
where
    Work: Future<Output = Result<T, Failure>>,
{
    let mut last = None;
    for _ in 0..ATTEMPTS {
        if let Some(client) = doors.next() {
            match work(client).await {
                Ok(done) => return Some(done),
                Err(failure) if may_be_repeated(&failure) => last = Some(failure),
                Err(failure) => {
                    let mut failed = shared.failed.lock().expect("no panic");
                    failed.push(format!("{what}: {failure:?}"));
                    return None;
                }
            }
        }
        tokio::time::sleep(PACE).await;
    }
    let words = format!("{what} never succeeded, at last: {last:?}");
    shared.failed.lock().expect("no panic").push(words);
    None
}

async fn requests(shared: Arc<Shared>, mut doors: Doors, node: String) {
    let class: ClassName = "exec".parse().expect("a class");
    for number in 0_u64.. {
        if !shared.goes_on() {
            return;
        }
        let said = format!("{node}-{number}");
        let request = json!({"argv": ["echo", said]});
        let work = |client: Client| {
            let (node, class, request) = (id(&node), ClassName::clone(&class), request.clone());
            let patience = Some(Duration::from_secs(10));
            async move { client.request(&node, &class, request, patience).await }
        };
        if let Some(reply) = until_done(&shared, &mut doors, &said, work).await {
            assert_eq!(reply["stdout"], format!("{said}\n"), "{reply}");
            shared.answered.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(PACE).await;
    }
}

async fn labels(shared: Arc<Shared>, mut doors: Doors, node: String, at: usize) {
    for number in 1_u64.. {
        if !shared.goes_on() {
            return;
        }
        shared.labels.lock().expect("no panic")[at].2 = number;
        let text: Labels = format!("count;n={number}").parse().expect("labels");
        let what = format!("label {number} of {node}");
        let work = |client: Client| {
            let (node, text) = (id(&node), text.clone());
            async move { client.set_labels(&node, &text, &[]).await }
        };
        if until_done(&shared, &mut doors, &what, work).await.is_some() {
            shared.labels.lock().expect("no panic")[at].1 = number;
            shared.changed.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(PACE).await;
    }
}

async fn tokens(shared: Arc<Shared>, mut doors: Doors) {
    for number in 0_u64.. {
        if !shared.goes_on() {
            return;
        }
        let name = format!("token-{number}");
        // An unknown outcome is tried again under the same name: twice is as good as once here.
        let work = |client: Client| {
            let name = name.clone();
            async move { client.create_token(&name, Scope::Read, None).await }
        };
        if until_done(&shared, &mut doors, &name, work).await.is_some() {
            shared.named.lock().expect("no panic").push(name);
            shared.changed.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(PACE).await;
    }
}

impl Load {
    /// Starts requests and label changes for each node, and tokens.
    pub(crate) fn start(lab: &Lab, controls: &[&str], nodes: &[&str]) -> Self {
        let doors = Doors::of(lab, controls);
        let shared = Shared::default();
        *shared.labels.lock().expect("no panic") =
            nodes.iter().map(|node| ((*node).to_owned(), 0, 0)).collect();
        let shared = Arc::new(shared);
        let mut workers = vec![tokio::spawn(tokens(Arc::clone(&shared), doors.clone()))];
        for (at, node) in nodes.iter().enumerate() {
            let (shared, doors, node) = (&shared, doors.clone(), (*node).to_owned());
            let asked = requests(Arc::clone(shared), doors.clone(), node.clone());
            workers.push(tokio::spawn(asked));
            workers.push(tokio::spawn(labels(Arc::clone(shared), doors, node, at)));
        }
        Self { shared, workers }
    }

    /// Waits until requests were answered and changes were made after this moment.
    pub(crate) async fn goes_on(&self) {
        let done = || {
            let answered = self.shared.answered.load(Ordering::Relaxed);
            (answered, self.shared.changed.load(Ordering::Relaxed))
        };
        let before = done();
        let probe = async || done();
        eventually("work and changes", probe, |seen| {
            seen.0 > before.0 + 3 && seen.1 > before.1 + 3
        })
        .await;
    }

    /// Ends it; then everything that was acknowledged must be there, at every control node.
    pub(crate) async fn finish(self, lab: &Lab, controls: &[&str]) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            within("the end of the load", worker).await.expect("no panic");
        }
        let failed = std::mem::take(&mut *self.shared.failed.lock().expect("no panic"));
        assert!(failed.is_empty(), "{failed:#?}");
        let named = std::mem::take(&mut *self.shared.named.lock().expect("no panic"));
        let labels = std::mem::take(&mut *self.shared.labels.lock().expect("no panic"));
        for at in controls {
            let client = lab.client(at);
            let listed = eventually("tokens", async || client.tokens().await, Result::is_ok).await;
            let listed: Vec<_> = listed.expect("seen").into_iter().map(|one| one.name).collect();
            let lost: Vec<_> = named.iter().filter(|name| !listed.contains(name)).collect();
            assert!(lost.is_empty(), "{at} has lost {lost:?}");
            for (node, acknowledged, tried) in &labels {
                let probe = async || client.node(&id(node)).await;
                let view = eventually("a node", probe, Result::is_ok).await.expect("seen");
                let label = view.labels.get("count").and_then(|label| label.value("n"));
                let number: Option<u64> = label.and_then(|number| number.parse().ok());
                let kept = number.is_some_and(|number| (*acknowledged..=*tried).contains(&number));
                assert!(kept, "{node} at {at}: {number:?}, not {acknowledged} to {tried}");
            }
        }
    }
}
