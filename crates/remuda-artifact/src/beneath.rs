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
    /// The whole path.
    text: String,
}

/// Where a file is or will be: an open directory, and the name there.
#[derive(Debug)]
pub struct Place {
    pub(crate) dir: OwnedFd,
    pub(crate) name: String,
    path: String,
}

impl Place {
    /// The whole path of the file.
    pub fn path(&self) -> &str {
        &self.path
    }
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
        let text = names.to_text();
        Ok(Located { root: &root.dir, names: names.last(depth), is_dir, text })
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

    /// Opens the directory in which the file is or will be: that of the path, or the path itself
    /// when it is a directory, in which the file has the name `name`, if it has one. Missing
    /// directories are made (mode 0755).
    ///
    /// # Errors
    ///
    /// When a directory cannot be opened or made, or the way has a symbolic link.
    pub fn make_place(&self, name: &str) -> Result<Place, PathError> {
        if !name.is_empty() {
            path::check_name(name)?;
        }
        let inside = |dir| {
            if name.is_empty() {
                return Err(PathError::NoFile(self.text.clone()));
            }
            let path = format!("{}/{name}", self.text.trim_end_matches('/'));
            Ok(Place { dir, name: name.to_owned(), path })
        };
        if self.is_dir {
            return inside(walk::make_dir(self.root, self.names.as_slice(), &self.text)?);
        }
        let (dirs, last) = self.split()?;
        let parent = walk::make_dir(self.root, dirs, &self.text)?;
        match walk::kind(&parent, last, &self.text)? {
            Some(FileType::Directory) => {
                inside(walk::make_dir(&parent, std::slice::from_ref(last), &self.text)?)
            }
            None | Some(FileType::RegularFile) => {
                Ok(Place { dir: parent, name: last.clone(), path: self.text.clone() })
            }
            Some(FileType::Symlink) => Err(PathError::Symlink(self.text.clone())),
            Some(_) => Err(PathError::NoFile(self.text.clone())),
        }
    }

    /// Opens the directory in which the file is, without making any.
    ///
    /// # Errors
    ///
    /// When a directory is missing, or the way has a symbolic link.
    pub fn find_place(&self) -> Result<Place, PathError> {
        let (dirs, name) = self.split()?;
        let dir = walk::open_dir(self.root, dirs, &self.text)?;
        Ok(Place { dir, name: name.clone(), path: self.text.clone() })
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
