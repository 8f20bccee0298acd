//! The machines that runs contact: one server that is many hosts, does what a test wants, and counts.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use remuda_e2e::PATIENCE;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

/// The longest request.
const MAX_REQUEST: usize = 64 << 10;
/// As many as a test may ever let through.
const ALL: usize = 1 << 24;

/// What a machine does when it is asked.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Answers with this status and body.
    Answer(u16, Vec<u8>),
    /// Takes the request and says nothing.
    Silence,
    /// Says a byte each second.
    Drip,
    /// Answers with a body that never ends.
    Endless,
    /// Redirects to itself.
    Redirect,
    /// Closes the connection as soon as there is one.
    Close,
    /// Says what is no HTTP.
    Garbage,
}

impl Act {
    /// A good answer.
    pub(crate) fn ok(body: &str) -> Self {
        Self::Answer(200, body.as_bytes().to_vec())
    }
}

/// How many requests there were.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Busy {
    /// Altogether.
    pub(crate) total: u32,
    /// Now: they wait for their answer.
    pub(crate) now: u32,
    /// The most at a time.
    pub(crate) most: u32,
}

/// Machines at all addresses of this one, at one port.
pub(crate) struct Crowd {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    act: Box<dyn Fn(Ipv4Addr) -> Act + Send + Sync>,
    /// How often each was asked, and with what the last time.
    asked: Mutex<BTreeMap<Ipv4Addr, (u32, String)>>,
    busy: watch::Sender<Busy>,
    /// Each answer takes one of these.
    gate: Semaphore,
}

impl Crowd {
    /// Machines that answer at once.
    pub(crate) async fn start(act: impl Fn(Ipv4Addr) -> Act + Send + Sync + 'static) -> Self {
        let crowd = Self::held(act).await;
        crowd.open();
        crowd
    }

    /// Machines that answer as many requests as they are [let](Self::let_through), or all once they
    /// are [`open`](Self::open).
    pub(crate) async fn held(act: impl Fn(Ipv4Addr) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
        let port = listener.local_addr().expect("it listens").port();
        let shared = Arc::new(Shared {
            act: Box::new(act),
            asked: Mutex::default(),
            busy: watch::Sender::default(),
            gate: Semaphore::new(0),
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { port, shared, serving }
    }

    /// The URL of a machine.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{{{{host}}}}:{}{path}", self.port)
    }

    /// So many more requests are answered.
    pub(crate) fn let_through(&self, number: usize) {
        self.shared.gate.add_permits(number);
    }

    /// All requests are answered from now on.
    pub(crate) fn open(&self) {
        self.let_through(ALL);
    }

    /// How many requests there were.
    pub(crate) fn busy(&self) -> Busy {
        *self.shared.busy.borrow()
    }

    /// Waits until the requests are as wanted.
    pub(crate) async fn until(&self, what: &str, good: impl Fn(&Busy) -> bool) -> Busy {
        let mut busy = self.shared.busy.subscribe();
        let seen =
            timeout(PATIENCE, busy.wait_for(good)).await.map(|seen| *seen.expect("it lives"));
        seen.unwrap_or_else(|_late| panic!("{what}: last seen {:?}", self.busy()))
    }

    /// How often each machine was asked.
    pub(crate) fn asked(&self) -> BTreeMap<Ipv4Addr, u32> {
        self.shared.asked().iter().map(|(host, (times, _))| (*host, *times)).collect()
    }

    /// The last request to a machine.
    pub(crate) fn request_to(&self, host: Ipv4Addr) -> String {
        self.shared.asked().get(&host).map(|(_, text)| text.clone()).unwrap_or_default()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// So many addresses of this machine, no two alike.
pub(crate) fn hosts(number: u32) -> Vec<Ipv4Addr> {
    let first = u32::from(Ipv4Addr::new(127, 1, 0, 1));
    (first..first + number).map(Ipv4Addr::from).collect()
}

impl Shared {
    fn asked(&self) -> std::sync::MutexGuard<'_, BTreeMap<Ipv4Addr, (u32, String)>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // Whoever contacts a machine may leave at any time.
        tokio::spawn(async move { drop(answer(socket, &shared).await) });
    }
}

async fn answer(mut socket: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let IpAddr::V4(host) = socket.local_addr()?.ip() else { return Ok(()) };
    let act = (shared.act)(host);
    if matches!(act, Act::Close) {
        shared.asked().entry(host).or_default().0 += 1;
        return Ok(());
    }
    let request = read(&mut socket).await?;
    {
        let mut asked = shared.asked();
        let (times, last) = asked.entry(host).or_default();
        *times += 1;
        *last = request;
    }
    {
        // Over before the answer: whoever has it may ask the next machine.
        let _asking = Asking::begin(shared);
        tokio::select! {
            permit = shared.gate.acquire() => permit.expect("never closed").forget(),
            () = gone(&mut socket) => return Ok(()),
        }
        if matches!(act, Act::Silence) {
            gone(&mut socket).await;
            return Ok(());
        }
    }
    say(&mut socket, &act).await
}

/// Does on a connection whose request was read what a machine does.
pub(crate) async fn say(socket: &mut TcpStream, act: &Act) -> std::io::Result<()> {
    match act {
        Act::Answer(status, body) => {
            let head = format!(
                "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\nconnection: close\r\n\
                 x-said: by the crowd\r\n\r\n",
                body.len()
            );
            socket.write_all(&[head.as_bytes(), body].concat()).await
        }
        Act::Drip => {
            socket.write_all(b"HTTP/1.1 200 Slow\r\n\r\n").await?;
            loop {
                socket.write_all(b"x").await?;
                sleep(Duration::from_secs(1)).await;
            }
        }
        Act::Endless => {
            socket.write_all(b"HTTP/1.1 200 Long\r\n\r\n").await?;
            let piece = vec![b'e'; 16 << 10];
            loop {
                socket.write_all(&piece).await?;
            }
        }
        Act::Redirect => {
            let again = "HTTP/1.1 302 Elsewhere\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n";
            socket.write_all(again.as_bytes()).await
        }
        Act::Garbage => socket.write_all(b"\x00\xff\x1b[31mSSH-2.0\r\n\r\n\x07").await,
        Act::Silence | Act::Close => Ok(()),
    }
}

/// Takes a request with its body.
pub(crate) async fn read(socket: &mut TcpStream) -> std::io::Result<String> {
    let mut said = Vec::new();
    loop {
        if socket.read_buf(&mut said).await? == 0 || said.len() > MAX_REQUEST {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&said);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        if body.len() >= length.unwrap_or(0) {
            return Ok(text.into_owned());
        }
    }
}

/// Waits until the other side has gone.
async fn gone(socket: &mut TcpStream) {
    let mut more = [0; 64];
    while !matches!(socket.read(&mut more).await, Ok(0) | Err(_)) {}
}

/// A request that waits for its answer.
struct Asking<'a>(&'a Shared);

impl<'a> Asking<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.busy.send_modify(|busy| {
            busy.total += 1;
            busy.now += 1;
            busy.most = busy.most.max(busy.now);
        });
        Self(shared)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.busy.send_modify(|busy| busy.now -= 1);
    }
}
