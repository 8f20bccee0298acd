//! Small files, whole in a request.

use base64::{Engine, engine::general_purpose::STANDARD};
use remuda_artifact::digest_of;
use remuda_model::{Digest, Epoch, Failure};
use remuda_wire::message::file::{Put, Target};
use serde::{Deserialize, Serialize};

use super::NodeClass;

/// The most bytes of a file in a request.
const MAX_BYTES: usize = 1 << 20;
/// The permission bits of a file for which none are given.
const MODE: u32 = 0o644;

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteFile {
    /// Its path. Missing directories are made.
    pub path: String,
    /// What will be in it, in base 64.
    pub data_base64: String,
    /// Its permission bits, of which 0755 are kept; 0644 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Whether a file that is there is kept, and the request refused.
    #[serde(default)]
    pub keep_existing: bool,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatFile {
    /// In bytes.
    pub size: u64,
    /// Its permission bits.
    pub mode: u32,
    /// The digest of what is in it.
    pub digest: Digest,
}

impl NodeClass {
    pub(super) async fn write_file(&self, file: WriteFile) -> Result<String, Failure> {
        let bytes = STANDARD
            .decode(&file.data_base64)
            .map_err(|error| Failure::invalid(format!("data_base64: {error}")))?;
        if bytes.len() > MAX_BYTES {
            return Err(Failure::invalid("data_base64: a request writes at most 1 MiB")
                .code("file_too_large")
                .hint("`remuda cp` sends files of any size"));
        }
        let _permit = self.files.begin_transfer()?;
        let put = Put {
            epoch: Epoch(0),
            digest: digest_of(&bytes),
            size: bytes.len() as u64,
            to: Target::Path {
                path: file.path,
                // It is a file that is named.
                name: String::new(),
                mode: file.mode.unwrap_or(MODE),
                overwrite: !file.keep_existing,
            },
        };
        let (path, arrival) = self.files.receive(put).await?;
        if let Some(mut arrival) = arrival {
            // Of the same content, so that what is there is its beginning.
            let held = usize::try_from(arrival.held()).unwrap_or(usize::MAX).min(bytes.len());
            arrival.write(bytes[held..].to_vec().into()).await?;
            arrival.finish().await?;
        }
        Ok(path.unwrap_or_default())
    }

    pub(super) async fn read_file(&self, path: String) -> Result<String, Failure> {
        let _permit = self.files.begin_transfer()?;
        Ok(STANDARD.encode(self.files.read_small(path).await?))
    }

    pub(super) async fn stat_file(&self, path: String) -> Result<StatFile, Failure> {
        let (info, digest) = self.files.stat(path).await?;
        Ok(StatFile { size: info.size, mode: info.mode, digest })
    }
}
