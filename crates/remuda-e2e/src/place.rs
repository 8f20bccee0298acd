//! Where a process runs: what stands before its command line and in its environment.

use std::{ffi::OsStr, path::Path, process::Command};

/// A network namespace, a wrong clock, or nothing special.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    prefix: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Place {
    /// Processes here are started by another program, which takes their command line after its own
    /// words and becomes the process.
    pub fn behind(prefix: &[&str]) -> Self {
        Self {
            prefix: prefix.iter().map(|word| (*word).to_owned()).collect(),
            environment: Vec::new(),
        }
    }

    /// The same with a variable in the environment.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// A command of this place, with no other environment than a search path.
    pub fn command(&self, program: &Path) -> Command {
        let mut words = self.prefix.iter().map(OsStr::new).chain([program.as_os_str()]);
        let mut command = Command::new(words.next().expect("at least the program"));
        command.args(words).env_clear().env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }
}
