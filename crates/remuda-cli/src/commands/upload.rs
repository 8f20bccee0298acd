//! Local files on their way to the cluster.

mod bar;

use std::path::Path;

use remuda::client::{
    Client, LocalFile,
    dto::{ExecFile, FileLine, FileSource, SendFile},
};
use remuda_model::{ErrorKind, NodeId};

pub(super) use self::bar::Bar;
use crate::{
    error::{Report, Stop},
    output::{escape_line, note},
};

/// Brings a local file to the control node; tells its name.
pub(super) async fn upload(client: &Client, path: &Path) -> Result<(LocalFile, String), Stop> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
        Report::new(ErrorKind::Invalid, format!("{}: is no name of a file", path.display()))
    })?;
    let file = LocalFile::read(path).await?;
    let bar = Bar::new("to the cluster", file.size);
    let told = bar.teller();
    client.upload(path, &file, told).await?;
    Ok((file, name.to_owned()))
}

/// Brings a local file to nodes, which are to run it. Those that do not get it are named, and then
/// refuse to run it.
pub(super) async fn to_run(
    client: &Client,
    path: &Path,
    nodes: &[NodeId],
) -> Result<ExecFile, Stop> {
    let (LocalFile { digest, size, .. }, name) = upload(client, path).await?;
    let request = SendFile {
        source: FileSource::Artifact { digest: digest.clone(), size },
        nodes: nodes.to_vec(),
        path: None,
        name: None,
        mode: None,
        keep_existing: false,
    };
    let mut lines = client.send_file(&request).await?;
    while let Some(line) = lines.next().await? {
        match line {
            FileLine::Failed { error, .. } if nodes.len() == 1 => return Err(error.into()),
            FileLine::Failed { node, error } => {
                note(&format!("{node}: {}", escape_line(&error.message)));
            }
            _ => {}
        }
    }
    Ok(ExecFile { digest, name })
}
