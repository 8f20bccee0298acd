//! Functions, files and repositories, run on a node.
//!
//! Three job classes for code that comes with the task: `function` calls a function given as source
//! (JavaScript), `file` runs a file that the node has by its digest, and `repository` clones a
//! repository and runs commands in it.
//!
//! ```text
//! agent ── request ──► function-helper                     one process, locked in, for one call
//!   └── task ──► exec ──► holder ──► script-run DIR ──► whatever the script says
//!                          ▲              └──► events ──► record ──► agent
//!                    outlives the agent
//! ```
//!
//! The processes of tasks belong to a class `exec` with a holder of its own: it starts, watches,
//! limits and stops them, and keeps their output. Here is what it runs: the program of the agent,
//! which enters itself again as [`run_script`] or [`run_function_helper`].

mod events;
mod file;
mod function;
mod held;
mod only_tasks;
mod repository;
mod runner;
mod script;
mod sweep;
mod task_dir;

use std::{
    fmt,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    sync::Arc,
};

use remuda_model::Digest;
use remuda_plugin::Class;

pub use events::Report;
pub use file::FileSpec;
pub use function::{FunctionReply, FunctionSpec, run_function_helper};
pub use repository::RepositorySpec;
pub use runner::run_script;

use crate::{
    file::Files, function::Functions, held::Held, only_tasks::OnlyTasks, repository::Repositories,
};

/// Tells where this node keeps the bytes of a digest. May block.
pub type Lookup = Arc<dyn Fn(&Digest) -> Option<PathBuf> + Send + Sync>;

/// What the classes need from their agent.
#[derive(Clone)]
pub struct ScriptConfig {
    /// A folder of their own, in which tasks work. Programs in it must be allowed to run.
    pub data_dir: PathBuf,
    /// The program that calls [`run_function_helper`] when it is run as `PROGRAM function-helper`,
    /// and [`run_script`] as `PROGRAM script-run DIR`.
    pub program: PathBuf,
    /// Finds files that the node has.
    pub lookup: Lookup,
    /// A class `exec` with a folder of its own, which is not that of the class that users know: its
    /// tasks are those of these classes, and nobody else's.
    pub exec: Arc<dyn Class>,
    /// Whether repositories of this machine (`file:///…`) may be cloned. For tests.
    pub allow_file: bool,
}

impl fmt::Debug for ScriptConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptConfig").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

/// Why there can be no such classes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The folder cannot be used.
    #[error("cannot use the folder `{path}`")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// Makes the classes `function`, `file` and `repository`. All three must be given to the agent.
///
/// # Errors
///
/// When the folder cannot be used.
pub async fn script_classes(config: ScriptConfig) -> Result<Vec<Arc<dyn Class>>, ScriptError> {
    let ScriptConfig { data_dir, program, lookup, exec, allow_file } = config;
    let path = data_dir.clone();
    let made = tokio::task::spawn_blocking(move || {
        let tasks = data_dir.join("tasks");
        DirBuilder::new().recursive(true).mode(0o700).create(&tasks)?;
        Ok((fs::canonicalize(tasks)?, std::path::absolute(program)?))
    });
    let made = made.await.map_err(io::Error::other).and_then(|made| made);
    let (tasks, program) = made.map_err(|cause| ScriptError::Folder { path, cause })?;
    let held = Arc::new(Held::new(tasks, program, exec, 3));
    Ok(vec![
        Arc::new(Functions::new(Arc::clone(&held))),
        Arc::new(OnlyTasks(Files::new(lookup, Arc::clone(&held)))),
        Arc::new(OnlyTasks(Repositories::new(allow_file, held))),
    ])
}
