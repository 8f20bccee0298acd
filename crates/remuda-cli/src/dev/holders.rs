//! Ends the holders of local nodes, and with them every process that the nodes started.
//!
//! A holder outlives its agent on purpose. When the whole cluster goes, it must not.

use std::{fs, path::Path, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::Instant;

/// How long holders have to end their tasks.
const LIMIT: Duration = Duration::from_secs(5);
/// How often is looked whether they have.
const LOOK: Duration = Duration::from_millis(20);

/// Ends all holders whose directory lies under `root`: first asked, then by force.
pub(crate) async fn end_all(root: &Path) {
    let deadline = Instant::now() + LIMIT;
    let mut asked = Vec::new();
    loop {
        let running = find(root);
        if running.is_empty() {
            return;
        }
        let late = Instant::now() > deadline;
        for pid in running {
            // Sending fails only for a process that has just ended.
            if late {
                let _ended = kill(pid, Signal::SIGKILL).is_err();
            } else if !asked.contains(&pid) {
                asked.push(pid);
                let _ended = kill(pid, Signal::SIGTERM).is_err();
            }
        }
        if late {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The processes with the command line `… holder --dir DIR`.
fn find(root: &Path) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let holder = |entry: fs::DirEntry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        is_holder(&line, root).then(|| Pid::from_raw(pid))
    };
    entries.flatten().filter_map(holder).collect()
}

fn is_holder(command_line: &[u8], root: &Path) -> bool {
    let words: Vec<_> =
        command_line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    match words.as_slice() {
        [_program, holder, option, dir, ..] => {
            holder == "holder" && option == "--dir" && Path::new(dir.as_ref()).starts_with(root)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_holders_below_the_directory_count() {
        let root = Path::new("/tmp/a");
        assert!(is_holder(b"/bin/remuda\0holder\0--dir\0/tmp/a/dev1/holder\0", root));
        for other in [
            b"/bin/remuda\0holder\0--dir\0/tmp/ab/holder\0".as_slice(),
            b"/bin/remuda\0agent\0--dir\0/tmp/a/dev1\0",
            b"vim\0holder\0",
            b"",
        ] {
            assert!(!is_holder(other, root));
        }
    }
}
