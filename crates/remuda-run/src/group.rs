//! Targets that have something in common: the answers of 100,000 in a few lines.

use std::collections::BTreeMap;

use remuda_model::run::{Outcome, Record};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{JsonPath, Target, query::TextPattern};

/// The most groups that are told apart.
pub const MAX_GROUPS: usize = 10_000;
/// The longest value of a group, in bytes; longer ones are shortened.
const MAX_VALUE: usize = 1024;

/// What targets of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The status, or the exit code.
    Status,
    /// How they ended.
    Outcome,
    /// What went wrong.
    Trouble,
    /// Who contacted them.
    Worker,
    /// What the first group of an expression finds in the body, or all that it finds.
    Regex(TextPattern),
    /// What is at a place in the body.
    Json(JsonPath),
    /// The whole body.
    Body,
}

/// Puts records into groups, one at a time. Its memory grows with the number of groups and of hosts
/// that are asked for.
#[derive(Clone, Debug)]
pub struct Grouper {
    by: By,
    hosts: usize,
    groups: BTreeMap<Option<String>, Members>,
    other: u32,
    total: u32,
}

#[derive(Clone, Debug, Default)]
struct Members {
    line: Option<String>,
    count: u32,
    hosts: Vec<Box<str>>,
}

/// Groups, the largest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups {
    /// The groups.
    pub list: Vec<Group>,
    /// How many records are in none of them, since there are too many groups.
    pub other: u32,
    /// How many records there are.
    pub total: u32,
}

/// A group. Its texts come from outside and may hold anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// What they have in common; nothing for those that have no such thing.
    pub value: Option<String>,
    /// When the body is what they have in common, its first line; `value` is its digest then.
    pub line: Option<String>,
    /// How many records there are.
    pub count: u32,
    /// Hosts of the first ones.
    pub hosts: Vec<Box<str>>,
}

impl Grouper {
    /// Groups with at most so many hosts each; all of them if no number is given.
    pub fn new(by: By, hosts: Option<usize>) -> Self {
        let hosts = hosts.unwrap_or(usize::MAX);
        Self { by, hosts, groups: BTreeMap::new(), other: 0, total: 0 }
    }

    /// Puts a record into its group.
    pub fn add(&mut self, target: &Target, record: &Record) {
        self.total += 1;
        let value = self.by.value(record);
        if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&value) {
            self.other += 1;
            return;
        }
        let is_body = self.by == By::Body;
        let members = self.groups.entry(value).or_default();
        members.count += 1;
        if members.hosts.len() < self.hosts {
            members.hosts.push(target.host.clone());
        }
        if is_body && members.line.is_none() && !record.body.is_empty() {
            members.line = Some(first_line(&record.body));
        }
    }

    /// The groups, the largest first, and of equal ones in the order of their values.
    pub fn finish(self) -> Groups {
        let mut list: Vec<Group> = self
            .groups
            .into_iter()
            .map(|(value, Members { line, count, hosts })| Group { value, line, count, hosts })
            .collect();
        // Stable, so equal ones stay in order.
        list.sort_by_key(|group| std::cmp::Reverse(group.count));
        Groups { list, other: self.other, total: self.total }
    }
}

impl By {
    fn value(&self, record: &Record) -> Option<String> {
        match self {
            Self::Status => record.status.map(|status| status.to_string()),
            Self::Outcome => Some(record.outcome.as_str().to_owned()),
            Self::Trouble => {
                record.trouble.as_ref().map(|trouble| trouble.kind.as_str().to_owned())
            }
            Self::Worker => record.worker.as_ref().map(|worker| worker.as_str().to_owned()),
            Self::Regex(pattern) => pattern.extract(&record.body).map(short),
            Self::Json(path) => json_value(path, &record.body),
            // No answer is something else than an empty one.
            Self::Body if record.body.is_empty() && !has_answer(record) => None,
            Self::Body => Some(blake3::hash(&record.body).to_hex().to_string()),
        }
    }
}

fn has_answer(record: &Record) -> bool {
    matches!(record.outcome, Outcome::Ok | Outcome::Unexpected)
}

/// What is at a place: a text as it is, anything else as JSON, several things as a list.
fn json_value(path: &JsonPath, body: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let text = match &*path.find(&document) {
        [] => return None,
        [Value::String(text)] => text.clone(),
        [value] => value.to_string(),
        values => {
            let values: Vec<Value> = values.iter().map(|&value| value.clone()).collect();
            Value::Array(values).to_string()
        }
    };
    Some(short(text.as_bytes()))
}

/// A value as text; a long one by its beginning and what tells it from others.
fn short(value: &[u8]) -> String {
    if value.len() <= MAX_VALUE {
        return String::from_utf8_lossy(value).into_owned();
    }
    let digest = blake3::hash(value).to_hex();
    let start = String::from_utf8_lossy(&value[..MAX_VALUE]);
    format!("{start}… ({} bytes, {})", value.len(), &digest[..16])
}

