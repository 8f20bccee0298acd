//! Texts that people and programs write.

use std::{fmt::Display, str::FromStr};

use remuda_control::ApiToken;
use remuda_link::JoinToken;
use remuda_model::{
    ClassName, ClusterId, Labels, LinkUrl, NodeId, Selector, Span, TaskId, TokenId, Transport,
    node::NodeStatus,
};
use remuda_wire::handshake::Claim;

use super::{text_of, texts};

/// What can be read is written in a form that reads the same.
fn read<T: FromStr + Display + PartialEq>(input: &[u8]) -> Option<T> {
    let value: T = text_of(input)?.parse().ok()?;
    let again = value.to_string().parse::<T>().ok();
    assert!(again.is_some_and(|again| again == value), "`{value}` is not read back");
    Some(value)
}

pub(super) fn labels(input: &[u8]) {
    let Some(mut labels) = read::<Labels>(input) else { return };
    let copy = labels.clone();
    labels.update(&copy);
    labels.remove(["a"]);
}

pub(super) fn label_seeds() -> Vec<Vec<u8>> {
    texts(&["core;group=group1;master, meta2;labelA=1", "a;b=\"x \\\" \\\\ y\",c", "a;b=;c", ""])
}

pub(super) fn selectors(input: &[u8]) {
    let Some(selector) = read::<Selector>(input) else { return };
    let labels: Labels = "core;group=a,b;x=1".parse().expect("labels");
    selector.matches(&labels, &[("name", "w-1"), ("os", "linux")]);
}

pub(super) fn selector_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "core",
        "core && group=a",
        "!(a || b) && c!=d",
        "group in (a,b)",
        "((((a))))",
        "a=\"b c\"",
    ])
}

pub(super) fn urls(input: &[u8]) {
    read::<LinkUrl>(input);
    if let Some(text) = text_of(input) {
        drop(LinkUrl::parse_list(text));
        drop(text.parse::<Transport>());
    }
}

pub(super) fn url_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "remuda://host:1973;transport=wss/path",
        "remuda://[::1]:1;transport=quic",
        "nkcluster://a.b.c",
        "remuda://127.0.0.1:0,remuda://x:7;transport=tcp",
        "<remuda://h>",
    ])
}

/// Secrets and what stands in certificates.
pub(super) fn tokens(input: &[u8]) {
    read::<JoinToken>(input);
    read::<Claim>(input);
    if let Some(token) = text_of(input).and_then(|text| text.parse::<ApiToken>().ok()) {
        assert_eq!(token.reveal().parse::<ApiToken>().as_ref(), Ok(&token));
    }
}

pub(super) fn token_seeds() -> Vec<Vec<u8>> {
    let secret = "A".repeat(43);
    vec![
        format!("rmd1.00000000000000000000000001.{secret}.{secret}").into_bytes(),
        format!("rmt1.tok1.{secret}").into_bytes(),
        b"remuda://00000000000000000000000001/control/c-1".to_vec(),
    ]
}

pub(super) fn names(input: &[u8]) {
    read::<NodeId>(input);
    read::<ClassName>(input);
    read::<ClusterId>(input);
    read::<TokenId>(input);
    read::<NodeStatus>(input);
    if let Some(task) = read::<TaskId>(input) {
        // Names of files are made of it.
        assert!(!task.as_str().contains(['/', '\0']), "{task}");
        assert!(task.as_str() != "." && task.as_str() != "..", "{task}");
    }
    if let Some(text) = text_of(input) {
        drop(text.parse::<Span>());
    }
}

pub(super) fn name_seeds() -> Vec<Vec<u8>> {
    texts(&["w-1", "exec", "00000000000000000000000001", "ready", "250ms", "..", "a/../b", "a.b_c"])
}

/// The grammar of configuration files, as the command reads them: with recovery. What the values
/// mean is read by the parsers of the other targets.
pub(super) fn config(input: &[u8]) {
    if let Some(text) = text_of(input) {
        drop(toml::de::DeTable::parse_recoverable(text));
        drop(toml::from_str::<toml::Table>(text));
    }
}

pub(super) fn config_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "name = \"c1\"\nlisten = [\"remuda://0.0.0.0:1973\", \"remuda://[::]:1;transport=quic\"]\n",
        "labels = 'core;group=a'\n# comment\ncontrol = true\ndrain_limit = \"10s\"\n",
        "a.b.c = 1\n[[x]]\ny = { z = [1, 2, { w = 1979-05-27T07:32:00Z }] }\n",
        "text = \"\"\"\n multi \\\n line \\u00e9\"\"\"\nnumber = 0x1_f\nfloat = -1e10\n",
    ])
}
