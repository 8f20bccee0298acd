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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_and_its_result_are_written_as_ever() {
        let file = r#"{"file":{"name":"job.sh","args":["a"]}}"#;
        let function = r#"{"function":{"source":"() => 1"}}"#;
        let repository = r#"{"repository":{"url":"https://h/r","revision":null,"dir":"d","pre":[["a"]],"command":["b","c"],"post":[],"allow_file":false}}"#;
        for text in [file, function, repository] {
            let script: Script = serde_json::from_str(text).expect("a script");
            assert_eq!(serde_json::to_string(&script).expect("JSON"), text);
        }
        let result = |result: Result<u8, String>| serde_json::to_string(&result).expect("JSON");
        assert_eq!(result(Ok(1)), r#"{"Ok":1}"#);
        assert_eq!(result(Err("why".to_owned())), r#"{"Err":"why"}"#);
    }
}
