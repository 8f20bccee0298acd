//! `remuda cp`.

use std::{path::PathBuf, str::FromStr};

use clap::Args;
use remuda_model::{NodeId, Selector};

use super::{Connect, Format};

#[derive(Debug, Args)]
#[command(after_help = "\
A file on a node is written NODE:/PATH; a local path that looks like one begins with `./`. A path that
ends with `/`, or that of a directory, takes the file under its own name. The file appears at once,
when it is whole, and replaces another; a copy that broke off goes on where it was.

Examples:
  remuda cp model.bin dev1:/var/lib/models/
  remuda cp model.bin --on gpu:/var/lib/models/
  remuda cp model.bin --all /var/lib/models/
  remuda cp dev1:/etc/os-release .
  remuda cp dev1:/srv/data.tar dev2:/srv/")]
pub(crate) struct CpArgs {
    /// The file
    #[arg(value_name = "SRC")]
    pub(crate) source: Place,
    /// Where it goes
    #[arg(value_name = "DST", required_unless_present_any = ["on", "all"], conflicts_with_all = ["on", "all"])]
    pub(crate) target: Option<Place>,
    /// To this path of every node that meets the condition
    #[arg(long, value_name = "SELECTOR:/PATH", conflicts_with = "all")]
    pub(crate) on: Option<Target>,
    /// To this path of every node
    #[arg(long, value_name = "/PATH", value_parser = absolute)]
    pub(crate) all: Option<String>,
    /// Fail where another file is, instead of replacing it
    #[arg(long, short)]
    pub(crate) no_clobber: bool,
    /// Permission bits, such as 755; those of the source unless given
    #[arg(long, value_name = "OCTAL", value_parser = mode)]
    pub(crate) mode: Option<u32>,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) connect: Connect,
}

/// A file here or on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Here.
    Local(PathBuf),
    /// On a node.
    Node(NodePath),
}

/// A file on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodePath {
    pub(crate) node: NodeId,
    pub(crate) path: String,
}

/// A path on all nodes of a kind.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) selector: Selector,
    pub(crate) path: String,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A name of a node has no `/`: what has one before the colon is a local path.
        match text.split_once(':') {
            Some((node, path)) if !node.contains('/') && !node.is_empty() => {
                let node = node.parse().map_err(|error| {
                    format!("{error}; a local path with a colon begins with `./`")
                })?;
                Ok(Self::Node(NodePath { node, path: absolute(path)? }))
            }
            _ if text.is_empty() => Err("the path is empty".to_owned()),
            _ => Ok(Self::Local(text.into())),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.find(":/").ok_or("expected SELECTOR:/PATH")?;
        let selector = text[..at].parse().map_err(|error| format!("{error}"))?;
        Ok(Self { selector, path: text[at + 1..].to_owned() })
    }
}

fn absolute(path: &str) -> Result<String, String> {
    if path.starts_with('/') {
        Ok(path.to_owned())
    } else {
        Err(format!("`{path}`: a path on a node begins with `/`"))
    }
}

fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("expected three octal digits, such as 644".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_and_local_paths_are_told_apart() {
        let node = |node: &str, path: &str| {
            Place::Node(NodePath { node: node.parse().expect("valid"), path: path.to_owned() })
        };
        for (text, place) in [
            ("a", Place::Local("a".into())),
            ("./a:b", Place::Local("./a:b".into())),
            ("/a:b", Place::Local("/a:b".into())),
            ("dev1:/a:b", node("dev1", "/a:b")),
        ] {
            assert_eq!(text.parse(), Ok(place), "{text}");
        }
        for bad in ["", "dev1:a", "dev1:", "DEV:/a"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_target_is_a_selector_and_a_path() {
        let target: Target = "gpu && rack==7:/var/lib/".parse().expect("both");
        assert_eq!(target.path, "/var/lib/");
        assert!("gpu".parse::<Target>().is_err());
        assert!("gpu:var".parse::<Target>().is_err());
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode("755"), Ok(0o755));
        assert!(mode("4755").is_err() && mode("9").is_err());
    }
}
