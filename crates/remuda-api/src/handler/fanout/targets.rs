//! The targets of a run, wherever they come from.

use remuda_model::Failure;
use remuda_run::{Target, targets};
use remuda_runtime::blocking;

use crate::{api::Api, dto::RunTargets};

/// The most lines in a request; more come as an artifact.
const MAX_LINES: usize = 10_000;
/// The most bytes of lines as an artifact.
const MAX_BYTES: u64 = 256 << 20;

/// Reads them.
pub(super) async fn read(api: &Api, from: RunTargets) -> Result<Vec<Target>, Failure> {
    match from {
        RunTargets::Lines(lines) if lines.len() > MAX_LINES => {
            let text = format!("body: targets: lines: expected at most {MAX_LINES}");
            Err(Failure::invalid(text).hint("bring more as an artifact"))
        }
        RunTargets::Lines(lines) => parsed(lines.join("\n")).await,
        RunTargets::Artifact { size, .. } if size > MAX_BYTES => Err(Failure::invalid(format!(
            "body: targets: artifact: expected at most {MAX_BYTES} bytes"
        ))),
        RunTargets::Artifact { digest, size } => {
            let mut content = api.control().artifacts().read(&digest, size, 0).await?;
            let mut bytes = Vec::new();
            while let Some(more) = content.next().await? {
                bytes.extend_from_slice(&more);
            }
            let text = String::from_utf8(bytes).map_err(|error| {
                Failure::invalid(format!("the targets are no text: {error}")).code("bad_targets")
            })?;
            parsed(text).await
        }
        RunTargets::Saved(lists) if lists.is_empty() => {
            Err(Failure::invalid("body: targets: saved: name at least one list"))
        }
        RunTargets::Saved(lists) => api.control().saved_targets(&lists, String::new(), None).await,
        RunTargets::Nodes { on } => api.control().node_targets(&on).await,
    }
}

async fn parsed(text: String) -> Result<Vec<Target>, Failure> {
    let read = blocking(move || targets::from_lines(&text)).await;
    let read = read.map_err(|error| Failure::internal(&error))?;
    Ok(read?.targets)
}
