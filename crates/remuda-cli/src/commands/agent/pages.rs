//! Gives back the pages of the program file and of libraries that work needs that is seldom done.
//!
//! A start alone touches most of the program: it reads settings, joins, shakes hands. Such pages stay
//! mapped, and count as memory of the process, until the kernel wants them; on a machine with room to
//! spare it never does. They are copies of files, so that each comes back when it is needed.

#![expect(unsafe_code, reason = "advice on pages goes by address")]

use std::{fs, io, ops::Range, path::Path, time::Duration};

use rustix::mm::{Advice, madvise};
use tokio::time::sleep;

/// When the first work after the start is over, and how often it is done again for what comes
/// seldom: it costs a busy node a millisecond.
const SETTLED: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_mins(1);

/// Does it as long as the node runs. What goes wrong costs only memory.
pub(super) async fn keep_giving_back() {
    sleep(SETTLED).await;
    loop {
        if let Ok(Err(error)) = tokio::task::spawn_blocking(give_back).await {
            tracing::debug!(%error, "pages of the program stay in memory");
        }
        sleep(AGAIN).await;
    }
}

fn give_back() -> io::Result<()> {
    let maps = fs::read_to_string("/proc/self/smaps")?;
    for range in untouched(&maps, &fs::read_link("/proc/self/exe")?) {
        let length = range.end - range.start;
        // SAFETY: the mapping cannot be written to and has no page of its own, so that the kernel
        // reads exactly what was there from the file, the next time that somebody looks.
        unsafe { madvise(range.start as *mut _, length, Advice::LinuxDontNeed) }?;
    }
    Ok(())
}

/// Where this program or a library is mapped as it is in its file: nobody can write there, and
/// nobody has.
fn untouched(smaps: &str, file: &Path) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        if let Some((range, mapping)) = mapping(line) {
            let (permissions, path) = mapping;
            let is_code = Path::new(path) == file || path.contains(".so");
            candidate = (is_code && !permissions.contains(['w', 's'])).then_some(range);
        } else if let Some(own) = line.strip_prefix("Anonymous:")
            && own.trim() == "0 kB"
        {
            found.extend(candidate.take());
        }
    }
    found
}

/// The first line of a mapping: where it is, what may be done there, and its file.
fn mapping(line: &str) -> Option<(Range<usize>, (&str, &str))> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    let (permissions, rest) = rest.split_once(' ')?;
    // Offset, device and inode; then blanks, and the path with whatever blanks it has.
    let path = rest.splitn(4, ' ').nth(3).unwrap_or_default().trim_start();
    Some((start..end, (permissions, path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
00400000-00402000 r--p 00000000 08:02 17                         /opt/my programs/remuda
Size:                  8 kB
Anonymous:             0 kB
VmFlags: rd mr mw me sd
00402000-00409000 r-xp 00002000 08:02 17                         /opt/my programs/remuda
Anonymous:             0 kB
00409000-0040b000 r--p 00009000 08:02 17                         /opt/my programs/remuda
Anonymous:             4 kB
0040b000-0040c000 rw-p 0000b000 08:02 17                         /opt/my programs/remuda
Anonymous:             0 kB
7f0000000000-7f0000001000 r-xp 00000000 08:02 18                 /usr/lib/libc.so.6
Anonymous:             0 kB
7f0000002000-7f0000003000 r--p 00000000 00:00 0
Anonymous:             0 kB
";

    #[test]
    fn only_what_the_file_can_bring_back_is_given_up() {
        let found = untouched(SMAPS, Path::new("/opt/my programs/remuda"));
        let library = 0x7f00_0000_0000..0x7f00_0000_1000;
        let own = [0x0040_0000..0x0040_2000, 0x0040_2000..0x0040_9000];
        assert_eq!(found, [&own[..], std::slice::from_ref(&library)].concat());
        assert_eq!(untouched(SMAPS, Path::new("/opt/other")), [library]);
    }

    #[test]
    fn the_program_goes_on_without_them() {
        let before: Vec<usize> = (0..1000).map(|n| n * n).collect();
        let maps = fs::read_to_string("/proc/self/smaps").expect("a process");
        let program = fs::read_link("/proc/self/exe").expect("a program");
        assert!(!untouched(&maps, &program).is_empty());
        give_back().expect("taken");
        assert_eq!(before, (0..1000).map(|n| n * n).collect::<Vec<usize>>());
    }
}
