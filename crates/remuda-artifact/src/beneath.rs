//! Paths that come from outside, and the directories that they may not leave.
//!
//! The rules of every path: absolute, at most 4,096 bytes, no `..`, no NUL, each name at most 255
//! bytes. It is walked name by name from an open root, without following any symbolic link, so
//! that nobody who changes directories meanwhile can lead it elsewhere.

mod path;
mod walk;

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{FileType, Mode, OFlags};

use self::path::Names;
pub use self::path::PathError;

/// The directories whose files may be read and written from outside, and those beneath them whose
/// files may not.
#[derive(Clone, Debug)]
pub struct Roots {
    roots: Arc<[Root]>,
    except: Arc<[PathBuf]>,
}

#[derive(Debug)]
struct Root {
    path: PathBuf,
    dir: OwnedFd,
}

/// Where a path leads: an open directory and the names from there on.
#[derive(Debug)]
pub struct Located<'a> {
    root: &'a OwnedFd,
    names: Names,
    /// Whether the path says that it is a directory.
    is_dir: bool,
    text: String,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// In bytes.
    pub size: u64,
    /// Its permission bits.
    pub mode: u32,
    /// Changes when the file does, as far as its file system tells.
    pub tag: String,
}

impl Roots {
    /// Opens directories; what lies in `except` stays out of reach.
    ///
    /// # Errors
    ///
    /// When one of them is not there or no directory; names which.
    pub fn open(roots: &[PathBuf], except: &[PathBuf]) -> io::Result<Self> {
        let named = |path: &Path, error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        };
        let open = |given: &PathBuf| {
            let path = given.canonicalize().map_err(|error| named(given, error))?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let dir = rustix::fs::open(&path, flags, Mode::empty())
                .map_err(|error| named(given, error.into()))?;
            Ok(Root { path, dir })
        };
        let roots = roots.iter().map(open).collect::<io::Result<Vec<_>>>()?;
        let except = except.iter().map(|path| path.canonicalize().map_err(|e| named(path, e)));
        let except = except.collect::<io::Result<Vec<_>>>()?;
        Ok(Self { roots: roots.into(), except: except.into() })
    }

    /// Finds the root of a path.
    ///
    /// # Errors
    ///
    /// When the path breaks a rule or lies in no root.
    pub fn locate(&self, text: &str) -> Result<Located<'_>, PathError> {
        let names = Names::parse(text)?;
        let path = names.path();
        if let Some(except) = self.except.iter().find(|except| path.starts_with(except)) {
            return Err(PathError::OutOfReach { path, dir: except.clone() });
        }
        let deepest = self
            .roots
            .iter()
            .filter_map(|root| Some((root, path.strip_prefix(&root.path).ok()?)))
            .max_by_key(|(root, _)| root.path.as_os_str().len());
        let Some((root, rest)) = deepest else {
            let roots = self.roots.iter().map(|root| root.path.clone()).collect();
            return Err(PathError::OutsideRoots { path, roots });
        };
        let depth = rest.components().count();
        let is_dir = text.ends_with('/') || depth == 0;
        Ok(Located { root: &root.dir, names: names.last(depth), is_dir, text: text.to_owned() })
    }
}

impl Located<'_> {
    /// Opens a regular file to read it.
    ///
    /// # Errors
    ///
    /// When there is none, it may not be read, or the way has a symbolic link. Pipes, devices and
    /// directories are no files here.
    pub fn open_file(&self) -> Result<(File, FileInfo), PathError> {
        let (dirs, name) = self.split()?;
        let parent = walk::open_dir(self.root, dirs, &self.text)?;
        walk::open_file(&parent, name, &self.text)
    }

    /// Opens the directory in which the file is or will be, and tells the name of the file there:
    /// that of the path, or `name` when the path is a directory. Missing directories are made
    /// (mode 0755).
    ///
    /// # Errors
    ///
    /// When a directory cannot be opened or made, or the way has a symbolic link.
    pub fn open_parent(&self, name: &str) -> Result<(OwnedFd, String), PathError> {
        path::check_name(name)?;
        if self.is_dir {
            let dir = walk::make_dir(self.root, self.names.as_slice(), &self.text)?;
            return Ok((dir, name.to_owned()));
        }
        let (dirs, last) = self.split()?;
        let parent = walk::make_dir(self.root, dirs, &self.text)?;
        match walk::kind(&parent, last, &self.text)? {
            Some(FileType::Directory) => {
                let dir = walk::make_dir(&parent, std::slice::from_ref(last), &self.text)?;
                Ok((dir, name.to_owned()))
            }
            None | Some(FileType::RegularFile) => Ok((parent, last.clone())),
            Some(FileType::Symlink) => Err(PathError::Symlink(self.text.clone())),
            Some(_) => Err(PathError::NoFile(self.text.clone())),
        }
    }

    fn split(&self) -> Result<(&[String], &String), PathError> {
        match self.names.as_slice().split_last() {
            Some((last, dirs)) if !self.is_dir => Ok((dirs, last)),
            _ => Err(PathError::NoFile(self.text.clone())),
        }
    }
}

#[cfg(test)]
mod tests;
