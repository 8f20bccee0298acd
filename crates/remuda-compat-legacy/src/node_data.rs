//! Records as results of nodes; pure.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use remuda_model::run::{Command, Outcome, Payload, Record, RunSpec, TroubleKind};
use remuda_run::{Template, Values, template::Scope};
use remuda_wire::message::runs::Hosted;
use serde::Serialize;

use crate::{
    job::{Job, NODE},
    substitute, time,
};

/// What was written in place of a status when there was no answer.
const NO_STATUS: &str = "NA";
/// Why nothing was sent to a node.
pub(crate) const NOT_FIRED: &str = "SUPERMANSPECIAL_REQUEST_NOT_FIRED.NO_RESPONSE.NOT_ERROR.\
                                    CHECK_REQUEST_PARAMETERS_FOR_DETAILS.";

/// The result of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct NodeData {
    pub(crate) fqdn: String,
    #[serde(rename = "dataMap")]
    data: BTreeMap<String, Exchange>,
}

/// What was sent, and what came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Exchange {
    request_parameters: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_content: Option<Response>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Response {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "response")]
    pub(crate) body: Option<String>,
    #[serde(rename = "responseTime")]
    pub(crate) time: String,
    pub(crate) status_code: String,
    pub(crate) is_error: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_message: Option<String>,
}

impl NodeData {
    /// The result of a target.
    pub(crate) fn of(hosted: &Hosted, spec: &RunSpec, job: Job<'_>) -> Self {
        let exchange = Exchange {
            request_parameters: parameters(hosted, spec, job),
            response_content: Some(Response::of(&hosted.record, spec, job)),
        };
        Self {
            fqdn: node(hosted).to_owned(),
            data: BTreeMap::from([(job.command.to_owned(), exchange)]),
        }
    }

    /// Of a node that was not contacted.
    pub(crate) fn skipped(node: &str, command: &str) -> Self {
        let parameters =
            [("NODE_REQUEST_WILL_EXECUTE", "false"), ("NODE_REQUEST_EXECUTE_MSG", NOT_FIRED)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let exchange = Exchange { request_parameters: parameters.into(), response_content: None };
        Self { fqdn: node.to_owned(), data: BTreeMap::from([(command.to_owned(), exchange)]) }
    }
}

/// What a target was called by the caller.
pub(crate) fn node(hosted: &Hosted) -> &str {
    let named = hosted.vars.iter().find(|(name, _)| name == NODE);
    named.map_or(&hosted.host, |(_, value)| value)
}

impl Response {
    /// What came back from a target.
    pub(crate) fn of(record: &Record, spec: &RunSpec, job: Job<'_>) -> Self {
        // Whatever its status or exit code, an answer was no error.
        let answered = matches!(record.outcome, Outcome::Ok | Outcome::Unexpected);
        let status = match (record.status.filter(|_| answered), &spec.command) {
            (None, _) => NO_STATUS.to_owned(),
            (Some(code), Command::Http(_)) => status_line(code),
            (Some(code), _) => code.to_string(),
        };
        let text = answered.then(|| {
            let mut text = String::from_utf8_lossy(&record.body).into_owned();
            text.push_str(&String::from_utf8_lossy(&record.stderr));
            match job.extract {
                Some((start, end)) => {
                    text.chars().skip(start).take(end.saturating_sub(start)).collect()
                }
                None => text,
            }
        });
        Self {
            body: text,
            time: time::dotted(record.started_ms + record.duration_us / 1000),
            status_code: status,
            is_error: !answered,
            error_message: (!answered).then(|| error_message(record, spec)),
        }
    }

    /// What a target without an answer is put together with.
    pub(crate) fn error_summary(&self) -> &str {
        let message = self.error_message.as_deref().unwrap_or("ErrorMsg is empty");
        message.split_once(" Details").map_or(message, |(summary, _)| summary)
    }
}

fn status_line(code: i32) -> String {
    let known = u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok());
    match known.and_then(|status| status.canonical_reason()) {
        Some(reason) => format!("{code} {reason}"),
        None => code.to_string(),
    }
}

