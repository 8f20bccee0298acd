//! Which cluster a command talks to.
//!
//! `contexts.toml` keeps connections by name:
//!
//! ```toml
//! current = "dev"
//!
//! [contexts.dev]
//! addr = "http://127.0.0.1:44200"
//! token = "rmt1.…"
//! ```

mod file;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use remuda_model::ErrorKind;
use serde::{Deserialize, Serialize};

use crate::{args::Connect, environment::Environment, error::Report};

/// Where a cluster is asked when nothing else is said.
pub(crate) const DEFAULT_ADDR: &str = "http://127.0.0.1:44200";

/// What `contexts.toml` holds.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The one to use unless told otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// By name.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// One connection.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// Address of the API.
    pub(crate) addr: String,
    /// API token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// File with certificates (PEM) to trust with `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// The `remuda dev` that made this entry and removes it when it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dev_process: Option<u32>,
}

/// Where to connect, and by what right.
#[derive(PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) addr: String,
    pub(crate) token: Option<String>,
    pub(crate) ca: Option<PathBuf>,
}

/// Where the file lies.
pub(crate) fn path(environment: &Environment) -> Option<PathBuf> {
    Some(environment.user_dir("XDG_CONFIG_HOME", ".config")?.join("remuda/contexts.toml"))
}

impl Contexts {
    /// Reads the file; a missing one is empty.
    pub(crate) fn load(path: &Path) -> Result<Self, Report> {
        file::load(path)
    }

    /// Changes the file while no other process does; it is readable for its owner only.
    pub(crate) fn change(path: &Path, change: impl FnOnce(&mut Self)) -> Result<(), Report> {
        file::change(path, change)
    }

    fn get(&self, name: &str) -> Result<&Context, Report> {
        self.contexts.get(name).ok_or_else(|| {
            let known: Vec<_> = self.contexts.keys().map(String::as_str).collect();
            let hint = if known.is_empty() {
                "no context is known; `remuda dev` makes one, or give --addr and --token".to_owned()
            } else {
                format!("known contexts: {}", known.join(", "))
            };
            Report::new(ErrorKind::NotFound, format!("no context is called `{name}`")).hint(hint)
        })
    }
}

impl Target {
    /// Options win over variables, and what is said now over the current context.
    pub(crate) fn resolve(
        connect: &Connect,
        environment: &Environment,
        contexts: &Contexts,
    ) -> Result<Self, Report> {
        let named = connect.context.as_deref().map(|name| contexts.get(name)).transpose()?;
        let fallback = match environment.get("REMUDA_CONTEXT") {
            Some(name) if named.is_none() && connect.addr.is_none() => Some(contexts.get(name)?),
            _ => contexts.current.as_ref().and_then(|name| contexts.contexts.get(name)),
        };
        let addr = (connect.addr.as_deref())
            .or(named.map(|context| context.addr.as_str()))
            .or(environment.get("REMUDA_ADDR"))
            .or(fallback.map(|context| context.addr.as_str()))
            .unwrap_or(DEFAULT_ADDR);
        let ca = (connect.ca.clone())
            .or_else(|| named.and_then(|context| context.ca.clone()))
            .or_else(|| environment.get("REMUDA_CA").map(PathBuf::from))
            .or_else(|| fallback.and_then(|context| context.ca.clone()));
        // The token of a context goes to the address of that context and nowhere else.
        let token_of =
            |context: &Context| context.token.clone().filter(|_| same_addr(&context.addr, addr));
        let token = (connect.token.clone())
            .or_else(|| named.and_then(token_of))
            .or_else(|| environment.get("REMUDA_TOKEN").map(str::to_owned))
            .or_else(|| fallback.and_then(token_of));
        Ok(Self { addr: addr.to_owned(), token, ca })
    }
}

fn same_addr(left: &str, right: &str) -> bool {
    left.trim_end_matches('/') == right.trim_end_matches('/')
}

#[cfg(test)]
mod tests;
