//! What the class `wasm` is asked, and what it answers.

mod name;
mod quota;

use remuda_model::{ClassName, Digest, Failure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::name::Names;
pub use self::quota::Quota;

/// What is asked of the class `wasm`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WasmRequest {
    /// Loads a component as a job class; answered with what is loaded then. One that is loaded
    /// already becomes current, with these grants and quotas for whatever begins from then on.
    Load(Box<Load>),
    /// What is loaded.
    List,
    /// Unloads versions; answered with them. What runs goes on to its end.
    Unload(Unload),
    /// Calls a function of a loaded class; answered with its result.
    Call(Call),
}

/// A component, and what it is loaded as.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// The name of the class: at most 30 letters, digits, `_` and `-`.
    pub name: String,
    /// The version: at most 32 letters, digits, `.`, `_` and `-`; else the first twelve digits of the
    /// digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Which component.
    pub digest: Digest,
    /// What its instances may use.
    #[serde(default)]
    pub quota: Quota,
    /// What it may import.
    #[serde(default)]
    pub grants: Grants,
    /// Whether the plain name means this version from now on.
    #[serde(default = "yes")]
    pub current: bool,
}

fn yes() -> bool {
    true
}

/// What a component may import; nothing unless it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// Lines in the log of the node.
    pub log: bool,
    /// What time it is.
    pub clock: bool,
    /// Values that all its instances share.
    pub key_value: bool,
    /// A folder of its own.
    pub files: bool,
    /// Events.
    pub events: bool,
    /// Hosts that it may ask over HTTP: `HOST`, which means port 80, or `HOST:PORT`.
    pub http: Vec<String>,
}

impl Grants {
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.http.len() > 64 {
            return Err(Failure::invalid("grants.http: at most 64 hosts"));
        }
        for host in &self.http {
            let valid = host.parse::<hyper::http::uri::Authority>().is_ok_and(|authority| {
                !authority.as_str().contains('@') && !authority.host().is_empty()
            });
            if !valid {
                let host: String = host.chars().take(80).collect();
                return Err(Failure::invalid(format!("grants.http: `{host}` is no host"))
                    .hint("write `HOST` or `HOST:PORT`"));
            }
        }
        Ok(())
    }
}

/// Which versions to unload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unload {
    /// The name of the class.
    pub name: String,
    /// The version; else all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether its values and its folder go too, which they only may with the last version.
    #[serde(default)]
    pub purge: bool,
}

/// A call of a function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The class: `NAME`, or `NAME.vVERSION`.
    pub class: ClassName,
    /// The name of the function.
    pub function: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Value,
}

/// What the class `wasm` answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum WasmReply {
    /// To `load`.
    Loaded(Box<Loaded>),
    /// To `list` and `unload`.
    Classes(Vec<Loaded>),
    /// To `call`.
    Value(Value),
}

/// A version of a class that is loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// The name of the class.
    pub name: String,
    /// The version.
    pub version: String,
    /// The class that is always this version: `NAME.vVERSION`.
    pub class: ClassName,
    /// Whether the plain name means this version.
    pub current: bool,
    /// How far it is.
    pub state: State,
    /// Which component.
    pub digest: Digest,
    /// What it offers, of `requests`, `functions` and `tasks`; nothing while it is compiled.
    pub exports: Vec<String>,
    /// Tasks that run.
    pub tasks: u32,
    /// What its instances may use.
    pub quota: Quota,
    /// What it may import.
    pub grants: Grants,
}

/// How far a loaded version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is compiled again after a start of the agent; requests wait for it.
    Compiling,
    /// It works.
    Ready,
    /// It takes nothing new and goes with its last task.
    Draining,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_short_json() {
        let digest = "0f".repeat(32);
        let load = format!(r#"{{"load":{{"name":"greeter","digest":"{digest}"}}}}"#);
        let WasmRequest::Load(load) = serde_json::from_str(&load).expect("a load") else {
            panic!("no load");
        };
        assert!(load.current && load.version.is_none());
        assert_eq!((load.quota, load.grants), (Quota::default(), Grants::default()));
        assert_eq!(
            serde_json::from_str::<WasmRequest>(r#""list""#).expect("list"),
            WasmRequest::List
        );
        let call = r#"{"call":{"class":"a.v1","function":"f"}}"#;
        assert!(
            matches!(serde_json::from_str(call), Ok(WasmRequest::Call(call)) if call.args.is_null())
        );
    }

    #[test]
    fn a_grant_that_nobody_knows_is_refused() {
        assert!(serde_json::from_str::<Grants>(r#"{"sockets":true}"#).is_err());
        let asks = |host: &str| Grants { http: vec![host.to_owned()], ..Grants::default() }.check();
        for good in ["example.org", "example.org:8080", "[::1]:80", "127.0.0.1"] {
            asks(good).expect(good);
        }
        for bad in ["", "http://example.org", "a b", "user@host", "host/path"] {
            assert!(asks(bad).is_err(), "{bad:?}");
        }
    }
}
