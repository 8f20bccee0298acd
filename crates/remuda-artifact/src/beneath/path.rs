//! The text of a path, checked before anything is opened.

use std::{io, path::PathBuf};

use remuda_model::{ErrorKind, Failure};

/// The longest path and the longest name in it, in bytes.
const MAX_PATH: usize = 4096;
const MAX_NAME: usize = 255;

/// A path cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// It breaks a rule of its text.
    #[error("the path {path:?} {rule}")]
    Malformed {
        /// The path, cut after 200 characters.
        path: String,
        /// What is wrong.
        rule: &'static str,
    },
    /// It lies in no directory whose files may be used.
    #[error("{path:?} lies outside of the directories whose files may be used")]
    OutsideRoots {
        /// The path.
        path: PathBuf,
        /// The directories.
        roots: Vec<PathBuf>,
    },
    /// It lies in a directory that is nobody's business.
    #[error("{path:?} lies in {dir:?}, whose files cannot be used")]
    OutOfReach {
        /// The path.
        path: PathBuf,
        /// The directory.
        dir: PathBuf,
    },
    /// A name of it is a symbolic link.
    #[error("{0:?} goes through a symbolic link")]
    Symlink(String),
    /// It is a directory, a pipe or a device.
    #[error("{0:?} is no regular file")]
    NoFile(String),
    /// The system refused.
    #[error("{path:?}: {source}")]
    Io {
        /// The path.
        path: String,
        /// What it said.
        source: io::Error,
    },
}

impl PathError {
    pub(super) fn io(path: &str, source: impl Into<io::Error>) -> Self {
        Self::Io { path: path.to_owned(), source: source.into() }
    }
}

impl From<PathError> for Failure {
    fn from(error: PathError) -> Self {
        let text = error.to_string();
        match error {
            PathError::Malformed { .. } => Self::invalid(text).code("bad_path"),
            PathError::OutsideRoots { roots, .. } => {
                let roots: Vec<_> = roots.iter().map(|root| root.display().to_string()).collect();
                Self::new(ErrorKind::Forbidden, text)
                    .code("path_outside")
                    .hint(format!("the node allows {}", roots.join(", ")))
            }
            PathError::OutOfReach { .. } => {
                Self::new(ErrorKind::Forbidden, text).code("path_outside")
            }
            PathError::Symlink(_) => Self::new(ErrorKind::Forbidden, text)
                .code("path_symlink")
                .hint("give the path to which the link leads"),
            PathError::NoFile(_) => Self::invalid(text).code("no_file"),
            PathError::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Self::not_found(text).code("no_file"),
                io::ErrorKind::PermissionDenied => Self::new(ErrorKind::Forbidden, text)
                    .hint("the agent works with the rights of its user"),
                io::ErrorKind::NotADirectory => Self::invalid(text).code("bad_path"),
                _ => Self::failed(text),
            },
        }
    }
}

/// The names of a path, from the root of the file system on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names(Vec<String>);

impl Names {
    pub(super) fn parse(text: &str) -> Result<Self, PathError> {
        let malformed = |rule| {
            let path = text.chars().take(200).collect();
            Err(PathError::Malformed { path, rule })
        };
        if text.len() > MAX_PATH {
            return malformed("is longer than 4096 bytes");
        }
        if text.contains('\0') {
            return malformed("contains a NUL");
        }
        if !text.starts_with('/') {
            return malformed("does not begin with `/`");
        }
        let names = text.split('/').filter(|name| !name.is_empty() && *name != ".");
        let names: Vec<_> = names.map(str::to_owned).collect();
        if names.iter().any(|name| name == "..") {
            return malformed("contains `..`");
        }
        if names.iter().any(|name| name.len() > MAX_NAME) {
            return malformed("has a name of more than 255 bytes");
        }
        Ok(Self(names))
    }

    pub(super) fn path(&self) -> PathBuf {
        self.to_text().into()
    }

    pub(super) fn to_text(&self) -> String {
        format!("/{}", self.0.join("/"))
    }

    /// The last so many of them.
    pub(super) fn last(mut self, n: usize) -> Self {
        let at = self.0.len().saturating_sub(n);
        Self(self.0.split_off(at))
    }

    pub(super) fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// Refuses what is no name of a file, but for the empty one.
pub(super) fn check_name(name: &str) -> Result<(), PathError> {
    let rule = match name {
        "." | ".." => "is no name of a file",
        name if name.len() > MAX_NAME => "has a name of more than 255 bytes",
        name if name.contains(['/', '\0']) => "is no name of a file",
        _ => return Ok(()),
    };
    Err(PathError::Malformed { path: name.chars().take(200).collect(), rule })
}
