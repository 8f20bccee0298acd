//! Records as a Parquet file, whole or not at all, or as a stream for another program.

mod rows;

use std::{
    error::Error,
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use parquet::errors::ParquetError;
use remuda::client::{Client, dto::RecordQuery};
use remuda_model::{ErrorKind, RunId};
use tempfile::NamedTempFile;

use self::rows::Rows;
use crate::{
    error::{PrintError, Report, Stop},
    output::{Stream, bytes, escape_line, note},
};

/// Writes the records of a run to a file that appears when all are in it, or to the standard output
/// for `-`.
pub(super) async fn write(
    client: &Client,
    run: &RunId,
    query: &RecordQuery,
    to: &Path,
) -> Result<(), Stop> {
    if to == Path::new("-") {
        if Stream::Stdout.is_terminal() {
            let report = Report::new(ErrorKind::Invalid, "Parquet is no text for a terminal");
            return Err(report.hint("name a file instead of `-`, or pass it on by a pipe").into());
        }
        let mut stdout = Stream::Stdout.writer();
        let failed = |error| match of_system(error) {
            Ok(error) => PrintError(error).into(),
            Err(error) => PrintError(io::Error::other(error)).into(),
        };
        return fill(client, run, query, (&mut *stdout, &failed)).await.map(drop);
    }
    let path = target(to)?;
    let failed = |error: &(dyn Error + 'static)| cannot_write(to, error);
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // As any file that a user makes: who may read it, the umask says.
    let permissions = Permissions::from_mode(0o666);
    let made = tempfile::Builder::new().permissions(permissions).tempfile_in(dir);
    let mut file = made.map_err(|error| failed(&error))?;
    let stopped = |error| failed(&error).into();
    let count = fill(client, run, query, (&mut file, &stopped)).await?;
    let size = keep(file, &path, dir).map_err(|error| failed(&error))?;
    let name = escape_line(&to.display().to_string());
    note(&format!("{name}: {count} records, {}", bytes(size)));
    Ok(())
}

/// Where the file will stand. What is there already must be a file, which is replaced.
fn target(to: &Path) -> Result<PathBuf, Report> {
    let path = match fs::canonicalize(to) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(to.to_owned()),
        Err(error) => return Err(cannot_write(to, &error)),
    };
    if path.is_file() {
        return Ok(path);
    }
    let text = format!("`{}` is not a file", to.display());
    Err(Report::new(ErrorKind::Invalid, text).hint("`--parquet -` is the standard output"))
}

/// Gives the file its name, and tells its size.
fn keep(file: NamedTempFile, path: &Path, dir: &Path) -> io::Result<u64> {
    file.as_file().sync_all()?;
    let size = file.as_file().metadata()?.len();
    file.persist(path).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()?;
    Ok(size)
}

/// Writes all records. Tells how many there were.
async fn fill(
    client: &Client,
    run: &RunId,
    query: &RecordQuery,
    (to, failed): (&mut (dyn Write + Send), &dyn Fn(ParquetError) -> Stop),
) -> Result<u64, Stop> {
    let mut records = client.run_records(run, query).await?;
    let mut rows = Rows::new(to).map_err(failed)?;
    while let Some(record) = records.next().await? {
        rows.add(record).map_err(failed)?;
    }
    rows.finish().map_err(failed)
}

/// The error of the operating system, if it is one.
fn of_system(error: ParquetError) -> Result<io::Error, ParquetError> {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => Ok(*error),
            Err(error) => Err(ParquetError::External(error)),
        },
        error => Err(error),
    }
}

fn cannot_write(path: &Path, error: &(dyn Error + 'static)) -> Report {
    let text = format!("cannot write `{}`", path.display());
    Report::new(ErrorKind::Failed, text).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("r.parquet");
        assert_eq!(target(&path).expect("new"), path);
        for content in ["first", "second"] {
            let mut file = NamedTempFile::new_in(dir.path()).expect("a file");
            file.write_all(content.as_bytes()).expect("written");
            let size = keep(file, &target(&path).expect("a file"), dir.path()).expect("kept");
            assert_eq!(size, content.len() as u64);
            assert_eq!(fs::read_to_string(&path).expect("there"), content);
        }
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1, "nothing else is left");

        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        let real = fs::canonicalize(&path).expect("there");
        assert_eq!(target(&link).expect("a file"), real, "the link stays");
        for other in [dir.path(), Path::new("/dev/null")] {
            let refused = target(other).expect_err("no file").render(false);
            assert!(refused.contains("is not a file"), "{refused}");
        }
    }

    #[test]
    fn a_closed_pipe_is_known_by_its_error() {
        let gone = ParquetError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        let kind = of_system(gone).expect("of the system").kind();
        assert_eq!(kind, io::ErrorKind::BrokenPipe);
        assert!(of_system(ParquetError::General("odd".to_owned())).is_err());
    }
}
