//! Reading and replacing `contexts.toml`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use remuda_model::ErrorKind;

use super::Contexts;
use crate::error::Report;

pub(super) fn load(path: &Path) -> Result<Contexts, Report> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contexts::default()),
        Err(error) => return Err(cannot("read", path, &error)),
    };
    // The error of the parser quotes the line, which may hold a token: only its reason is shown.
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        Report::new(ErrorKind::Invalid, format!("{}:{line}: {}", path.display(), error.message()))
            .hint("correct the file, or remove it and start over")
    })
}

pub(super) fn change(path: &Path, change: impl FnOnce(&mut Contexts)) -> Result<(), Report> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let wrong = |error: io::Error| cannot("write", path, &error);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(wrong)?;
    let private = |path: &Path| -> io::Result<File> {
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)
    };
    // Two processes that change the file at once would lose one of the changes.
    let lock = private(&path.with_extension("lock")).map_err(wrong)?;
    lock.lock().map_err(wrong)?;
    let mut contexts = load(path)?;
    change(&mut contexts);
    let text = toml::to_string(&contexts).expect("our own types are writable");
    let temporary = path.with_extension("new");
    let mut file = private(&temporary).map_err(wrong)?;
    file.write_all(text.as_bytes()).map_err(wrong)?;
    fs::rename(&temporary, path).map_err(wrong)
}

fn cannot(verb: &str, path: &Path, error: &io::Error) -> Report {
    Report::new(ErrorKind::Invalid, format!("cannot {verb} `{}`", path.display())).caused_by(error)
}
