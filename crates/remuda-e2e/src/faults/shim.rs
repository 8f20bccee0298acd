//! Disks that are slow, fail or lie, by a library that is loaded into a process.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Place;

/// The compiled library.
pub(super) struct Shim(PathBuf);

/// What a disk does from now on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ill {
    /// Each sync takes so many milliseconds more.
    Slow(u64),
    /// The next sync of the log fails.
    Fails,
    /// Syncs do nothing.
    Lies,
}

/// The file that tells the disk of a node how to be.
fn control(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("disk-{name}"))
}

impl Shim {
    /// Compiles it, once for each folder.
    ///
    /// # Panics
    ///
    /// When there is no C compiler.
    pub(super) fn compile(dir: &Path) -> Self {
        let library = dir.join("shim.so");
        if library.exists() {
            return Self(library);
        }
        let source = dir.join("shim.c");
        fs::write(&source, include_str!("shim.c")).expect("a file");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl");
        let output = compile.output().expect("this test needs `cc`: apt-get install gcc");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cannot compile {}: {words}", source.display());
        Self(library)
    }

    /// The same place with such a disk.
    pub(super) fn place(&self, place: Place, dir: &Path, name: &str) -> Place {
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        place.with("LD_PRELOAD", &text(&self.0)).with("REMUDA_SHIM", &text(&control(dir, name)))
    }
}

/// Makes the disk of a node ill.
pub(super) fn fall_ill(dir: &Path, name: &str, ill: Ill) {
    let words = match ill {
        Ill::Slow(ms) => format!("slow {ms}"),
        Ill::Fails => "eio".to_owned(),
        Ill::Lies => "lie".to_owned(),
    };
    // At once or not at all: the library may read it in between.
    let new = dir.join(format!("disk-{name}.new"));
    fs::write(&new, words).and_then(|()| fs::rename(&new, control(dir, name))).expect("a file");
}

/// Whether the disk has not yet done what it was told to do once.
pub(super) fn is_ill(dir: &Path, name: &str) -> bool {
    control(dir, name).exists()
}

/// Cures it.
pub(super) fn recover(dir: &Path, name: &str) {
    // It may have done what it was told to do once, and be well already.
    let _well = fs::remove_file(control(dir, name)).is_err();
}