fn first_line(body: &[u8]) -> String {
    let line = body.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(&line[..line.len().min(MAX_VALUE)]).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use remuda_model::run::{Trouble, TroubleKind};
    use serde_json::json;

    use super::*;

    fn record(body: &[u8]) -> Record {
        let trouble = Trouble::new(TroubleKind::Status, "");
        let mut record = Record::without_answer(0, Outcome::Unexpected, trouble);
        record.status = Some(500);
        record.worker = Some("w1".parse().expect("a name"));
        record.body = body.to_vec();
        record
    }

    fn grouped(by: Value, bodies: &[&[u8]]) -> Groups {
        let by = serde_json::from_value(by).expect("a way to group");
        let mut grouper = Grouper::new(by, Some(2));
        for (at, body) in bodies.iter().enumerate() {
            grouper.add(&Target::plain(&format!("h{at}")).expect("a host"), &record(body));
        }
        grouper.finish()
    }

    fn told(groups: &Groups) -> Vec<(Option<&str>, u32)> {
        groups.list.iter().map(|group| (group.value.as_deref(), group.count)).collect()
    }

    #[test]
    fn a_regular_expression_groups_what_it_finds() {
        let bodies: [&[u8]; 5] = [b"v=2 a", b"v=1", b"none", b"v=2 b", b"v=2"];
        let groups = grouped(json!({"regex": r"v=(\d)"}), &bodies);
        assert_eq!(told(&groups), [(Some("2"), 3), (None, 1), (Some("1"), 1)]);
        let hosts: Vec<_> = groups.list[0].hosts.iter().map(|host| &**host).collect();
        assert_eq!(hosts, ["h0", "h3"]);
        assert_eq!((groups.total, groups.other), (5, 0));
    }

    #[test]
    fn a_path_groups_what_is_there() {
        let bodies: [&[u8]; 5] =
            [br#"{"v":"x"}"#, br#"{"v":1}"#, br#"{"v":"x"}"#, b"<html>", br#"{"v":[1,2]}"#];
        let groups = grouped(json!({"json": "/v"}), &bodies);
        let expected = [(Some("x"), 2), (None, 1), (Some("1"), 1), (Some("[1,2]"), 1)];
        assert_eq!(told(&groups), expected);
        let groups = grouped(json!({"json": "$.v[*]"}), &bodies);
        assert_eq!(told(&groups), [(None, 4), (Some("[1,2]"), 1)]);
    }

    #[test]
    fn bodies_are_grouped_whole() {
        let groups = grouped(json!("body"), &[b"a\r\n1", b"a\n2", b"a\r\n1"]);
        let lines: Vec<_> = groups.list.iter().map(|g| (g.line.as_deref(), g.count)).collect();
        assert_eq!(lines, [(Some("a"), 2), (Some("a"), 1)]);
        assert_eq!(groups.list[0].value.as_deref().map(str::len), Some(64));
        let mut none = record(b"");
        let empty = By::Body.value(&none);
        none.outcome = Outcome::TimedOut;
        assert!(empty.is_some() && By::Body.value(&none).is_none());
    }

    #[test]
    fn other_things_are_grouped_by_their_words() {
        for (by, value) in
            [("status", "500"), ("outcome", "unexpected"), ("trouble", "status"), ("worker", "w1")]
        {
            assert_eq!(told(&grouped(json!(by), &[b""])), [(Some(value), 1)]);
        }
    }

    #[test]
    fn too_many_groups_are_counted_as_others() {
        let mut grouper = Grouper::new(By::Body, Some(0));
        let target = Target::plain("a").expect("a host");
        for at in 0..MAX_GROUPS + 5 {
            grouper.add(&target, &record(at.to_string().as_bytes()));
        }
        grouper.add(&target, &record(b"7"));
        let groups = grouper.finish();
        assert_eq!((groups.list.len(), groups.other), (MAX_GROUPS, 5));
        assert_eq!(groups.list[0].count, 2);
    }

    #[test]
    fn long_values_stay_apart() {
        let long = "x".repeat(5000);
        let other = format!("{long}y");
        let groups = grouped(json!({"regex": "(?s).+"}), &[long.as_bytes(), other.as_bytes()]);
        assert_eq!(groups.list.len(), 2);
        let value = groups.list[0].value.as_deref().expect("a value");
        assert!(value.len() < 1100 && value.contains("bytes, "));
    }

    proptest! {
        #[test]
        fn every_record_is_counted_once(bodies in vec(vec(any::<u8>(), 0..4), 0..40)) {
            for by in [json!("body"), json!({"regex": "."}), json!({"json": "$[*]"}), json!({"json": ""})] {
                let bodies: Vec<&[u8]> = bodies.iter().map(|body| &**body).collect();
                let groups = grouped(by, &bodies);
                let counted: u32 = groups.list.iter().map(|group| group.count).sum();
                prop_assert_eq!(counted as usize, bodies.len());
            }
        }
    }
}
