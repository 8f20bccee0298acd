//! Measures remuda beside its peers and beside the limits of the machine.
#![expect(clippy::print_stdout, reason = "figures are the output")]

mod agents;
mod build;
mod child;
mod cluster;
mod dev;
mod discover;
mod failover;
mod fanout;
mod files;
mod fleet;
mod idle;
mod load;
mod options;
mod peers;
mod proc;
mod raw;
mod remote;
mod report;
mod rpc;
mod store;
mod wasm;

use anyhow::{Result, bail};
use mimalloc::MiMalloc;

/// That of the program that people run.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const USAGE: &str = "\
usage: remuda-bench MEASUREMENT [OPTION…]

  rpc [TRANSPORT…]  calls through a control node to a worker, beside bare sockets and other systems
                    [--peers] [--callers 1,64,256] [--hops 1,2]
  fleet             thousands of simulated workers: memory, joins, requests, labels, a killed leader
                    [--workers 10000] [--controls 1,3] [--idle SECONDS] [--storms 3] [--dir DIR]
  store             acknowledged writes, beside etcd and the disk
                    [--callers 1,16,64,256] [--voters 1,3] [--dir DIR]
  failover          from kill -9 of a control node to the next write and the next request
                    [--dir DIR]
  discover          from the start of an agent to a ready node, by each way of finding the cluster
  files             one file to one and to four workers, beside scp, rsync and a bare socket
                    [--megabytes 1024] [--dir /dev/shm]
  fanout            100,000 hosts by HTTP, beside the least that a client can do, curl and aiohttp, and
                    1,000 by SSH, beside pssh, clush and ansible
                    [--peers] [--targets 100000] [--workers 1,5] [--controls 1,3] [--slow 40000]
                    [--stuck 10000,100000] [--ssh 1000] [--dir DIR]
  wasm              components as job classes: cold load, calls, memory, beside a native class
  idle              resident memory of one idle agent
  dev               seconds from `remuda dev` to five ready nodes
  build             seconds of a cold and of an incremental release build (takes minutes)

The first six also take --rounds N, --json for programs, and --quick to see that they work.";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["rpc", words @ ..] => rpc::run(words).await,
        ["fleet", words @ ..] => fleet::run(words).await,
        ["store", words @ ..] => store::run(words).await,
        ["failover", words @ ..] => failover::run(words).await,
        ["discover", words @ ..] => discover::run(words).await,
        ["files", words @ ..] => Box::pin(files::run(words)).await,
        ["fanout", words @ ..] => Box::pin(fanout::run(words)).await,
        ["wasm", words @ ..] => wasm::run(words).await,
        ["idle"] => idle::run().await,
        ["dev"] => dev::run().await,
        ["build"] => build::run(),
        ["child", rest @ ..] => child::run(rest).await,
        _ => bail!("{USAGE}"),
    }
}
