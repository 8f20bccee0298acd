//! Files that are sent while a test goes on.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::task::JoinHandle;

use crate::{
    Finished, Lab,
    binary::finish,
    wait::{eventually, within},
};

/// A local file of random bytes.
///
/// # Panics
///
/// When it cannot be written.
pub fn random_file(lab: &Lab, name: &str, len: usize) -> PathBuf {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(len as u64).fill(&mut bytes);
    let path = lab.dir().join(name);
    fs::write(&path, bytes).expect("writes");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// A copy on its way to `w1`, to a directory that this machine sees too.
#[derive(Debug)]
pub struct Copying {
    source: PathBuf,
    dir: PathBuf,
    ended: JoinHandle<Finished>,
}

impl Copying {
    /// Begins one by way of a control node.
    ///
    /// # Panics
    ///
    /// When the directory cannot be made.
    pub fn begin(lab: &Lab, at: &str, len: usize) -> Self {
        let source = random_file(lab, "source", len);
        let dir = lab.dir().join("target");
        fs::create_dir_all(&dir).expect("makes");
        let target = format!("w1:{}/", text(&dir));
        let command = lab.command(at, &["cp", text(&source), &target]);
        Self { source, dir, ended: tokio::spawn(finish(command)) }
    }

    /// Waits until some of it is there, hidden.
    ///
    /// # Panics
    ///
    /// When some of it is at its path.
    pub async fn arrives(&self) {
        let arrived = async || {
            let found = fs::read_dir(&self.dir).expect("reads").filter_map(Result::ok);
            found.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum::<u64>()
        };
        eventually("the first bytes", arrived, |bytes| *bytes > 0).await;
        assert!(!self.target().exists(), "nothing half-written is at its path");
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.ended.is_finished()
    }

    fn target(&self) -> PathBuf {
        self.dir.join("source")
    }

    /// Waits for its end, be it good or bad.
    ///
    /// # Panics
    ///
    /// When it does not come.
    pub async fn finished(self) -> Finished {
        within("the end of a copy", self.ended).await.expect("ends")
    }

    /// Waits for a good end.
    ///
    /// # Panics
    ///
    /// When it is bad, or the file is not what was sent.
    pub async fn succeeds(self) {
        let (source, dir, target) = (self.source.clone(), self.dir.clone(), self.target());
        let ended = self.finished().await;
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        assert!(fs::read(&target).expect("is there") == fs::read(&source).expect("is there"));
        assert_eq!(fs::read_dir(&dir).expect("reads").count(), 1, "nothing is left beside it");
    }
}
