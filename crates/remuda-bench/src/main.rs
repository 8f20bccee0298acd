//! Measures remuda beside its peers and beside the limits of the machine.
#![expect(clippy::print_stdout, reason = "figures are the output")]

mod build;
mod child;
mod cluster;
mod dev;
mod idle;
mod load;
mod raw;
mod remote;
mod rpc;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: remuda-bench rpc [TRANSPORT…] | idle | dev | build

  rpc     calls through a control node to a worker, beside bare sockets
  idle    resident memory of one idle agent
  dev     seconds from `remuda dev` to five ready nodes
  build   seconds of a cold and of an incremental release build (takes minutes)";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["rpc"] => rpc::run(&["tcp", "tls", "quic"]).await,
        ["rpc", transports @ ..] => rpc::run(transports).await,
        ["idle"] => idle::run().await,
        ["dev"] => dev::run().await,
        ["build"] => build::run(),
        ["child", rest @ ..] => child::run(rest).await,
        _ => bail!("{USAGE}"),
    }
}
