//! What the configuration files say, all together.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crate::conf::{self, Command, GLOBAL_HEADERS, Group, Protocol, Rule, WrongLine};

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// Commands, groups of nodes, rules of aggregation and headers, by their ids.
#[derive(Clone, Debug)]
pub struct Catalogue {
    pub(crate) commands: BTreeMap<String, Command>,
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) rules: BTreeMap<String, Rule>,
    pub(crate) headers: BTreeMap<String, Vec<(String, String)>>,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is wrong.
    #[error(transparent)]
    Line(#[from] WrongLine),
}

impl Catalogue {
    /// Reads `agentcommand.conf`, and if they are there `nodegroup.conf`, `aggregation.conf` and
    /// `httpheader.conf` of a directory. Blocks.
    ///
    /// # Errors
    ///
    /// When a file cannot be read; names the first line that is wrong.
    pub fn load(dir: &Path) -> Result<Self, CatalogueError> {
        let commands = read(dir, "agentcommand.conf")?;
        let optional = |name| match read(dir, name) {
            Err(CatalogueError::Read { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Ok(String::new())
            }
            read => read,
        };
        let (groups, rules) = (optional("nodegroup.conf")?, optional("aggregation.conf")?);
        Ok(Self::parse(&commands, &groups, &rules, &optional("httpheader.conf")?)?)
    }

    /// The same of the texts of the files.
    pub(crate) fn parse(
        commands: &str,
        groups: &str,
        rules: &str,
        headers: &str,
    ) -> Result<Self, WrongLine> {
        let json = ("content-type".to_owned(), "application/json".to_owned());
        let mut sets = BTreeMap::from([(GLOBAL_HEADERS.to_owned(), vec![json])]);
        sets.extend(conf::headers(headers)?);
        let catalogue = Self {
            commands: conf::commands(commands)?,
            groups: conf::groups(groups)?,
            rules: conf::aggregations(rules)?,
            headers: sets,
        };
        for command in catalogue.commands.values() {
            catalogue
                .headers_of(command)
                .map_err(|reason| WrongLine::new("agentcommand.conf", command.line, reason))?;
        }
        Ok(catalogue)
    }

    /// The headers of a command.
    pub(crate) fn headers_of(&self, command: &Command) -> Result<&[(String, String)], String> {
        if matches!(command.protocol, Protocol::Ssh(_)) {
            return Ok(&[]);
        }
        let headers = self.headers.get(&command.headers);
        headers.map(Vec::as_slice).ok_or_else(|| format!("unknown headers `{}`", command.headers))
    }
}

fn read(dir: &Path, name: &str) -> Result<String, CatalogueError> {
    let path = dir.join(name);
    let read = || {
        let mut text = String::new();
        File::open(&path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_FILE {
            return Err(io::Error::other("the file is longer than 64 MiB"));
        }
        Ok(text)
    };
    read().map_err(|source| CatalogueError::Read { path: path.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_needs_commands_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let error = Catalogue::load(dir.path()).expect_err("no commands");
        assert!(error.to_string().contains("agentcommand.conf"), "{error}");
        let write =
            |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect(name);
        write("agentcommand.conf", "A GET http 80 / 0 -1 -1\n```\nB GET http 80 / 0 -1 -1 X\n```");
        let error = Catalogue::load(dir.path()).expect_err("unknown headers");
        assert_eq!(error.to_string(), "agentcommand.conf, line 3: unknown headers `X`");
        write("httpheader.conf", "X\nHTTP_HEADER_LIST_START\nHTTP_HEADER_LIST_END");
        let catalogue = Catalogue::load(dir.path()).expect("whole");
        assert_eq!(catalogue.headers_of(&catalogue.commands["A"]).expect("headers").len(), 1);
        assert!(catalogue.groups.is_empty() && catalogue.rules.len() == 2);
    }
}
