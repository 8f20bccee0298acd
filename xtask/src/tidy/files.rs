//! Rules for single files: size, first line, words that must not stay.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::Findings;
use crate::shell::{read, root};

/// No source file is longer.
const MAX_LINES: usize = 800;
/// The modules that may use `unsafe`.
const UNSAFE: [&str; 3] = [
    // Between fork and exec.
    "crates/remuda-driver-exec/src/launch/fork.rs",
    // Advice to the kernel on pages that are mapped.
    "crates/remuda-cli/src/commands/agent/pages.rs",
    // An allocator that counts.
    "crates/remuda-fuzz/src/bounds.rs",
];

pub(super) fn check(findings: &mut Findings) -> Result<()> {
    for path in tracked()? {
        let full = root().join(&path);
        if path.extension().is_some_and(|ext| ext == "rs") && full.exists() {
            let text = fs::read_to_string(&full).with_context(|| path.display().to_string())?;
            rust_file(&path, &text, findings);
        }
    }
    Ok(())
}

fn tracked() -> Result<Vec<PathBuf>> {
    let mut command = Command::new("git");
    command.current_dir(root()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    Ok(read(&mut command)?.lines().map(PathBuf::from).collect())
}

fn rust_file(path: &Path, text: &str, findings: &mut Findings) {
    let place = path.display();
    let n_lines = text.lines().count();
    if n_lines > MAX_LINES {
        findings.add(format!("{place}: {n_lines} lines, more than {MAX_LINES}"));
    }
    if !text.starts_with("//!") && !text.starts_with("#![") {
        findings.add(format!("{place}:1: a module begins with a `//!` sentence"));
    }
    for (number, line) in text.lines().enumerate() {
        // Spelled apart, so that this file does not find itself.
        if line.contains(concat!("(unsafe", "_code"))
            && !UNSAFE.iter().any(|may| path == Path::new(may))
        {
            findings.add(format!("{place}:{}: this module may not use `unsafe`", number + 1));
        }
        for word in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("#[ign", "ore")] {
            if line.contains(word) {
                findings.add(format!("{place}:{}: `{word}` must not stay", number + 1));
            }
        }
        if line.ends_with(' ') || line.ends_with('\t') {
            findings.add(format!("{place}:{}: trailing blank", number + 1));
        }
    }
}
