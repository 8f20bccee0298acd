//! `remuda call`.

use clap::Args;
use remuda_model::{ClassName, NodeId, Span};

use super::{Connect, Format, Many};

#[derive(Debug, Args)]
#[command(after_help = "\
An argument is JSON, or a text when it is none. With --on and --all there is one line for each node, and
the exit code is 7 when some of them failed.

Examples:
  remuda call dev1 'function (a, b) { return a + b }' 1 2
  remuda call --on gpu greeter/add 1 2
  remuda call --all @spread.js '{\"sizes\": [1, 2, 3]}'")]
pub(crate) struct CallArgs {
    /// Name of the node, unless --on or --all; then the function: CLASS/NAME of a loaded component,
    /// @FILE with a function in JavaScript, or the function itself; then its arguments
    #[arg(required = true, value_name = "[NODE] FUNCTION [ARG]…", allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) many: Many,
    /// How long the function may run
    #[arg(long, value_name = "SPAN", default_value = "10s")]
    pub(crate) timeout: Span,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) connect: Connect,
}

/// What the words say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CallWords<'a> {
    pub(crate) node: Option<NodeId>,
    pub(crate) function: Function<'a>,
    pub(crate) args: &'a [String],
}

/// Which function.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Function<'a> {
    /// Of a loaded component.
    Of(ClassName, &'a str),
    /// What is in a file.
    File(&'a str),
    /// Itself.
    Source(&'a str),
}

impl<'a> Function<'a> {
    fn read(text: &'a str) -> Self {
        if let Some(path) = text.strip_prefix('@') {
            return Self::File(path);
        }
        let is_name = |name: &str| {
            let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
            !name.is_empty() && name.chars().all(plain)
        };
        match text.split_once('/').map(|(class, name)| (class.parse(), name)) {
            Some((Ok(class), name)) if is_name(name) => Self::Of(class, name),
            _ => Self::Source(text),
        }
    }
}

impl CallArgs {
    pub(crate) fn read(&self) -> Result<CallWords<'_>, String> {
        let (node, rest) = self.many.split(&self.words)?;
        let (function, args) = rest.split_first().ok_or("the function is missing")?;
        Ok(CallWords { node, function: Function::read(function), args })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_of_a_class_in_a_file_or_themselves() {
        let class = "greeter.v1".parse().expect("a name");
        assert_eq!(Function::read("greeter.v1/add"), Function::Of(class, "add"));
        assert_eq!(Function::read("@a/b.js"), Function::File("a/b.js"));
        for source in ["() => 1 / 2", "x => x/y", "function f() {}"] {
            assert_eq!(Function::read(source), Function::Source(source));
        }
    }
}
