//! The same for one node that is named, or for many that are chosen.

use clap::Args;
use remuda_model::{ClassName, NodeId, Selector};

/// Many nodes instead of one that is named.
#[derive(Debug, Default, Args)]
pub(crate) struct Many {
    /// Every node that meets this condition
    #[arg(long, value_name = "SELECTOR", conflicts_with = "all")]
    pub(crate) on: Option<Selector>,
    /// Every node
    #[arg(long)]
    pub(crate) all: bool,
    /// On how many nodes at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) parallel: u16,
}

impl Many {
    /// Whether no node is named.
    pub(crate) fn is_asked(&self) -> bool {
        self.all || self.on.is_some()
    }

    /// The node that stands first, unless there are many; then the rest.
    pub(crate) fn split<'a>(
        &self,
        words: &'a [String],
    ) -> Result<(Option<NodeId>, &'a [String]), String> {
        match words.split_first() {
            Some((node, rest)) if !self.is_asked() => {
                let node = node.parse::<NodeId>().map_err(|error| error.to_string())?;
                Ok((Some(node), rest))
            }
            _ => Ok((None, words)),
        }
    }
}

/// A class of one node or of many, and what it gets to read: `[NODE] CLASS [JSON]`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ToClass<'a> {
    pub(crate) node: Option<NodeId>,
    pub(crate) class: ClassName,
    /// JSON, or `-`.
    pub(crate) payload: &'a str,
}

impl<'a> ToClass<'a> {
    pub(crate) fn read(words: &'a [String], many: &Many) -> Result<Self, String> {
        let (node, rest) = many.split(words)?;
        let (class, payload) = match rest {
            [class] => (class, "null"),
            [class, payload] => (class, payload.as_str()),
            [] => return Err("the name of the job class is missing".to_owned()),
            _ => return Err("no node is named with --on and --all".to_owned()),
        };
        let class = class.parse::<ClassName>().map_err(|error| error.to_string())?;
        Ok(Self { node, class, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str], all: bool) -> Result<(Option<String>, String, String), String> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let many = Many { all, ..Many::default() };
        let read = ToClass::read(&words, &many)?;
        let node = read.node.map(|node| node.to_string());
        Ok((node, read.class.to_string(), read.payload.to_owned()))
    }

    #[test]
    fn a_node_stands_first_unless_there_are_many() {
        let read_as = |node: Option<&str>, class: &str, payload: &str| {
            Ok((node.map(str::to_owned), class.to_owned(), payload.to_owned()))
        };
        assert_eq!(read(&["a", "node", "1"], false), read_as(Some("a"), "node", "1"));
        assert_eq!(read(&["a", "node"], false), read_as(Some("a"), "node", "null"));
        assert_eq!(read(&["node", "-"], true), read_as(None, "node", "-"));
        assert_eq!(read(&["node"], true), read_as(None, "node", "null"));
        let refused = |words: &[&str], all| read(words, all).expect_err("refused");
        assert!(refused(&["a"], false).contains("job class is missing"));
        assert!(refused(&["A", "node"], false).contains("`A`"));
        assert!(refused(&["a", "no de"], false).contains("`no de`"));
        assert!(refused(&["a", "node", "1"], true).contains("no node is named"));
    }
}
