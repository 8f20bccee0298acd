//! `nodegroup.conf`: lists of nodes with a name.

use std::collections::{BTreeMap, BTreeSet};

use remuda_run::Target;

use super::{Lines, WrongLine};

const FILE: &str = "nodegroup.conf";
/// The one source of nodes that there was besides eBay's own.
const ADHOC: &str = "ADHOC";

/// A list of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// What stood in the file, and means nothing here.
    pub(crate) statehub: String,
    /// Likewise.
    pub(crate) env: String,
    /// Each once, in their order.
    pub(crate) nodes: Vec<String>,
}

/// Reads the groups of a file, by their ids. A later one of the same id counts.
pub(crate) fn groups(text: &str) -> Result<BTreeMap<String, Group>, WrongLine> {
    let mut groups = BTreeMap::new();
    let mut lines = Lines::new(FILE, text);
    while let Some((line, head)) = lines.head() {
        let words: Vec<&str> = head.split_whitespace().collect();
        let [source, id, statehub, env, ..] = *words else {
            let reason = "expected `ADHOC ID NA NA` before a list of nodes";
            return Err(WrongLine::new(FILE, line, reason));
        };
        if !source.eq_ignore_ascii_case(ADHOC) {
            let reason = format!("`{source}` is no source of nodes; there is `{ADHOC}`");
            return Err(WrongLine::new(FILE, line, reason));
        }
        let mut nodes = Vec::new();
        let mut seen = BTreeSet::new();
        for (line, node) in lines.list("ADHOC_NODE_LIST_START", "ADHOC_NODE_LIST_END")? {
            Target::plain(&node).map_err(|error| WrongLine::new(FILE, line, error.to_string()))?;
            if seen.insert(node.clone()) {
                nodes.push(node);
            }
        }
        let group = Group { statehub: statehub.to_owned(), env: env.to_owned(), nodes };
        groups.insert(id.to_owned(), group);
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_read_once_and_in_order() {
        let text = "%c\nADHOC WEB NA NA\n```ADHOC_NODE_LIST_START\nb.example \n\na.example\n\
                    b.example\n```ADHOC_NODE_LIST_END\n\nadhoc NONE http://x LIVE\n\
                    ADHOC_NODE_LIST_START\nADHOC_NODE_LIST_END";
        let groups = groups(text).expect("groups");
        assert_eq!(groups["WEB"].nodes, ["b.example", "a.example"]);
        assert_eq!((groups["NONE"].nodes.len(), &*groups["NONE"].env), (0, "LIVE"));
    }

    #[test]
    fn wrong_lines_are_named() {
        let start = "ADHOC A NA NA\nADHOC_NODE_LIST_START";
        for (text, line, reason) in [
            ("ADHOC A".to_owned(), 1, "expected `ADHOC ID"),
            ("STATEHUB A NA NA".to_owned(), 1, "no source of nodes"),
            (format!("{start}\na b\nADHOC_NODE_LIST_END"), 3, "not a host name"),
            (format!("{start}\na:80\nADHOC_NODE_LIST_END"), 3, "has no port"),
            (format!("{start}\na\nADHOC_NODE_LIST_START"), 4, "before the"),
            (start.to_owned(), 2, "the file ends before `ADHOC_NODE_LIST_END`"),
        ] {
            let error = groups(&text).expect_err(&text);
            assert_eq!(error.line, line, "{error}");
            assert!(error.reason.contains(reason), "{error}");
        }
    }
}
