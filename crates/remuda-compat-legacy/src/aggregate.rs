//! Results put together by what a rule finds in them; pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    conf::Rule,
    node_data::{NOT_FIRED, Response},
};

/// The value of answers in which the rule finds nothing.
const NOTHING: &str = "-1";
/// The most bytes of values and names of nodes.
const MAX_BYTES: usize = 256 << 20;

/// Puts results together, one at a time.
#[derive(Debug)]
pub(crate) struct Aggregation {
    rule: Rule,
    values: BTreeMap<String, Members>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Members {
    nodes: Vec<String>,
    is_error: bool,
}

/// The values are too many or too long to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the values of the aggregation are more than 256 MiB")]
pub(crate) struct TooLarge;

/// What was found, by value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Aggregated {
    #[serde(rename = "aggregationMap")]
    counts: BTreeMap<String, String>,
    #[serde(rename = "aggregationValueToNodesList")]
    values: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    value: String,
    node_list: Vec<String>,
    is_error: bool,
}

impl Aggregation {
    pub(crate) fn new(rule: Rule) -> Self {
        Self { rule, values: BTreeMap::new(), bytes: 0 }
    }

    /// Adds the result of a node.
    pub(crate) fn add(&mut self, node: &str, response: &Response) -> Result<(), TooLarge> {
        let value = if response.is_error {
            response.error_summary().to_owned()
        } else {
            self.value(response)
        };
        self.put(value, node, response.is_error)
    }

    /// Adds a node that was not contacted.
    pub(crate) fn skipped(&mut self, node: &str) -> Result<(), TooLarge> {
        self.put(NOT_FIRED.to_owned(), node, false)
    }

    fn put(&mut self, value: String, node: &str, is_error: bool) -> Result<(), TooLarge> {
        self.bytes += node.len();
        if !self.values.contains_key(&value) {
            self.bytes += value.len();
        }
        if self.bytes > MAX_BYTES {
            return Err(TooLarge);
        }
        let members = self.values.entry(value).or_default();
        members.nodes.push(node.to_owned());
        members.is_error |= is_error;
        Ok(())
    }

    fn value(&self, response: &Response) -> String {
        let found = match &self.rule {
            Rule::Status => Some(response.status_code.clone()),
            Rule::ResponseTime => Some(response.time.clone()),
            Rule::Body(expression) => response.body.as_ref().and_then(|body| {
                let line: String = body.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
                let found = expression.captures(&line)?;
                found.get(1).map(|found| found.as_str().to_owned())
            }),
        };
        found.unwrap_or_else(|| NOTHING.to_owned())
    }

    /// What was found, in the order of the values.
    pub(crate) fn finish(self) -> Aggregated {
        let counts = self.values.iter();
        let counts =
            counts.map(|(value, of)| (value.clone(), of.nodes.len().to_string())).collect();
        let values = self.values.into_iter().map(|(value, members)| Group {
            value,
            node_list: members.nodes,
            is_error: members.is_error,
        });
        Aggregated { counts, values: values.collect() }
    }
}

#[cfg(test)]
mod tests {
    use remuda_model::run::{Record, TroubleKind};
    use serde_json::json;

    use super::*;
    use crate::{
        job::tests::{vars, view},
        node_data::tests::{answer, failed},
    };

    fn aggregated(rule: Rule, records: &[(&str, Record)]) -> serde_json::Value {
        let mut vars = vars();
        vars.insert("extract".to_owned(), "-1 -1".to_owned());
        let spec = view(&vars).spec;
        let job = crate::job::of(&spec.vars).expect("ours");
        let mut aggregation = Aggregation::new(rule);
        for (node, record) in records {
            aggregation.add(node, &Response::of(record, &spec, job)).expect("small");
        }
        aggregation.skipped("s").expect("small");
        serde_json::to_value(aggregation.finish()).expect("JSON")
    }

    #[test]
    fn values_are_told_as_documented() {
        let rule = Rule::parse("X", r#".*"v":\s*"(.*?)".*"#).expect("a rule");
        let records = [
            ("h1", answer(200, "{\r\n\"v\": \"b\"}")),
            ("h2", answer(500, "{\"v\":\n\"a\"}")),
            ("h3", answer(200, "{\"v\":\"b\"}")),
            ("h4", answer(200, "nothing")),
            ("h5", failed(TroubleKind::Refused, "no")),
        ];
        let value = |value: &str, nodes: &[&str], is_error: bool| json!({"value": value, "nodeList": nodes, "isError": is_error});
        assert_eq!(
            aggregated(rule, &records),
            json!({
            "aggregationMap": {"-1": "1", (NOT_FIRED): "1", "a": "1", "b": "2",
                "java.net.ConnectException": "1"},
            "aggregationValueToNodesList": [
                value("-1", &["h4"], false), value(NOT_FIRED, &["s"], false),
                value("a", &["h2"], false), value("b", &["h1", "h3"], false),
                value("java.net.ConnectException", &["h5"], true)]})
        );
    }

    #[test]
    fn special_rules_do_not_look_at_the_body() {
        let told = aggregated(Rule::Status, &[("h", answer(404, ""))]);
        assert_eq!(told["aggregationMap"]["404 Not Found"], "1");
        let told = aggregated(Rule::ResponseTime, &[("h", answer(404, ""))]);
        assert_eq!(told["aggregationMap"]["2014.01.12.21.27.37.307+0000"], "1");
        // An expression without a group finds nothing.
        let told = aggregated(Rule::parse("X", ".*").expect("a rule"), &[("h", answer(200, "x"))]);
        assert_eq!(told["aggregationMap"]["-1"], "1");
    }
}
