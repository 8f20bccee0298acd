//! Files for a worker and files of a worker, as streams of bulk priority.
//!
//! | call | after it | from the worker |
//! |---|---|---|
//! | [`Call::Put`] | the content from [`Said::Begin`] on, then the end | [`Said`] |
//! | [`Call::Stat`] | nothing | [`Head`] |
//! | [`Call::Get`] | nothing | [`Head`], then the content, then the end |
//!
//! Content is sent as it is, without messages around it.

use remuda_model::{Digest, Epoch, Failure};
use serde::{Deserialize, Serialize};

/// The first message: what is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// The worker takes a file.
    Put(Put),
    /// The worker says what a file is, its digest included.
    Stat {
        /// The file.
        path: String,
    },
    /// The worker sends a file.
    Get {
        /// The file.
        path: String,
        /// From which byte on.
        offset: u64,
        /// The [`File::tag`] that it must still have.
        tag: Option<String>,
    },
}

/// A file for a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// Under which ownership it is sent.
    pub epoch: Epoch,
    /// The digest of the content.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where it goes.
    pub to: Target,
}

/// Where a file goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// To a path of the node.
    Path {
        /// The path; of a directory when it ends with `/`.
        path: String,
        /// The name of the file when the path is that of a directory.
        name: String,
        /// Its permission bits.
        mode: u32,
        /// Whether a file that is there may be replaced.
        overwrite: bool,
    },
    /// To the content that the node keeps by digest.
    Store,
}

/// What the worker says to a [`Put`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// Send the content from this byte on: the rest is here.
    Begin {
        /// The byte.
        offset: u64,
    },
    /// So many bytes are here.
    Progress {
        /// The bytes.
        held: u64,
    },
    /// It is where it should be, on disk; or it was there before.
    Done {
        /// Whether it was there before.
        was_there: bool,
        /// The whole path, when it went to one.
        path: Option<String>,
    },
    /// It is not; nothing of it is at its place.
    Failed(Failure),
}

/// What the worker says to [`Call::Stat`] and [`Call::Get`].
pub type Head = Result<File, Failure>;

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// In bytes.
    pub size: u64,
    /// Its permission bits.
    pub mode: u32,
    /// Changes when the file does.
    pub tag: String,
    /// Its digest; only for [`Call::Stat`].
    pub digest: Option<Digest>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_never_change() {
        let digest: Digest = "0f".repeat(32).parse().expect("a digest");
        let text = digest.as_str().as_bytes();
        let to = Target::Path {
            path: "/a/".to_owned(),
            name: "b".to_owned(),
            mode: 0o644,
            overwrite: true,
        };
        let put = Call::Put(Put { epoch: Epoch(5), digest: digest.clone(), size: 300, to });
        let golden = [&[0, 5, 64], text, &[0xac, 2, 0, 3], b"/a/", &[1], b"b", &[0xa4, 3, 1]];
        assert_eq!(crate::encode(&put)[..], golden.concat());
        let get = Call::Get { path: "/a".to_owned(), offset: 7, tag: Some("t".to_owned()) };
        assert_eq!(crate::encode(&get)[..], *b"\x02\x02/a\x07\x01\x01t");
        let stat = Call::Stat { path: "/a".to_owned() };
        assert_eq!(crate::encode(&stat)[..], *b"\x01\x02/a");
        assert_eq!(crate::encode(&Said::Begin { offset: 9 })[..], [0, 9]);
        assert_eq!(crate::encode(&Said::Progress { held: 9 })[..], [1, 9]);
        let done = Said::Done { was_there: true, path: Some("/".to_owned()) };
        assert_eq!(crate::encode(&done)[..], [2, 1, 1, 1, b'/']);
        let file = File { size: 1, mode: 2, tag: "t".to_owned(), digest: Some(digest.clone()) };
        let head: Head = Ok(file);
        assert_eq!(crate::encode(&head)[..], [&[0, 1, 2, 1, b't', 1, 64], text].concat());
    }
}
