//! Processes of this machine, looked up from outside, and the files that they leave.

use std::{fs, path::Path};

/// The pids of the processes whose command line is exactly these words.
///
/// # Panics
///
/// When there is no `/proc`.
pub fn processes(argv: &[&str]) -> Vec<i32> {
    let argv: Vec<_> = argv.iter().map(|word| word.as_bytes()).collect();
    all()
        .filter(|(_, words)| words.iter().map(Vec::as_slice).eq(argv.iter().copied()))
        .map(pid)
        .collect()
}

/// The command lines of the processes that mention a text.
///
/// # Panics
///
/// When there is no `/proc`.
pub fn mentioning(text: &str) -> Vec<String> {
    let lines = all().map(|(_, words)| String::from_utf8_lossy(&words.join(&b' ')).into_owned());
    lines.filter(|line| line.contains(text)).collect()
}

fn pid((pid, _): (i32, Vec<Vec<u8>>)) -> i32 {
    pid
}

fn all() -> impl Iterator<Item = (i32, Vec<Vec<u8>>)> {
    let entries = fs::read_dir("/proc").expect("proc").flatten();
    entries.filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = line.strip_suffix(&[0]).unwrap_or(&line);
        Some((pid, line.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()))
    })
}

/// How many files of this name lie below a directory.
pub fn count_files(dir: &Path, name: &str) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| {
            let path = entry.path();
            usize::from(path.file_name().is_some_and(|file| file == name))
                + if path.is_dir() { count_files(&path, name) } else { 0 }
        })
        .sum()
}
