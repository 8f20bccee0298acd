//! The limit: what one file takes, appended to and synced, one write at a time.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Result;

use crate::load::{Sample, Span, summary};

/// Appends values to a new file in a directory for a while, syncing each.
pub(crate) async fn run(dir: &Path, value: usize, span: Span) -> Result<Sample> {
    let dir: PathBuf = dir.to_owned();
    tokio::task::spawn_blocking(move || append(&dir, value, span)).await?
}

fn append(dir: &Path, value: usize, span: Span) -> Result<Sample> {
    let mut file = tempfile::tempfile_in(dir)?;
    let value = vec![7; value];
    let counted = Instant::now() + span.warm_up;
    let end = counted + span.run;
    let mut nanos = Vec::with_capacity(1 << 16);
    loop {
        let start = Instant::now();
        if start >= end {
            return Ok(summary(1, nanos, span));
        }
        file.write_all(&value)?;
        file.sync_data()?;
        if start >= counted {
            nanos.push(u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX));
        }
    }
}
