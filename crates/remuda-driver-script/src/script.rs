//! What a task does, as the agent writes it down for the process that does it.

use serde::{Deserialize, Serialize};

use crate::{function::FunctionSpec, repository::Checkout};

/// What is done in the folder of a task.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Script {
    /// Calls a function.
    Function(FunctionSpec),
    /// Runs a file that lies in the folder.
    File { name: String, args: Vec<String> },
    /// Clones a repository into the folder and runs commands there.
    Repository(Checkout),
}

impl Script {
    /// The file that holds it.
    pub(crate) const FILE: &str = "script.json";

    /// The file that holds the result of a function, or its error.
    pub(crate) const RESULT: &str = "result.json";
}
