//! The route table of the API and the one that people read say the same.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result};

use super::Findings;
use crate::shell::root;

const CODE: &str = "crates/remuda-api/src/route.rs";
const TEXT: &str = "docs/api.md";

/// Method, path and scope.
type Route = (String, String, String);

pub(super) fn check(findings: &mut Findings) -> Result<()> {
    let read = |path: &str| fs::read_to_string(root().join(path)).with_context(|| path.to_owned());
    let (code, text) = (in_code(&read(CODE)?), in_text(&read(TEXT)?));
    if code.is_empty() {
        findings.add(format!("{CODE}: no route was found; has the table another form?"));
    }
    for route in code.difference(&text) {
        findings.add(format!("{TEXT}: lacks {route:?}"));
    }
    for route in text.difference(&code) {
        findings.add(format!("{TEXT}: {route:?} is no route"));
    }
    Ok(())
}

/// Reads lines such as `GET "/v1/nodes" Scope(Read) => node::list_nodes,`.
fn in_code(code: &str) -> BTreeSet<Route> {
    let route = |line: &str| {
        let (head, _handler) = line.trim().split_once(" => ")?;
        let mut words = head.split(' ');
        let (method, path, access) = (words.next()?, words.next()?, words.next()?);
        let path = path.strip_prefix('"')?.strip_suffix('"')?;
        let scope = access.trim_start_matches("Scope(").trim_end_matches(')').to_lowercase();
        Some((method.to_owned(), path.to_owned(), scope))
    };
    code.lines().filter_map(route).collect()
}

/// Reads rows such as ``| GET | `/v1/nodes` | read | all nodes |``.
fn in_text(text: &str) -> BTreeSet<Route> {
    let route = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let (method, path, scope) = (cells.next()?, cells.next()?, cells.next()?);
        let path = path.strip_prefix("`/")?.strip_suffix('`')?;
        Some((method.to_owned(), format!("/{path}"), scope.to_owned()))
    };
    text.lines().filter_map(route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_are_read() {
        let route = || ("GET".to_owned(), "/v1/nodes".to_owned(), "read".to_owned());
        let code = "    GET \"/v1/nodes\" Scope(Read) => node::list_nodes,\n    other => line,";
        assert_eq!(in_code(code), BTreeSet::from([route()]));
        let text = "| method | path | scope |\n|---|---|---|\n| GET | `/v1/nodes` | read | all |";
        assert_eq!(in_text(text), BTreeSet::from([route()]));
    }
}
