//! How fast calls are over plain loopback TCP, alone and beside bulk: a tool for tuning.
//!
//! `cargo run --release -p remuda-link --example call_rate`

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use remuda_link::{Link, MuxConfig, Peer, Priority, Router, Side, Stream};
use remuda_model::{Generation, NodeId, Role, Transport};
use remuda_runtime::Supervisor;
use tokio::net::{TcpListener, TcpStream};

const ROLES: &[Role] = &[Role::Worker];
const DEADLINE: Duration = Duration::from_secs(30);

fn peer(dialled: bool) -> Peer {
    Peer {
        node: NodeId::random(),
        role: Role::Worker,
        generation: Generation(1),
        version: String::new(),
        protocol: remuda_model::Release::CURRENT.protocol,
        transport: Transport::Tcp,
        remote: String::new(),
        addresses: Vec::new(),
        dialled,
        authenticated_by: remuda_link::Method::Certificate,
        issuers: Vec::new(),
    }
}

async fn echo(_: Link, mut stream: Stream) {
    let Ok(bytes) = stream.read_to_end(16 << 20).await else { return };
    drop(stream.finish_with(bytes).await);
}

async fn swallow(_: Link, mut stream: Stream) {
    while let Ok(Some(_)) = stream.read_chunk().await {}
    drop(stream.finish());
}

/// A link over loopback; with a bound, the kernel takes only so many bytes ahead of the network.
async fn link(unsent: Option<u32>) -> std::io::Result<Link> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let here = TcpStream::connect(listener.local_addr()?).await?;
    let (there, _) = listener.accept().await?;
    here.set_nodelay(true)?;
    there.set_nodelay(true)?;
    if let Some(bytes) = unsent {
        socket2::SockRef::from(&here).set_tcp_notsent_lowat(bytes)?;
        socket2::SockRef::from(&there).set_tcp_notsent_lowat(bytes)?;
    }
    let config = MuxConfig::default();
    let there = Link::start_mux(there, Side::Listener, peer(false), config);
    let mut router = Router::new();
    router.route("echo", ROLES, echo);
    router.route("swallow", ROLES, swallow);
    tokio::spawn(async move { router.serve(there, &Supervisor::new()).await });
    Ok(Link::start_mux(here, Side::Dialer, peer(true), config))
}

/// Makes calls of 16 bytes from many callers and prints rate and times.
async fn run(name: &str, link: &Link, callers: usize, pause: Option<Duration>, time: Duration) {
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (link, stop) = (link.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    let body = Bytes::from_static(b"sixteen bytes 16");
                    let answer = link.call("echo", Priority::Calls, body, DEADLINE).await;
                    assert_eq!(answer.expect("an answer").len(), 16);
                    times.push(start.elapsed());
                    if let Some(pause) = pause {
                        tokio::time::sleep(pause).await;
                    }
                }
                times
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("no panic"));
    }
    let seconds = started.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 1000).min(times.len() - 1)];
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = times.len() as f64 / seconds;
    println!(
        "{name:28} {rate:>9.0} calls/s  p50 {:>9.1?}  p99 {:>9.1?}  p99.9 {:>9.1?}",
        at(500),
        at(990),
        at(999)
    );
}

/// Four callers of 1 MB each, flat out, until told to stop; counts bytes.
fn bulk(link: &Link, echoed: bool, stop: &Arc<AtomicBool>) -> Arc<AtomicU64> {
    let bytes = Arc::new(AtomicU64::new(0));
    for _ in 0..4 {
        let (link, stop, bytes) = (link.clone(), Arc::clone(stop), Arc::clone(&bytes));
        tokio::spawn(async move {
            let body = Bytes::from(vec![7; 1_000_000]);
            let (protocol, factor) = if echoed { ("echo", 2) } else { ("swallow", 1) };
            while !stop.load(Ordering::Relaxed) {
                let call = link.call(protocol, Priority::Bulk, body.clone(), DEADLINE);
                call.await.expect("an answer");
                bytes.fetch_add(1_000_000 * factor, Ordering::Relaxed);
            }
        });
    }
    bytes
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::io::Result<()> {
    let time = Duration::from_secs(3);
    for unsent in [None, Some(128 * 1024)] {
        println!("bound on unsent bytes in the kernel: {unsent:?}");
        let link = link(unsent).await?;
        run("1 caller", &link, 1, None, time).await;
        run("64 callers", &link, 64, None, time).await;
        run("256 callers", &link, 256, None, time).await;
        let pause = Some(Duration::from_millis(1));
        run("8 paced callers", &link, 8, pause, time).await;
        for (name, echoed) in
            [("8 paced beside bulk there", false), ("8 paced beside bulk echoed", true)]
        {
            let stop = Arc::new(AtomicBool::new(false));
            let bytes = bulk(&link, echoed, &stop);
            run(name, &link, 8, pause, time).await;
            stop.store(true, Ordering::Relaxed);
            let mega = bytes.load(Ordering::Relaxed) / 1_000_000 / time.as_secs();
            println!("{:28} {mega:>9} MB/s", "");
        }
    }
    Ok(())
}
