//! Disks that can lose power: file systems in image files.
//!
//! What a process wrote is in the memory of the file system until it is synced or some time has
//! passed; the image holds only what came through to the disk. A copy of the image, taken while the
//! file system is mounted, is therefore what a power cut leaves, its journal half written and all.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What stands in a file that is written and not synced before each cut.
static UNSYNCED: [u8; 64 << 10] = [7; 64 << 10];

/// A disk in an image file, unmounted when this is dropped.
#[derive(Debug)]
pub struct Image {
    file: PathBuf,
    mount: PathBuf,
    n_cuts: u32,
}

impl Image {
    /// Makes the disk of a node below the directory of its cluster, and mounts it.
    ///
    /// # Panics
    ///
    /// When this process may not mount.
    pub(crate) fn make(dir: &Path, name: &str, megabytes: u32) -> Self {
        let image = dir.join(format!("disk-{name}-0.img"));
        let file = fs::File::create(&image).expect("a file");
        file.set_len(u64::from(megabytes) << 20).expect("a sparse file");
        run("mkfs.ext4", &["-q", "-F", "-E", "lazy_itable_init=1"], &[image.as_path()]);
        let disk = Self { file: image, mount: dir.join(name), n_cuts: 0 };
        fs::create_dir_all(&disk.mount).expect("a directory");
        disk.attach();
        disk
    }

    /// Cuts the power: everything that was not synced is lost. No process may use the disk.
    ///
    /// # Panics
    ///
    /// When something that was not synced is still there afterwards.
    pub fn cut(&mut self) {
        let unsynced = self.mount.join("unsynced");
        fs::write(&unsynced, UNSYNCED).expect("a file");
        self.n_cuts += 1;
        let copy = self.file.with_file_name(format!(
            "disk-{}-{}.img",
            self.mount.file_name().expect("a name").display(),
            self.n_cuts
        ));
        run("cp", &["--sparse=always"], &[self.file.as_path(), copy.as_path()]);
        self.detach();
        fs::remove_file(&self.file).expect("ours");
        self.file = copy;
        self.attach();
        let left = fs::read(&unsynced).unwrap_or_default();
        assert_ne!(left, UNSYNCED, "the disk kept what was never synced");
    }

    fn attach(&self) {
        // Nothing is written by itself while a test lasts; the image itself need not be durable.
        run(
            "mount",
            &["-o", "loop,commit=600,nobarrier"],
            &[self.file.as_path(), self.mount.as_path()],
        );
    }

    fn detach(&self) {
        // Lazily: whoever still has it open keeps it until then.
        run("umount", &["--lazy"], &[self.mount.as_path()]);
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.mount).status());
    }
}

fn run(program: &str, options: &[&str], paths: &[&Path]) {
    let mut command = Command::new(program);
    let output = command.args(options).args(paths).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {paths:?}: {words}\nthis test needs root to mount");
}
