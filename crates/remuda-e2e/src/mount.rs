//! Small file systems, to be filled.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

/// What one write adds; less than the smallest file system.
const PIECE: usize = 64 << 10;

/// A file system in memory of a given size, unmounted when this is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts it at a new directory.
    ///
    /// # Panics
    ///
    /// When this process may not mount.
    pub fn mount(path: &Path, megabytes: u32) -> Self {
        fs::create_dir_all(path).expect("a directory");
        let size = format!("size={megabytes}m,mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "remuda-test"]).arg(path);
        let output = mount.output().expect("`mount` runs: apt-get install mount");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "this test needs root to mount a small disk: {words}");
        Self { path: path.to_owned() }
    }

    /// Takes all the space there is.
    ///
    /// # Panics
    ///
    /// When the space cannot be taken.
    pub fn fill(&self) {
        let mut file = File::create(self.path.join("ballast")).expect("a file");
        let mut size = PIECE;
        while size > 0 {
            match file.write_all(&vec![0; size]) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => size /= 2,
                Err(error) => panic!("{}: {error}", self.path.display()),
            }
        }
    }

    /// Gives the space back.
    ///
    /// # Panics
    ///
    /// When it was not taken.
    pub fn free(&self) {
        fs::remove_file(self.path.join("ballast")).expect("it was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever still has it open keeps it until then.
        drop(Command::new("umount").arg("--lazy").arg(&self.path).status());
    }
}
