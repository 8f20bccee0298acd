//! `remuda-bench rpc`: calls beside bare sockets, in one run.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use remuda::{link::Link, model::ClassName};
use remuda_link::connect_client;

use crate::{
    child, cluster,
    load::{Caller, Sample, closed_loop},
    raw,
    remote::{OneHop, TwoHops, bulk},
};

/// Rounds of each measurement; the median counts.
const ROUNDS: usize = 3;
const GIB: usize = 1 << 30;

/// One line of the table.
struct Row {
    name: String,
    sample: Sample,
}

pub(crate) async fn run(transports: &[&str]) -> Result<()> {
    let server = child::start(&["raw"]).await?;
    let address: SocketAddr = server.line.parse().context("the raw server tells its address")?;
    for transport in transports {
        println!("\n## {transport}");
        one_hop(transport, address).await?;
        two_hops(transport, address).await?;
    }
    Ok(())
}

async fn one_hop(transport: &str, raw_server: SocketAddr) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let founded = cluster::control(&dir.path().join("control"), transport).await?;
    let told = &founded.told;
    let worker_dir = dir.path().join("worker");
    let worker_dir = worker_dir.to_str().context("a path in UTF-8")?;
    let (link, token) = (told.link.to_string(), told.worker_token.as_str());
    let _worker = child::start(&["worker", worker_dir, &told.join, &link, token]).await?;
    let control = founded.agent.control().context("a control node")?.clone();
    let (node, class) = ("bench-worker".parse()?, "echo".parse::<ClassName>()?);
    let caller = OneHop { control, node, class };
    compare(&format!("{transport}, one hop"), raw_server, &caller).await?;
    let links = founded.agent.links();
    let link = links.into_iter().find(|link| link.peer().node.as_str() == "bench-worker");
    beside_bulk(transport, link.context("a link to the worker")?, &caller).await?;
    founded.agent.shutdown().await;
    Ok(())
}

async fn two_hops(transport: &str, raw_server: SocketAddr) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name).to_str().map(str::to_owned);
    let control_dir = path("control").context("a path in UTF-8")?;
    let control = child::start(&["control", &control_dir, transport]).await?;
    let told: cluster::Told = serde_json::from_str(&control.line)?;
    let worker_dir = path("worker").context("a path in UTF-8")?;
    let (url, token) = (told.link.to_string(), told.worker_token.as_str());
    let _worker = child::start(&["worker", &worker_dir, &told.join, &url, token]).await?;
    let pin = token.parse::<remuda_link::JoinToken>()?.pin;
    let link = connect_client(&told.link, Some(pin), &told.admin_token).await?;
    let (node, class) = ("bench-worker".parse()?, "echo".parse()?);
    compare(&format!("{transport}, two hops"), raw_server, &TwoHops { link, node, class }).await
}

/// The same numbers of callers, raw and through remuda, in turns.
async fn compare<C: Caller + Clone>(name: &str, server: SocketAddr, caller: &C) -> Result<()> {
    for callers in [1, 64, 256] {
        let (mut raw_rows, mut rows) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            raw_rows.push(match callers {
                1 => closed_loop(raw::own(server, 1).await?).await?,
                _ => closed_loop(raw::shared(server, callers).await?).await?,
            });
            rows.push(closed_loop(vec![caller.clone(); callers]).await?);
        }
        let limit = if callers == 1 { "bare socket" } else { "bare mux" };
        let limit = Row { name: limit.to_owned(), sample: median(raw_rows) };
        let row = Row { name: name.to_owned(), sample: median(rows) };
        println!("{:<18} {}", limit.name, limit.sample);
        println!("{:<18} {}", row.name, row.sample);
        println!(
            "{:<18} {callers} callers: {:.2} of the limit",
            "ratio",
            row.sample.rate / limit.sample.rate
        );
    }
    Ok(())
}

/// Eight callers with a pause of a millisecond: alone, beside a megabyte every 10 ms, and beside a
/// gibibyte as fast as it goes, all on one link.
async fn beside_bulk(transport: &str, link: Link, caller: &OneHop) -> Result<()> {
    let paced = vec![Paced(caller.clone()); 8];
    println!("{transport}, paced        {}", closed_loop(paced.clone()).await?);
    let trickle_link = link.clone();
    let trickle = tokio::spawn(async move {
        loop {
            bulk(&trickle_link, 1_000_000).await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        #[expect(unreachable_code, reason = "gives the block its type")]
        Ok::<(), anyhow::Error>(())
    });
    println!("{transport}, 1 MB / 10 ms {}", closed_loop(paced.clone()).await?);
    trickle.abort();
    let flood = tokio::spawn(async move {
        for _ in 0..64 {
            let spent = bulk(&link, GIB).await?;
            println!("{:<18} {:.2} GiB/s", "bulk", 1.0 / spent.as_secs_f64());
        }
        Ok::<(), anyhow::Error>(())
    });
    println!("{transport}, 1 GiB flat   {}", closed_loop(paced).await?);
    flood.abort();
    Ok(())
}

/// A caller that pauses for a millisecond after each call; the pause is not part of its latency.
#[derive(Clone)]
struct Paced(OneHop);

impl Caller for Paced {
    async fn call(&mut self) -> Result<()> {
        self.0.call().await
    }

    fn pause() -> Duration {
        Duration::from_millis(1)
    }
}

fn median(mut samples: Vec<Sample>) -> Sample {
    samples.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    samples.swap_remove(samples.len() / 2)
}
