//! What a call says: fields of its query, of a form or of JSON, and the body as it is.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    body::{Bytes, to_bytes},
    extract::Request,
    http::header,
};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;
use tokio::time::timeout;

use crate::plan::VarMap;

/// The longest body, in bytes, and how long it may take.
const MAX_BODY: usize = 64 << 20;
const BODY: Duration = Duration::from_mins(2);

/// What a call says.
#[derive(Debug, Default)]
pub(crate) struct Call {
    fields: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Call {
    /// Reads a request; with `is_json` its body is no form, whatever it says.
    pub(crate) async fn read(request: Request, is_json: bool) -> Result<Self, String> {
        let query = request.uri().query().unwrap_or_default();
        let mut fields: Vec<(String, String)> = pairs(query.as_bytes());
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind =
            kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
        let body = timeout(BODY, to_bytes(request.into_body(), MAX_BODY)).await;
        let body = body.map_err(|_elapsed| "the body took too long".to_owned())?;
        let body =
            body.map_err(|_error| format!("the body cannot be read, or exceeds {MAX_BODY} bytes"))?;
        if !is_json {
            if kind.starts_with("application/json") {
                fields.extend(json_fields(&body)?);
            } else {
                fields.extend(pairs(&body));
            }
        }
        Ok(Self { fields, body })
    }

    /// A field, if it is there and not empty. That of the query counts before that of the body.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// A field that must be there.
    pub(crate) fn need(&self, name: &str) -> Result<&str, String> {
        self.get(name).ok_or_else(|| format!("{name} is missing"))
    }

    /// A field that is true or false.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        let flag = |text: &str| match &*text.to_ascii_lowercase() {
            "true" | "1" | "on" | "yes" => Ok(true),
            "false" | "0" | "off" | "no" => Ok(false),
            _ => Err(format!("{name}: expected true or false")),
        };
        self.get(name).map(flag).transpose()
    }

    /// The lines of a field, each once, without empty ones.
    pub(crate) fn lines(&self, name: &str) -> Result<Vec<String>, String> {
        let lines = self.need(name)?.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(lines.map(str::to_owned).collect())
    }
}

fn pairs(form: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(form).into_owned().collect()
}

/// The fields of an object, as the documents write requests.
fn json_fields(body: &[u8]) -> Result<Vec<(String, String)>, String> {
    let fields: BTreeMap<String, Text> =
        serde_json::from_slice(body).map_err(|error| format!("body: {error}"))?;
    Ok(fields.into_iter().filter_map(|(name, text)| Some((name, text.0?))).collect())
}

/// A text, also when it is written as a number or a truth value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Null => Ok(Self(None)),
            Value::String(text) => Ok(Self(Some(text))),
            Value::Bool(value) => Ok(Self(Some(value.to_string()))),
            Value::Number(number) => Ok(Self(Some(number.to_string()))),
            Value::Array(_) | Value::Object(_) => Err(D::Error::custom("expected a text")),
        }
    }
}

/// A command on nodes that are named in the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AdhocRequest {
    pub(crate) target_nodes: Vec<String>,
    pub(crate) agent_command_type: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub(crate) use_new_agent_command: bool,
    pub(crate) new_agent_command_line: Option<String>,
    pub(crate) new_agent_command_content_template: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub(crate) will_aggregate_response: bool,
    #[serde(deserialize_with = "flag")]
    pub(crate) use_new_aggregation: bool,
    pub(crate) aggregation_type: Option<String>,
    pub(crate) new_aggregation_expression: Option<String>,
    #[serde(deserialize_with = "vars")]
    pub(crate) replacement_var_map: VarMap,
    pub(crate) replacement_var_map_node_specific: BTreeMap<String, OneMap>,
}

/// Values of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct OneMap {
    #[serde(deserialize_with = "vars")]
    pub(crate) map: VarMap,
}

impl AdhocRequest {
    /// Reads a body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        if body.is_empty() {
            return Err("NULL: postData.".to_owned());
        }
        let request: Self =
            serde_json::from_slice(body).map_err(|error| format!("body: {error}"))?;
        if request.target_nodes.is_empty() {
            return Err("targetNodes is missing".to_owned());
        }
        Ok(request)
    }
}

fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = Text::deserialize(deserializer)?.0.unwrap_or_default();
    Ok(text.trim().eq_ignore_ascii_case("true"))
}

fn vars<'de, D: Deserializer<'de>>(deserializer: D) -> Result<VarMap, D::Error> {
    let map = Option::<BTreeMap<String, Text>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(map.into_iter().map(|(name, text)| (name, text.0)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_request_is_read() {
        let body = r#"{"targetNodes": ["h1","h2"], "agentCommandType": "X",
            "useNewAgentCommand": "true", "newAgentCommandLine": "ID GET http 80 / 0 -1 -1",
            "newAgentCommandContentTemplate": "$AM_FULL_CONTENT", "willAggregateResponse": true,
            "useNewAggregation": "false", "aggregationType": "R", "unknown": 1,
            "replacementVarMap": {"A": "v", "B": 7, "C": null},
            "replacementVarMapNodeSpecific": {"h1": {"map": {"A": "v1"}}, "h2": {}}}"#;
        let request = AdhocRequest::parse(body.as_bytes()).expect("a request");
        assert!(request.use_new_agent_command && request.will_aggregate_response);
        assert!(!request.use_new_aggregation);
        assert_eq!(request.replacement_var_map["B"].as_deref(), Some("7"));
        assert_eq!(request.replacement_var_map["C"], None);
        let each = &request.replacement_var_map_node_specific;
        assert_eq!((each["h1"].map.len(), each["h2"].map.len()), (1, 0));
    }

    #[test]
    fn wrong_requests_say_why() {
        for (body, reason) in [
            ("", "NULL: postData."),
            ("{}", "targetNodes is missing"),
            ("x", "body: expected value"),
            (r#"{"targetNodes":["a"],"replacementVarMap":{"A":[]}}"#, "expected a text"),
        ] {
            let error = AdhocRequest::parse(body.as_bytes()).expect_err(body);
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn fields_come_from_all_places() {
        let fields = json_fields(br#"{"maxConcNum": 5, "localMode": true, "x": null}"#);
        let call = Call { fields: fields.expect("fields"), body: Bytes::new() };
        assert_eq!((call.get("maxConcNum"), call.flag("localMode")), (Some("5"), Ok(Some(true))));
        assert_eq!(
            call.flag("maxConcNum").expect_err("no flag"),
            "maxConcNum: expected true or false"
        );
        let call = Call { fields: pairs(b"a=h1%0D%0Ah2%0A%0Ah1&b="), body: Bytes::new() };
        assert_eq!(call.lines("a").expect("lines"), ["h1", "h2", "h1"]);
        assert_eq!(call.need("b").expect_err("empty"), "b is missing");
    }
}
