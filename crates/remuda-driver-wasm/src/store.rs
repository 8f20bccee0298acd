//! Where loaded classes are kept.

use std::{fs, io, path::PathBuf};

use remuda_model::Digest;
use serde_json::Value;

use crate::{files, spec::Load};

/// The folder of the class `wasm`.
///
/// ```text
/// classes.json        what is loaded, in order
/// components/DIGEST   the components
/// values/NAME.json    the values of a class
/// files/NAME/         the folder of a class
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Store(PathBuf);

impl Store {
    pub(crate) fn open(dir: PathBuf) -> io::Result<Self> {
        for folder in ["components", "values", "files"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        Ok(Self(dir))
    }

    pub(crate) fn component(&self, digest: &Digest) -> PathBuf {
        self.0.join("components").join(digest.as_str())
    }

    pub(crate) fn values(&self, name: &str) -> PathBuf {
        self.0.join("values").join(format!("{name}.json"))
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.0.join("files").join(name)
    }

    /// What was loaded when the agent ended. What cannot be read is left out.
    pub(crate) fn loads(&self) -> Vec<Load> {
        let all: Vec<Value> = files::read_json(&self.list()).unwrap_or_default();
        let read = all.into_iter().filter_map(|load| {
            serde_json::from_value(load)
                .inspect_err(|error| tracing::error!(%error, "a loaded class cannot be read"))
                .ok()
        });
        read.collect()
    }

    pub(crate) fn keep(&self, loads: &[Load]) -> io::Result<()> {
        files::write_json(&self.list(), &loads)
    }

    fn list(&self) -> PathBuf {
        self.0.join("classes.json")
    }
}
