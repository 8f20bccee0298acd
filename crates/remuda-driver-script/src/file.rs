//! The job class `file`.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use remuda_model::{Digest, ErrorKind, Failure};
use remuda_plugin::{RawTask, Running};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Lookup,
    held::{Held, Process},
    only_tasks::Scripts,
    script::Script,
    task_dir::TaskDir,
};

/// A file to run, which the node has by its digest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// The BLAKE3 digest of its bytes.
    pub digest: Digest,
    /// The name under which it runs.
    pub name: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Variables added to the environment, or replaced in it.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Whether to begin with an empty environment instead of the agent's.
    #[serde(default)]
    pub clear_env: bool,
    /// What it reads, as for the class `exec`.
    #[serde(default)]
    pub stdin: Option<Value>,
    /// How long it may run, in milliseconds.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// How much of its output is kept, in bytes; by default 64 MiB.
    #[serde(default)]
    pub max_output_bytes: Option<u64>,
}

impl FileSpec {
    fn check(&self) -> Result<(), Failure> {
        let name = self.name.as_str();
        let is_plain = !matches!(name, "" | "." | "..")
            && name.len() <= 255
            && !name.contains('/')
            && !name.chars().any(char::is_control);
        if !is_plain {
            return Err(Failure::invalid("name: not the name of a file")
                .hint("give a name without a folder, such as job.sh"));
        }
        if self.args.iter().any(|argument| argument.contains('\0')) {
            return Err(Failure::invalid("args: an argument holds a zero byte"));
        }
        Ok(())
    }
}

pub(crate) struct Files {
    lookup: Lookup,
    held: Arc<Held>,
}

impl Files {
    pub(crate) fn new(lookup: Lookup, held: Arc<Held>) -> Self {
        Self { lookup, held }
    }
}

impl Scripts for Files {
    const NAME: &'static str = "file";
    type Spec = FileSpec;

    fn held(&self) -> &Held {
        &self.held
    }

    async fn run(&self, task: RawTask, spec: FileSpec) -> Result<Running, Failure> {
        spec.check()?;
        let FileSpec { digest, name, args, .. } = spec;
        let lookup = Arc::clone(&self.lookup);
        let summary = summary(&name, &args);
        let process = Process {
            env: spec.env,
            clear_env: spec.clear_env,
            stdin: spec.stdin,
            timeout_ms: spec.timeout_ms,
            max_output_bytes: spec.max_output_bytes,
        };
        let ready = {
            let name = name.clone();
            move |dir: &TaskDir| {
                let source = lookup(&digest).ok_or_else(|| missing(&digest))?;
                copy(&source, &digest, &dir.work().join(&name))
            }
        };
        self.held.start(task, Script::File { name, args }, process, summary, ready).await
    }
}

fn summary(name: &str, args: &[String]) -> String {
    let all = std::iter::once(name).chain(args.iter().map(String::as_str));
    crate::held::line(&all.collect::<Vec<_>>().join(" "))
}

/// Copies what shall run, and looks whether it is what was asked for and can run at all. Blocks.
fn copy(source: &Path, digest: &Digest, target: &Path) -> Result<(), Failure> {
    let unreadable = |error: io::Error| {
        Failure::new(ErrorKind::Unavailable, format!("cannot copy the file `{digest}`: {error}"))
    };
    let mut from = File::open(source).map_err(unreadable)?;
    if !from.metadata().map_err(unreadable)?.is_file() {
        return Err(missing(digest));
    }
    let mut options = OpenOptions::new();
    let mut to =
        options.write(true).create_new(true).mode(0o700).open(target).map_err(unreadable)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&buffer[..n]);
                to.write_all(&buffer[..n]).map_err(unreadable)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    drop(to);
    if hasher.finalize().to_hex().as_str() != digest.as_str() {
        return Err(Failure::failed(format!("the file `{digest}` on this node has other bytes"))
            .code("digest_mismatch")
            .hint("send it again"));
    }
    from.rewind().map_err(unreadable)?;
    let mut beginning = Vec::new();
    from.take(4096).read_to_end(&mut beginning).map_err(unreadable)?;
    runs_by(&beginning).and_then(|interpreter| match interpreter {
        Some(path) if fs::metadata(&path).is_err() => {
            let path = path.display();
            Err(Failure::invalid(format!("digest: its interpreter `{path}` is not on this node"))
                .code("no_such_program"))
        }
        _ => Ok(()),
    })
}

/// What runs a file that begins like this: the kernel itself, or the interpreter that it names.
fn runs_by(beginning: &[u8]) -> Result<Option<PathBuf>, Failure> {
    if beginning.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    let line = beginning.strip_prefix(b"#!").and_then(|rest| rest.split(|&b| b == b'\n').next());
    let path = line.and_then(|line| {
        let mut words = line.split(|&byte| matches!(byte, b' ' | b'\t' | b'\r'));
        words.find(|word| !word.is_empty())
    });
    let path = path.and_then(|path| std::str::from_utf8(path).ok());
    path.map(|path| Some(PathBuf::from(path))).ok_or_else(|| {
        Failure::invalid("digest: the file is neither a program nor a script")
            .code("no_program")
            .hint("begin a script with a line such as #!/bin/sh")
    })
}

fn missing(digest: &Digest) -> Failure {
    Failure::not_found(format!("this node has no file of digest `{digest}`"))
        .code("no_content")
        .hint("send it to the node first")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> FileSpec {
        let digest = "0".repeat(64);
        serde_json::from_value(serde_json::json!({"digest": digest, "name": name})).expect("a spec")
    }

    #[test]
    fn a_name_is_no_path() {
        assert!(spec("job.sh").check().is_ok() && spec("-rf").check().is_ok());
        for name in ["", ".", "..", "a/b", "/a", "a\nb", "a\0", &"x".repeat(256)] {
            let failure = spec(name).check().expect_err(name);
            assert!(failure.message.starts_with("name: "), "{failure}");
        }
    }

    #[test]
    fn what_runs_a_file_stands_at_its_beginning() {
        let by = |text: &[u8]| runs_by(text).ok();
        assert_eq!(by(b"\x7fELF\x02"), Some(None));
        assert_eq!(by(b"#!/bin/sh\necho"), Some(Some("/bin/sh".into())));
        assert_eq!(by(b"#! /usr/bin/env python3"), Some(Some("/usr/bin/env".into())));
        for bad in [&b""[..], b"echo hello", b"#!", b"#!\n/bin/sh", b"PK\x03\x04", b"#!\xff\n"] {
            assert_eq!(by(bad), None, "{bad:?}");
        }
    }
}
