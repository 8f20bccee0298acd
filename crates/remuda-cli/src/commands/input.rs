//! What users give as JSON, and the standard input.

use remuda_model::{ErrorKind, Failure};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;

use crate::error::{Report, Stop};

/// The most that is read from the standard input.
const MAX_INPUT: u64 = 1 << 20;

/// A JSON text, or the standard input for `-`.
pub(super) async fn json(text: &str) -> Result<Value, Stop> {
    let read;
    let text = if text == "-" {
        read = stdin().await?;
        std::str::from_utf8(&read)
            .map_err(|_bad| Failure::invalid("the standard input is not UTF-8"))?
    } else {
        text
    };
    serde_json::from_str(text).map_err(|error| {
        let hint = match serde_json::to_string(text) {
            Ok(quoted) if !text.contains(['{', '[', '"', ' ']) => {
                format!(
                    "a text stands in double quotes, and in single ones for the shell: '{quoted}'"
                )
            }
            _ => "quote it for the shell, as in '{\"key\": 1}'".to_owned(),
        };
        Report::new(ErrorKind::Invalid, "this is no JSON").caused_by(&error).hint(hint).into()
    })
}

/// All of the standard input, at most 1 MiB.
pub(super) async fn stdin() -> Result<Vec<u8>, Stop> {
    let mut bytes = Vec::new();
    tokio::io::stdin().take(MAX_INPUT + 1).read_to_end(&mut bytes).await.map_err(|error| {
        Report::new(ErrorKind::Failed, "cannot read the standard input").caused_by(&error)
    })?;
    if bytes.len() as u64 > MAX_INPUT {
        return Err(Failure::invalid("the standard input is longer than 1 MiB").into());
    }
    Ok(bytes)
}