/// Begins with the words of old, by which callers put errors together.
fn error_message(record: &Record, spec: &RunSpec) -> String {
    let Some(trouble) = &record.trouble else { return "ErrorMsg is empty".to_owned() };
    let summary = match trouble.kind {
        TroubleKind::Dns
        | TroubleKind::Refused
        | TroubleKind::Unreachable
        | TroubleKind::ConnectTimeout => "java.net.ConnectException".to_owned(),
        TroubleKind::Timeout => format!(
            "HttpWorker Timedout after {} SEC (no response but no exception catched)",
            spec.limits.total_ms / 1000
        ),
        TroubleKind::Cancelled | TroubleKind::Deadline => "RequestCanceled".to_owned(),
        kind => kind.as_str().to_owned(),
    };
    format!("{summary} Details: {}", trouble.message)
}

fn parameters(hosted: &Hosted, spec: &RunSpec, job: Job<'_>) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        parameters.insert(name.to_owned(), value.to_owned());
    };
    let own: BTreeMap<&str, &str> = spec
        .vars
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .chain(hosted.vars.iter().map(|(name, value)| (&**name, &**value)))
        .collect();
    for (name, value) in own {
        if let Some(variable) = substitute::variable(name)
            && value != format!("${variable}")
        {
            set(&format!("REPLACE-VAR_{variable}"), value);
        }
    }
    set("NODE_REQUEST_WILL_EXECUTE", "true");
    set("HEADER_TYPE", job.headers);
    set("PREPARE_TIME", &time::spaced(hosted.record.started_ms));
    if node(hosted) != hosted.host && !node(hosted).eq_ignore_ascii_case(&hosted.host) {
        set("TRUE_TARGET_NODE", &hosted.host);
    }
    let (body, url, port, method) = match &spec.command {
        Command::Http(http) => {
            let body = match &http.body {
                Some(Payload::Text(text)) => text.as_str(),
                _ => "",
            };
            let (port, path) = apart(&http.url);
            (body, path, port, http.method.as_str())
        }
        Command::Ssh(ssh) => {
            (ssh.command.as_str(), ssh.user.as_str(), ssh.port.as_deref().unwrap_or("22"), "GET")
        }
        Command::Tcp(_) | Command::Ping(_) => ("", "", "", ""),
    };
    set("AM_FULL_CONTENT", &unfilled(body, spec));
    set("TRUE_CONTENT", &filled(body, hosted, spec));
    set("TRUE_URL", &filled(url, hosted, spec));
    set("TRUE_PORT", port);
    set("HTTP_METHOD", method);
    parameters
}

/// Port and path of a URL that the face has made.
fn apart(url: &str) -> (&str, &str) {
    let rest = url.split_once("}}:").map_or(url, |(_, rest)| rest);
    rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()))
}

/// A template for a target. Templates were filled once before, when the target was contacted.
fn filled(template: &str, hosted: &Hosted, spec: &RunSpec) -> String {
    let mut vars: Vec<(Box<str>, Box<str>)> =
        hosted.vars.iter().map(|(name, value)| ((**name).into(), (**value).into())).collect();
    vars.sort();
    let values =
        Values { host: &hosted.host, vars: &vars, run_vars: &spec.vars, ..Values::default() };
    fill(template, &values)
}

/// A template with `$NAME` in place of the variables, as it was given.
fn unfilled(template: &str, spec: &RunSpec) -> String {
    let names = spec
        .vars
        .keys()
        .filter_map(|name| Some((name.clone(), format!("${}", substitute::variable(name)?))));
    let run_vars = names.collect();
    fill(template, &Values { run_vars: &run_vars, ..Values::default() })
}

