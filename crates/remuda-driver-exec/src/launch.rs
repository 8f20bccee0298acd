//! From what a user says about a command to a process: every decision is made here by the agent,
//! so that the holder only obeys.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt, fs, io,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::PermissionsExt,
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use remuda_model::{Failure, NodeId, TaskId};
use serde::{Deserialize, Serialize};

use crate::{proc::TASK_VARIABLE, spec::ExecSpec};

mod error;
mod fork;
mod user;

pub(crate) use error::spawn_failure;
pub(crate) use fork::Fork;
use user::Identity;

/// Where programs are looked up when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program and all that it finds around itself, decided and checked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// The file to execute, absolute.
    pub(crate) program: PathBuf,
    /// The arguments, its own name first.
    pub(crate) argv: Vec<String>,
    /// The whole environment.
    env: Vec<(Vec<u8>, Vec<u8>)>,
    /// The working directory, absolute.
    pub(crate) cwd: PathBuf,
    /// Whom to become.
    pub(crate) identity: Option<Identity>,
}

// Without the environment, which may hold secrets.
impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch").field("program", &self.program).finish_non_exhaustive()
    }
}

impl Launch {
    /// Decides how to run a command. Blocks while it looks at the file system and at the users of
    /// the machine.
    ///
    /// # Errors
    ///
    /// Names the field of the spec that is wrong.
    pub(crate) fn prepare(
        spec: &ExecSpec,
        node: &NodeId,
        task: Option<&TaskId>,
    ) -> Result<Self, Failure> {
        check_texts(spec)?;
        let account = spec.user.as_deref().map(user::account).transpose()?;
        let env = environment(spec, account.as_ref(), node, task);
        let cwd = working_directory(spec, account.as_ref())?;
        let path = env.iter().find(|(name, _)| name == "PATH");
        let path = path.map_or(OsStr::new(DEFAULT_PATH), |(_, value)| value);
        let program = find_program(&spec.argv[0], path, &cwd)?;
        Ok(Self {
            program,
            argv: spec.argv.clone(),
            env: env.into_iter().map(|(k, v)| (k.into_vec(), v.into_vec())).collect(),
            cwd,
            identity: account.and_then(|account| account.identity),
        })
    }

    /// The command, ready to be given pipes and spawned. It begins a session and a process group
    /// of its own; `fork` says what else happens in the child.
    ///
    /// # Errors
    ///
    /// When the working directory holds a zero byte, which [`prepare`](Self::prepare) excludes.
    pub(crate) fn command(&self, fork: Fork) -> io::Result<Command> {
        let mut command = Command::new(&self.program);
        command.arg0(self.argv.first().map_or("", String::as_str));
        command.args(self.argv.iter().skip(1));
        command.env_clear();
        for (name, value) in &self.env {
            command.env(OsStr::from_bytes(name), OsStr::from_bytes(value));
        }
        fork::prepare_child(&mut command, self, fork)?;
        Ok(command)
    }
}

fn check_texts(spec: &ExecSpec) -> Result<(), Failure> {
    let zero = |text: &str| text.contains('\0');
    if spec.argv.first().is_none_or(String::is_empty) {
        return Err(Failure::invalid("argv: the name of a program is missing")
            .hint("give the program and its arguments as a list, such as [\"ls\", \"-l\"]"));
    }
    if spec.argv.iter().any(|argument| zero(argument)) {
        return Err(Failure::invalid("argv: an argument holds a zero byte"));
    }
    for (name, value) in &spec.env {
        if name.is_empty() || name.contains('=') || zero(name) || zero(value) {
            let name: String = name.chars().take(40).collect();
            return Err(Failure::invalid(format!(
                "env: `{}` is no variable",
                name.escape_default()
            )));
        }
    }
    Ok(())
}

/// Whether a variable of the agent is not for its tasks: its own ones may hold its join token, and a
/// proxy the password of an account.
fn is_private(name: &OsStr, value: &OsStr) -> bool {
    let is_proxy = name.to_ascii_lowercase().as_bytes().ends_with(b"_proxy");
    name.as_bytes().starts_with(b"REMUDA_") || (is_proxy && value.as_bytes().contains(&b'@'))
}

fn environment(
    spec: &ExecSpec,
    account: Option<&user::Account>,
    node: &NodeId,
    task: Option<&TaskId>,
) -> Vec<(OsString, OsString)> {
    let mut all = std::collections::BTreeMap::<OsString, OsString>::new();
    if !spec.clear_env {
        all.extend(env::vars_os().filter(|(name, value)| !is_private(name, value)));
    }
    if let Some(account) = account {
        for (name, value) in account.variables() {
            all.insert(name.into(), value.into());
        }
    }
    all.extend(spec.env.iter().map(|(name, value)| (name.into(), value.into())));
    all.insert("REMUDA_NODE".into(), node.as_str().into());
    if let Some(task) = task {
        all.insert(TASK_VARIABLE.into(), task.as_str().into());
    }
    all.into_iter().collect()
}

fn working_directory(spec: &ExecSpec, account: Option<&user::Account>) -> Result<PathBuf, Failure> {
    let Some(cwd) = &spec.cwd else {
        let home = account.map(|account| account.home.clone());
        let own = home.or_else(|| env::current_dir().ok());
        let own = own.filter(|dir| dir.is_dir() && dir.to_str().is_some());
        return Ok(own.unwrap_or_else(|| "/".into()));
    };
    let path = Path::new(cwd);
    if !path.is_absolute() || cwd.contains('\0') || cwd.len() > 4096 {
        return Err(Failure::invalid("cwd: not an absolute path")
            .hint("give the working directory as an absolute path on the node, such as /tmp"));
    }
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(path.to_owned()),
        Ok(_) => Err(Failure::invalid(format!("cwd: `{cwd}` is no directory"))),
        // It is said again, more precisely, when the child tries to go there as its user.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(path.to_owned()),
        Err(error) => {
            Err(Failure::invalid(format!("cwd: no directory `{cwd}` on this node: {error}"))
                .hint("create it first, or leave it out"))
        }
    }
}

fn find_program(name: &str, path: &OsStr, cwd: &Path) -> Result<PathBuf, Failure> {
    if name.contains('/') {
        // Whether it can be executed is for the kernel to say: it knows why not.
        let program = cwd.join(name);
        return if program.exists() { Ok(program) } else { Err(no_such_program(name)) };
    }
    let executable = |file: &PathBuf| {
        fs::metadata(file)
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let utf8 = |file: &PathBuf| file.to_str().is_some();
    env::split_paths(path)
        .map(|dir| cwd.join(dir).join(name))
        .find(|file| executable(file) && utf8(file))
        .ok_or_else(|| no_such_program(name))
}

fn no_such_program(name: &str) -> Failure {
    let shown: String = name.chars().take(200).collect();
    let shown = shown.escape_debug();
    let hint = if name.contains([' ', '|', '>', '&', ';', '$']) {
        "this is no shell: give program and arguments apart, or run sh -c '…'"
    } else {
        "install it there, give its full path, or set PATH in env"
    };
    Failure::invalid(format!("no such program on this node: `{shown}`"))
        .code("no_such_program")
        .hint(hint)
}

#[cfg(test)]
mod tests;
