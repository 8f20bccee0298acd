//! `remuda-bench files`: one file to one worker and to four, beside `scp`, `rsync` and a bare socket,
//! and how long small requests take meanwhile.

mod peers;

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use remuda::{
    client::{
        Client, LocalFile,
        dto::{FileLine, FileSource, SendFile},
    },
    model::NodeId,
};
use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) use self::peers::Ssh;
use crate::{agents::Cluster, options::Options, report::Report};

const WORKERS: u32 = 4;
/// Where no disk is measured.
const MEMORY: &str = "/dev/shm";

pub(crate) async fn run(words: &[&str]) -> Result<()> {
    let options = Options::parse(words, &[], &["--megabytes", "--dir"])?;
    let rounds = options.number("--rounds", 5, 1)?;
    let megabytes = u32::try_from(options.number("--megabytes", 1024, 16)?)?;
    let below = PathBuf::from(options.text("--dir").unwrap_or(MEMORY));
    let mut report = Report::new("files", &options);
    let home = TempDir::with_prefix_in("remuda-bench-files-", &below)?;
    let source = home.path().join("source");
    write_random(&source, megabytes)?;
    let cluster = Cluster::start(&below, 1, usize::try_from(WORKERS)?).await?;
    let client = cluster.client(0, Duration::from_secs(30))?;
    let ssh = Ssh::start(home.path(), Ipv4Addr::LOCALHOST).await?;
    let mut sides: Vec<(&str, [Vec<f64>; 2])> =
        ["remuda", "a bare socket", "scp", "rsync over ssh"]
            .map(|name| (name, [Vec::new(), Vec::new()]))
            .into();
    let mut beside = [Vec::new(), Vec::new()];
    let rest = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    };
    let quiet = Box::pin(latencies(&client, rest)).await?;
    for _ in 0..rounds {
        for (place, receivers) in [1, WORKERS].into_iter().enumerate() {
            let targets: Vec<_> =
                (0..receivers).map(|number| home.path().join(format!("target{number}"))).collect();
            for (name, taken) in &mut sides {
                // Never the content of an earlier run.
                mark(&source)?;
                clear(&targets)?;
                let begun = Instant::now();
                match *name {
                    "remuda" => {
                        let copied = copy(&client, &source, &targets);
                        let spans = Box::pin(latencies(&client, copied)).await?;
                        beside[place].extend(spans);
                    }
                    "scp" => ssh.scp(&source, &targets).await?,
                    "rsync over ssh" => ssh.rsync(&source, &targets).await?,
                    _ => peers::socket(&source, &targets).await?,
                }
                // remuda has done so.
                for target in &targets {
                    fs::File::open(target)?.sync_all()?;
                }
                taken[place].push(begun.elapsed().as_secs_f64());
                check(&source, &targets)?;
            }
        }
    }
    clear(&(0..WORKERS).map(|n| home.path().join(format!("target{n}"))).collect::<Vec<_>>())?;
    for (place, receivers) in [1, WORKERS].into_iter().enumerate() {
        let ours = median(&sides[0].1[place]);
        for (name, taken) in &sides {
            let total = f64::from(megabytes) * f64::from(receivers);
            let rates: Vec<_> = taken[place].iter().map(|seconds| total / seconds).collect();
            let ratio = median(&taken[place]) / ours;
            let what = format!("to {receivers}: {name} (remuda is {ratio:.2} times as fast)");
            report.fact(&what, "MiB/s", &rates);
        }
    }
    report.spans("a request while nothing is copied", &quiet);
    report.spans("a request beside a copy to one", &beside[0]);
    report.spans("a request beside a copy to four", &beside[1]);
    report.finish()
}

/// Hashes the file, brings it to the cluster and from there to as many workers as there are targets.
async fn copy(client: &Client, source: &Path, targets: &[PathBuf]) -> Result<()> {
    let file = LocalFile::read(source).await?;
    let upload = client.upload(source, &file, |_held| {});
    let sends = targets.iter().enumerate().map(|(number, target)| {
        let request = SendFile {
            source: FileSource::Artifact { digest: file.digest.clone(), size: file.size },
            nodes: vec![worker(number)],
            path: target.to_str().map(str::to_owned),
            name: None,
            mode: None,
            keep_existing: false,
        };
        async move { send(client, &request).await }
    });
    upload.await?;
    futures_util::future::try_join_all(sends).await?;
    Ok(())
}

async fn send(client: &Client, request: &SendFile) -> Result<()> {
    let mut lines = client.send_file(request).await?;
    while let Some(line) = lines.next().await? {
        if let FileLine::Failed { node, error } = line {
            bail!("{node}: {error}");
        }
    }
    Ok(())
}

fn worker(number: usize) -> NodeId {
    format!("w{}", number + 1).parse().expect("a name")
}

/// How long small requests to the first worker take, one after the other, until the work is done.
async fn latencies(
    client: &Client,
    work: impl Future<Output = Result<()>>,
) -> Result<Vec<Duration>> {
    let (node, class) = (worker(0), "node".parse()?);
    let mut spans = Vec::new();
    tokio::pin!(work);
    loop {
        let begun = Instant::now();
        let asked = client.request(&node, &class, "status".into(), None);
        tokio::pin!(asked);
        tokio::select! {
            biased;
            done = &mut work => return done.map(|()| spans),
            answer = &mut asked => {
                answer?;
                spans.push(begun.elapsed());
            }
        }
        // Ten thousand a second would be a load of its own.
        tokio::select! {
            done = &mut work => return done.map(|()| spans),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
    }
}

fn write_random(path: &Path, megabytes: u32) -> Result<()> {
    use std::io::Write as _;
    let mut file = fs::File::create(path)?;
    let mut random = fastrand::Rng::with_seed(7);
    let mut piece = vec![0; 1 << 20];
    for _ in 0..megabytes {
        random.fill(&mut piece);
        file.write_all(&piece)?;
    }
    Ok(())
}

/// Makes other content of a file.
fn mark(path: &Path) -> Result<()> {
    let file = fs::File::options().write(true).open(path)?;
    Ok(file.write_all_at(&fastrand::u128(..).to_le_bytes(), 0)?)
}

fn clear(targets: &[PathBuf]) -> Result<()> {
    for target in targets.iter().filter(|target| target.exists()) {
        fs::remove_file(target)?;
    }
    Ok(())
}

/// The sizes and the marks must be right; digests are the business of the programs.
fn check(source: &Path, targets: &[PathBuf]) -> Result<()> {
    let read = |path: &Path| -> Result<(u64, [u8; 16])> {
        let file = fs::File::open(path).with_context(|| path.display().to_string())?;
        let mut mark = [0; 16];
        file.read_exact_at(&mut mark, 0)?;
        Ok((file.metadata()?.len(), mark))
    };
    let expected = read(source)?;
    for target in targets {
        anyhow::ensure!(read(target)? == expected, "{} is another file", target.display());
    }
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
