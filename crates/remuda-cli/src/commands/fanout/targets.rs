//! The targets of a run, from arguments, files, the standard input and URLs.

use std::path::Path;

use remuda::client::{
    Client, LocalFile,
    dto::{RunTargets, TargetList},
};
use remuda_model::{ErrorKind, Failure};
use remuda_run::{Collector, Target};

use crate::{
    args::{SourceArgs, TargetArgs, TargetForm},
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

/// Reads them. `saved` are the lines of the lists that are named.
pub(super) async fn choose(args: &TargetArgs, saved: &[TargetList]) -> Result<Chosen, Stop> {
    if let Some(selector) = &args.nodes {
        return Ok(Chosen::Nodes(selector.clone()));
    }
    let source = &args.source;
    if source.target.is_empty() && source.targets.is_empty() && saved.is_empty() {
        return Err(none("give --target, --targets, --saved or --nodes"));
    }
    let mut collector = Collector::default();
    collector.words(&source.target);
    for from in &source.targets {
        let text = read(from).await?;
        collect(&mut collector, source, from, &text);
    }
    for list in saved {
        collector.lines(&list.lines.join("\n"));
    }
    let set = collector.finish().map_err(Failure::from)?;
    if set.duplicates > 0 {
        note(&format!("{} targets stood there before and are taken once", set.duplicates));
    }
    Ok(Chosen::Targets(set.targets))
}

/// Lines of targets as they are kept: ranges stay ranges, and what is no list of lines becomes one.
pub(super) async fn lines(source: &SourceArgs) -> Result<Vec<String>, Stop> {
    let mut lines = source.target.clone();
    for from in &source.targets {
        let text = read(from).await?;
        if form(source, from) == TargetForm::Lines {
            lines.extend(text.lines().map(str::to_owned));
            continue;
        }
        let mut collector = Collector::default();
        collect(&mut collector, source, from, &text);
        let set = collector.finish().map_err(Failure::from)?;
        lines.extend(set.targets.iter().map(Target::to_line));
    }
    Ok(lines)
}

/// That there are no targets.
pub(super) fn none(hint: &str) -> Stop {
    Report::new(ErrorKind::Invalid, "no targets").hint(hint).into()
}

async fn read(from: &str) -> Result<String, Stop> {
    let text = match from {
        "-" => input::stdin().await?,
        url if url.starts_with("http://") || url.starts_with("https://") => {
            remuda::client::fetch(url).await?
        }
        path => tokio::fs::read(path)
            .await
            .map_err(|error| Report::new(ErrorKind::NotFound, format!("{path}: {error}")))?,
    };
    String::from_utf8(text)
        .map_err(|_error| Report::new(ErrorKind::Invalid, format!("{from}: is no text")).into())
}

fn collect(collector: &mut Collector, source: &SourceArgs, from: &str, text: &str) {
    match form(source, from) {
        TargetForm::Lines => collector.lines(text),
        TargetForm::Csv => collector.csv(text, source.host_column.as_deref()),
        TargetForm::Json => collector.json(text, source.path.as_deref()),
    }
}

fn form(args: &SourceArgs, source: &str) -> TargetForm {
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
