//! `remuda cluster backup`, `restore` and `recover`.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use remuda::agent::{self, Backup, BackupError, Restored};
use remuda_model::{ErrorKind, NodeId};
use serde_json::json;
use tempfile::NamedTempFile;

use crate::{
    args::{BackupArgs, Format, RecoverArgs, RestoreArgs},
    commands::{agent::report, connect::client},
    environment::Environment,
    error::{Report, Stop},
    output::{Printer, bytes, clock_time, fields, note},
};

/// A shorter passphrase can be guessed.
const MIN_PASSPHRASE: usize = 12;
/// The longest file that is read: the state of the largest cluster fits.
const MAX_FILE: u64 = 1 << 30;

pub(super) async fn backup(args: BackupArgs, environment: &Environment) -> Result<(), Stop> {
    let passphrase = args.passphrase_file.as_deref().map(passphrase).transpose()?;
    if !args.force && args.file.exists() {
        return Err(exists(&args.file).into());
    }
    let backup = if let Some(dir) = &args.data_dir {
        agent::offline_backup(dir).await.map_err(|error| report(&error))?
    } else {
        let bytes = client(&args.connect, environment)?.backup().await?;
        Backup::from_bytes(&bytes, None).map_err(|error| unusable("what the API sent", &error))?
    };
    let content = match &passphrase {
        Some(passphrase) => backup.to_sealed_bytes(passphrase),
        None => backup.to_bytes(),
    };
    write(&args.file, &content, args.force)?;
    let cluster = backup.cluster()?;
    let (size, sealed) = (content.len() as u64, passphrase.is_some());
    let data = json!({
        "file": args.file, "bytes": size, "sealed": sealed,
        "cluster": cluster.id, "name": cluster.name, "applied": backup.state.applied(),
        "nodes": backup.state.n_nodes(), "tokens": backup.state.tokens().count(),
        "state_hash": hex(&backup.state.hash()),
    });
    let words = fields([
        ("file", Some(format!("{} ({})", args.file.display(), bytes(size)))),
        ("cluster", Some(format!("{} ({})", cluster.name, cluster.id))),
        ("log index", Some(backup.state.applied().to_string())),
        ("nodes", Some(backup.state.n_nodes().to_string())),
        ("tokens", Some(backup.state.tokens().count().to_string())),
        ("sealed", Some(if sealed { "by the passphrase" } else { "no" }.to_owned())),
    ]);
    Printer::new(args.format).value(&data, |_data| words)?;
    if !sealed {
        note(
            "\nIt holds the key of the cluster's authority: whoever can read it owns the cluster.",
        );
    }
    Ok(())
}

pub(super) async fn restore(args: RestoreArgs) -> Result<(), Stop> {
    let passphrase = args.passphrase_file.as_deref().map(passphrase).transpose()?;
    let length = fs::metadata(&args.file).map_err(|error| cannot("read", &args.file, &error))?;
    if length.len() > MAX_FILE {
        let message = format!("`{}` is longer than any backup", args.file.display());
        return Err(Report::new(ErrorKind::Invalid, message).into());
    }
    let content = fs::read(&args.file).map_err(|error| cannot("read", &args.file, &error))?;
    let backup = Backup::from_bytes(&content, passphrase.as_deref())
        .map_err(|error| unusable(&format!("`{}`", args.file.display()), &error))?;
    let made = clock_time(backup.made_ms);
    let restored = put(backup, &args.data_dir, args.name).await?;
    said(&restored, &args.data_dir, args.format)?;
    note(&format!("\nThe backup is of {made}; what was changed later is lost."));
    Ok(())
}

pub(super) async fn recover(args: RecoverArgs) -> Result<(), Stop> {
    let backup = agent::offline_backup(&args.from).await.map_err(|error| report(&error))?;
    let restored = put(backup, &args.data_dir, args.name).await?;
    said(&restored, &args.data_dir, args.format)?;
    note(&format!(
        "\nNothing in `{}` was changed. Never start a node on it again: its cluster goes on without it.",
        args.from.display()
    ));
    Ok(())
}

async fn put(backup: Backup, dir: &Path, name: Option<NodeId>) -> Result<Restored, Stop> {
    let restored = agent::restore(backup, dir, name).await;
    Ok(restored.map_err(|error| report(&error))?)
}

fn said(restored: &Restored, dir: &Path, format: Format) -> Result<(), Stop> {
    let removed: Vec<_> = restored.removed.iter().map(ToString::to_string).collect();
    let data = json!({
        "cluster": restored.cluster, "name": restored.name, "node": restored.node,
        "data_dir": dir, "removed": removed, "kept": restored.kept, "applied": restored.applied,
    });
    let words = fields([
        ("cluster", Some(format!("{} ({})", restored.name, restored.cluster))),
        ("control node", Some(restored.node.to_string())),
        ("data dir", Some(dir.display().to_string())),
        ("log index", Some(restored.applied.to_string())),
        ("nodes kept", Some(restored.kept.to_string())),
        ("removed", Some(removed.join(", "))),
    ]);
    Printer::new(format).value(&data, |_data| words)?;
    note(&format!(
        "\nStart it, best under an address that the workers know:\n  remuda agent --control --data-dir {}",
        dir.display()
    ));
    Ok(())
}

/// Writes the file so that it is there whole or not at all, for its owner only.
fn write(path: &Path, content: &[u8], force: bool) -> Result<(), Report> {
    let failed = |error: std::io::Error| cannot("write", path, &error);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let dir: PathBuf = parent.unwrap_or(Path::new(".")).into();
    // Readable for its owner only from the beginning.
    let mut file = NamedTempFile::new_in(&dir).map_err(failed)?;
    file.write_all(content).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    let persisted = if force { file.persist(path) } else { file.persist_noclobber(path) };
    persisted.map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path),
        _ => failed(error.error),
    })?;
    File::open(&dir).and_then(|dir| dir.sync_all()).map_err(failed)
}

fn passphrase(path: &Path) -> Result<Vec<u8>, Report> {
    let content = fs::read(path).map_err(|error| cannot("read", path, &error))?;
    let end = content.trim_ascii_end().len();
    let passphrase = content.get(..end).unwrap_or_default().to_vec();
    if passphrase.len() < MIN_PASSPHRASE {
        let message = format!("the passphrase in `{}` is too short", path.display());
        return Err(Report::new(ErrorKind::Invalid, message)
            .hint(format!("it needs at least {MIN_PASSPHRASE} characters")));
    }
    Ok(passphrase)
}

fn exists(path: &Path) -> Report {
    Report::new(ErrorKind::Exists, format!("`{}` exists", path.display()))
        .hint("choose another file, or replace it with --force")
}

fn unusable(what: &str, error: &BackupError) -> Report {
    Report::new(error.kind(), format!("{what} cannot be used as a backup"))
        .caused_by(error)
        .hint(error.hint())
}

fn cannot(does: &str, path: &Path, error: &std::io::Error) -> Report {
    Report::new(ErrorKind::Invalid, format!("cannot {does} `{}`", path.display())).caused_by(error)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string cannot fail.
        let _never = write!(text, "{byte:02x}").is_err();
        text
    })
}