fn fill(template: &str, values: &Values<'_>) -> String {
    let parsed = Template::parse(template, Scope::default()).ok();
    let filled = parsed.and_then(|parsed| parsed.fill(values).map(String::from).ok());
    filled.unwrap_or_else(|| template.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use remuda_model::run::Trouble;
    use serde_json::json;

    use super::*;
    use crate::job;

    pub(crate) fn hosted(host: &str, vars: &[(&str, &str)], record: Record) -> Hosted {
        let vars = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Hosted { host: host.to_owned(), vars, record }
    }

    pub(crate) fn answer(status: i32, body: &str) -> Record {
        let mut record = failed(TroubleKind::Status, "");
        (record.outcome, record.trouble) = (Outcome::Ok, None);
        (record.status, record.body) = (Some(status), body.as_bytes().to_vec());
        (record.started_ms, record.duration_us) = (1_389_562_057_045, 262_000);
        record
    }

    pub(crate) fn failed(kind: TroubleKind, message: &str) -> Record {
        Record::without_answer(0, Outcome::Failed, Trouble::new(kind, message))
    }

    fn spec(extract: &str) -> RunSpec {
        let mut view = job::tests::view(&job::tests::vars());
        view.spec.vars.insert("v.X".to_owned(), "$X".to_owned());
        view.spec.vars.insert("extract".to_owned(), extract.to_owned());
        let Command::Http(http) = &mut view.spec.command else { panic!("http") };
        http.url = "http://{{host}}:80/p/{{vars.v.X}}".to_owned();
        http.body = Some(Payload::Text("b{{vars.v.X}}".to_owned()));
        view.spec
    }

    #[test]
    fn a_record_is_told_as_documented() {
        let spec = spec("-1 -1");
        let job = job::of(&spec.vars).expect("ours");
        let hosted =
            hosted("h1.example", &[("node", "H1.example"), ("v.X", "1")], answer(200, "ok"));
        let data = serde_json::to_value(NodeData::of(&hosted, &spec, job)).expect("JSON");
        assert_eq!(
            data,
            json!({"fqdn": "H1.example", "dataMap": {"A": {
            "requestParameters": {
                "AM_FULL_CONTENT": "b$X", "REPLACE-VAR_X": "1", "NODE_REQUEST_WILL_EXECUTE": "true",
                "TRUE_CONTENT": "b1", "TRUE_URL": "/p/1", "TRUE_PORT": "80", "HTTP_METHOD": "GET",
                "HEADER_TYPE": "SUPERMAN_GLOBAL", "PREPARE_TIME": "2014-01-12 21:27:37.045+0000"},
            "responseContent": {"response": "ok", "responseTime": "2014.01.12.21.27.37.307+0000",
                "statusCode": "200 OK", "isError": false}}}})
        );
    }

    #[test]
    fn errors_begin_with_the_words_of_old() {
        let spec = spec("-1 -1");
        let job = job::of(&spec.vars).expect("ours");
        for (kind, summary) in [
            (TroubleKind::Refused, "java.net.ConnectException"),
            (
                TroubleKind::Timeout,
                "HttpWorker Timedout after 60 SEC (no response but no exception catched)",
            ),
            (TroubleKind::Cancelled, "RequestCanceled"),
            (TroubleKind::Tls, "tls"),
        ] {
            let response = Response::of(&failed(kind, "because"), &spec, job);
            assert!(response.is_error && response.body.is_none());
            assert_eq!((response.error_summary(), &*response.status_code), (summary, "NA"));
            assert!(response.error_message.expect("a message").ends_with("because"));
        }
        let mut not_found = answer(404, "gone");
        not_found.outcome = Outcome::Unexpected;
        let response = Response::of(&not_found, &spec, job);
        assert_eq!((response.is_error, &*response.status_code), (false, "404 Not Found"));
        assert_eq!(Response::of(&answer(799, ""), &spec, job).status_code, "799");
    }

    #[test]
    fn a_part_of_the_answer_is_kept() {
        for (extract, kept) in
            [("0 5000", "äbcde"), ("1 3", "bc"), ("9 12", ""), ("-1 -1", "äbcde")]
        {
            let spec = spec(extract);
            let response =
                Response::of(&answer(200, "äbcde"), &spec, job::of(&spec.vars).expect("ours"));
            assert_eq!(response.body.as_deref(), Some(kept), "{extract}");
        }
    }
}
