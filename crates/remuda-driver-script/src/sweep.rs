//! Removes what a task has left in its folder, whatever that is.

use std::{
    collections::VecDeque,
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Removes a folder and all in it. Folders that may not be changed, as those of some caches, are
/// opened first; links are not followed. However deep the folders lie in each other, no deep call,
/// no long path and only one open folder comes of it. Blocks.
pub(crate) fn remove(dir: &Path) -> io::Result<()> {
    let mut folders = VecDeque::from([dir.to_owned()]);
    let mut moved = 0;
    while let Some(folder) = folders.pop_front() {
        if !open(&folder)? {
            continue;
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let path = entry.path();
            // The type of the entry itself: a link is no folder.
            if !entry.file_type()?.is_dir() {
                fs::remove_file(path)?;
            } else if folder == dir {
                folders.push_back(path);
            } else if open(&path)? {
                folders.push_back(move_up(&path, dir, &mut moved)?);
            }
        }
        if folder != dir {
            fs::remove_dir(&folder)?;
        }
    }
    match fs::remove_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Gives its owner all rights in a folder. Tells whether it is there.
fn open(folder: &Path) -> io::Result<bool> {
    match fs::set_permissions(folder, Permissions::from_mode(0o700)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        result => result.map(|()| true),
    }
}

/// Moves a folder out of the depth, to a name that nothing has.
fn move_up(folder: &Path, dir: &Path, moved: &mut u64) -> io::Result<PathBuf> {
    loop {
        *moved += 1;
        let name = dir.join(format!(".swept-{moved}"));
        if fs::symlink_metadata(&name).is_err() {
            fs::rename(folder, &name)?;
            return Ok(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

    use super::*;

    #[test]
    fn nothing_is_left_and_links_are_not_followed() {
        let place = tempfile::tempdir().expect("a folder");
        let outside = place.path().join("outside");
        fs::create_dir(&outside).expect("made");
        fs::write(outside.join("kept"), "").expect("written");
        let dir = place.path().join("t");
        let deep = dir.join("a/b");
        fs::create_dir_all(&deep).expect("made");
        fs::create_dir_all(dir.join(".swept-1")).expect("made");
        symlink(&outside, deep.join("link")).expect("linked");
        symlink(&outside, dir.join("link")).expect("linked");
        fs::set_permissions(&deep, Permissions::from_mode(0o500)).expect("changed");
        fs::set_permissions(dir.join("a"), Permissions::from_mode(0o000)).expect("changed");
        remove(&dir).expect("removed");
        assert!(!dir.exists() && outside.join("kept").exists());
        remove(&dir).expect("nothing to remove");
    }

    #[test]
    fn depth_is_no_obstacle() {
        let place = tempfile::tempdir().expect("a folder");
        let dir = place.path().join("t");
        fs::create_dir(&dir).expect("made");
        // Deeper than any path can say.
        let name = "deep".repeat(60);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut folder = openat(CWD, &dir, flags, Mode::empty()).expect("opened");
        for _ in 0..100 {
            mkdirat(&folder, &name, Mode::RWXU).expect("made");
            folder = openat(&folder, &name, flags, Mode::empty()).expect("opened");
        }
        drop(folder);
        assert!(dir.join(&name).join(&name).exists());
        remove(&dir).expect("removed");
        assert!(!dir.exists());
    }
}
