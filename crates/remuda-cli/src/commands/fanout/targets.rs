//! The targets of a run, from arguments, files, the standard input and URLs.

use std::path::Path;

use remuda::client::{Client, LocalFile, dto::RunTargets};
use remuda_model::{ErrorKind, Failure};
use remuda_run::{Collector, Target};

use crate::{
    args::{TargetArgs, TargetForm},
    commands::input,
    error::{Report, Stop},
    output::note,
};

/// More than so many go as a file of their own.
const MAX_LINES: usize = 10_000;

/// Whom a run contacts.
#[derive(Debug)]
pub(super) enum Chosen {
    /// These.
    Targets(Vec<Target>),
    /// Nodes of the cluster, which knows them.
    Nodes(remuda_model::Selector),
}

pub(super) async fn choose(args: &TargetArgs) -> Result<Chosen, Stop> {
    if let Some(selector) = &args.nodes {
        return Ok(Chosen::Nodes(selector.clone()));
    }
    if args.target.is_empty() && args.targets.is_empty() {
        let report = Report::new(ErrorKind::Invalid, "no targets");
        return Err(report.hint("give --target, --targets or --nodes").into());
    }
    let mut collector = Collector::default();
    collector.words(&args.target);
    for source in &args.targets {
        let text = match source.as_str() {
            "-" => input::stdin().await?,
            url if url.starts_with("http://") || url.starts_with("https://") => {
                remuda::client::fetch(url).await?
            }
            path => tokio::fs::read(path)
                .await
                .map_err(|error| Report::new(ErrorKind::NotFound, format!("{path}: {error}")))?,
        };
        let text = String::from_utf8(text)
            .map_err(|_error| Report::new(ErrorKind::Invalid, format!("{source}: is no text")))?;
        match form(args, source) {
            TargetForm::Lines => collector.lines(&text),
            TargetForm::Csv => collector.csv(&text, args.host_column.as_deref()),
            TargetForm::Json => collector.json(&text, args.path.as_deref()),
        }
    }
    let set = collector.finish().map_err(Failure::from)?;
    if set.duplicates > 0 {
        note(&format!("{} targets stood there before and are taken once", set.duplicates));
    }
    Ok(Chosen::Targets(set.targets))
}

fn form(args: &TargetArgs, source: &str) -> TargetForm {
    if let Some(form) = args.targets_form {
        return form;
    }
    let path = source.split(['?', '#']).next().unwrap_or(source);
    match Path::new(path).extension().and_then(|extension| extension.to_str()) {
        Some("csv") => TargetForm::Csv,
        Some("json") => TargetForm::Json,
        _ if args.path.is_some() => TargetForm::Json,
        _ if args.host_column.is_some() => TargetForm::Csv,
        _ => TargetForm::Lines,
    }
}

/// Brings the targets to the cluster, in the form that its API takes.
pub(super) async fn bring(client: &Client, chosen: Chosen) -> Result<RunTargets, Stop> {
    let targets = match chosen {
        Chosen::Nodes(selector) => return Ok(RunTargets::Nodes { on: selector }),
        Chosen::Targets(targets) => targets,
    };
    if targets.len() <= MAX_LINES {
        return Ok(RunTargets::Lines(targets.iter().map(Target::to_line).collect()));
    }
    let write = move || {
        let mut file = tempfile::NamedTempFile::new()?;
        let mut text = std::io::BufWriter::new(&mut file);
        for target in &targets {
            std::io::Write::write_all(&mut text, target.to_line().as_bytes())?;
            std::io::Write::write_all(&mut text, b"\n")?;
        }
        std::io::Write::flush(&mut text)?;
        drop(text);
        Ok::<_, std::io::Error>(file)
    };
    let file =
        tokio::task::spawn_blocking(write).await.map_err(|error| Failure::internal(&error))?;
    let file = file.map_err(|error| {
        Report::new(ErrorKind::Failed, "cannot write the targets to a temporary file")
            .caused_by(&error)
    })?;
    let LocalFile { digest, size, .. } = {
        let local = LocalFile::read(file.path()).await?;
        client.upload(file.path(), &local, |_| {}).await?;
        local
    };
    Ok(RunTargets::Artifact { digest, size })
}
