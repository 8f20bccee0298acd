//! Specs that are wrong, and what becomes of those that are not.

use proptest::prelude::*;
use remuda_model::ErrorKind;
use serde_json::{Value, json};

use super::*;
use crate::targets;

fn secrets() -> Secrets {
    let secrets = json!({"password": "p4ss", "values": {"token": "t0ken", "lines": "a\r\nb"}});
    serde_json::from_value(secrets).expect("secrets")
}

fn spec(value: Value) -> RunSpec {
    serde_json::from_value(value).expect("a spec")
}

fn checked(value: Value) -> Checked {
    check(&spec(value), &secrets()).expect("valid")
}

/// The object with these fields in place of its own.
fn with(mut object: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    object.as_object_mut().expect("an object").extend(fields);
    object
}

fn http(fields: Value) -> Value {
    let http = json!({"method": "GET", "url": "https://{{host}}/"});
    json!({"command": {"http": with(http, fields)}})
}

fn ssh(fields: Value) -> Value {
    let ssh = json!({"command": "uptime", "user": "root", "login": "password"});
    json!({"command": {"ssh": with(ssh, fields)}})
}

fn target(line: &str) -> Target {
    Target::parse_line(line).expect(line)
}

fn refusal(value: Value) -> String {
    let text = value.to_string();
    let failure = check(&spec(value), &secrets()).expect_err(&text);
    assert_eq!((failure.kind, &*failure.code), (ErrorKind::Invalid, "bad_run"));
    failure.message
}

#[test]
fn wrong_fields_of_http_are_named() {
    let poll = |fields: Value| {
        let poll = json!({"url": "/s/{{job}}", "job": "/id", "done": "/p", "success": ["100"]});
        json!({"poll": with(poll, fields)})
    };
    for (fields, message) in [
        (json!({"method": "get"}), "command.http.method: methods are written `GET`"),
        (json!({"method": "G T"}), "command.http.method: not a method"),
        (json!({"method": "CONNECT"}), "command.http.method: CONNECT makes tunnels"),
        (json!({"url": "ftp://{{host}}/"}), "command.http.url: a URL begins with"),
        (json!({"url": "{{host}"}), "command.http.url: column 1: `{{` without `}}`"),
        (json!({"url": "https://h/{{secrets.token}}"}), "command.http.url: column 11: secrets may"),
        (json!({"url": "https://h/{{job}}"}), "command.http.url: column 11: `{{job}}` may stand"),
        (
            json!({"headers": [{"name": "a b", "value": ""}]}),
            "command.http.headers[0].name: not a name of a header",
        ),
        (
            json!({"headers": [{"name": "A", "value": ""}, {"name": "Content-Length", "value": "1"}]}),
            "command.http.headers[1].name: `Content-Length` is set by the worker itself",
        ),
        (
            json!({"headers": [{"name": "a", "value": "x\r\nb: c"}]}),
            "command.http.headers[0].value: a value of a header is one line",
        ),
        (
            json!({"headers": [{"name": "a", "value": "{{secrets.none}}"}]}),
            "command.http.headers[0].value: no secret `none` was given",
        ),
        (json!({"body": {"text": "{{x}}"}}), "command.http.body.text: column 1: unknown `x`"),
        (json!({"body": {"base64": "?"}}), "command.http.body.base64: "),
        (json!({"expect": "2xx,no"}), "command.http.expect: `2xx,no` is no set of statuses"),
        (json!({"redirects": 4}), "command.http.redirects: 4 is not within 0 and 3"),
        (json!({"tls": {"ca": "x"}}), "command.http.tls.ca: no certificate in PEM"),
        (json!({"capture": {"body": 16_777_217}}), "command.http.capture.body: 16777217 is not"),
        (json!({"capture": {"headers": {"only": []}}}), "command.http.capture.headers: 1 to 64"),
        (json!({"capture": {"headers": {"only": ["a:"]}}}), "command.http.capture.headers: not a"),
        (poll(json!({"url": "http://a{{job}}/"})), "command.http.poll.url: `{{job}}` stands in"),
        (poll(json!({"job": null})), "command.http.poll.job: says where"),
        (poll(json!({"job": "id"})), "command.http.poll.job: a JSON pointer begins with `/`"),
        (poll(json!({"done": "/a~b"})), "command.http.poll.done: a JSON pointer"),
        (poll(json!({"success": []})), "command.http.poll.success: 1 to 64 values"),
        (poll(json!({"interval_ms": 99})), "command.http.poll.interval_ms: 99 is not within 100"),
        (poll(json!({"total_ms": 99})), "command.http.poll.total_ms: 99 is not within"),
        (poll(json!({"max_errors": 1001})), "command.http.poll.max_errors: 1001 is not within"),
    ] {
        let found = refusal(http(fields));
        assert!(found.starts_with(message), "{found}");
    }
}

#[test]
fn wrong_fields_of_other_commands_are_named() {
    for (value, message) in [
        (ssh(json!({"command": " "})), "command.ssh.command: neither a command nor a script"),
        (ssh(json!({"user": ""})), "command.ssh.user: who logs in is missing"),
        (ssh(json!({"login": "key"})), "command.ssh.login: no key was given"),
        (ssh(json!({"port": "0"})), "command.ssh.port: a port is a number from 1 to 65535"),
        (ssh(json!({"script": ""})), "command.ssh.script: it is empty"),
        (ssh(json!({"sudo": {"user": "-x"}})), "command.ssh.sudo.user: not the name of a user"),
        (
            ssh(json!({"command": "echo {{secrets.token}}"})),
            "command.ssh.command: column 6: secrets",
        ),
        (json!({"command": {"tcp": {"port": "x"}}}), "command.tcp.port: a port is"),
        (json!({"command": {"tcp": {"port": "1", "until": {"bytes": 0}}}}), "command.tcp.until: 0"),
        (
            json!({"command": {"tcp": {"port": "1", "until": {"text": ""}}}}),
            "command.tcp.until: the",
        ),
        (
            json!({"command": {"tcp": {"port": "1", "until": "connected", "expect": "a"}}}),
            "command.tcp.expect: no answer is read",
        ),
        (
            json!({"command": {"ping": {"tries": 0}}}),
            "command.ping.tries: 0 is not within 1 and 10",
        ),
        (
            json!({"command": {"ping": {"tries": 2}}, "at_most_once": true}),
            "command.ping.tries: a run that contacts no target twice",
        ),
    ] {
        let found = refusal(value);
        assert!(found.starts_with(message), "{found}");
    }
    let login = check(&spec(ssh(json!({}))), &Secrets::default()).expect_err("no password");
    assert_eq!(login.message, "command.ssh.login: no password was given");
    let sudo = ssh(json!({"login": "agent", "sudo": {"password": true}}));
    let sudo = check(&spec(sudo), &Secrets::default()).expect_err("no password");
    assert_eq!(sudo.message, "command.ssh.sudo.password: no password was given");
}

#[test]
fn wrong_fields_of_a_run_are_named() {
    for (fields, message) in [
        (json!({"name": "a\u{7}"}), "name: 1 to 200 bytes"),
        (json!({"vars": {"a b": ""}}), "vars: `a b` is no name: at most 64"),
        (json!({"from_each": "a,b"}), "from_each: the name of a label"),
        (
            json!({"limits": {"concurrency": 0}}),
            "limits.concurrency: 0 is not within 1 and 1000000",
        ),
        (json!({"limits": {"per_worker": 0}}), "limits.per_worker: 0 is not"),
        (json!({"limits": {"rate": 0.0}}), "limits.rate: 0 is not within 0.001 and 1000000"),
        (json!({"limits": {"connect_ms": 0}}), "limits.connect_ms: 0 is not"),
        (json!({"limits": {"first_byte_ms": 0}}), "limits.first_byte_ms: 0 is not"),
        (json!({"limits": {"total_ms": 86_400_001}}), "limits.total_ms: 86400001 is not"),
        (json!({"limits": {"retries": 11}}), "limits.retries: 11 is not within 0 and 10"),
        (json!({"limits": {"deadline_ms": 0}}), "limits.deadline_ms: 0 is not"),
        (
            json!({"limits": {"retries": 1}, "at_most_once": true}),
            "limits.retries: a run that contacts no target twice has no retries",
        ),
    ] {
        let found = refusal(with(http(json!({})), fields));
        assert!(found.starts_with(message), "{found}");
    }
    let mut strange = spec(http(json!({})));
    strange.limits.rate = Some(f64::NAN);
    assert!(check(&strange, &secrets()).is_err());
}

#[test]
fn wrong_secrets_are_named_but_not_shown() {
    for (value, message) in [
        (json!({"values": {"a b": "x"}}), "secrets.values: `a b` is no name"),
        (json!({"password": "s3cret\n"}), "secrets.password: one line, without zero bytes"),
        (json!({"key": "s3cret"}), "secrets.key: not a private key: it begins with `-----BEGIN`"),
    ] {
        let secrets = serde_json::from_value(value).expect("secrets");
        let failure = check(&spec(http(json!({}))), &secrets).expect_err(message);
        assert!(failure.message.starts_with(message), "{}", failure.message);
    }
}

#[test]
fn a_request_is_made_for_each_target() {
    let mut value = http(json!({
        "method": "POST",
        "url": "https://{{host}}:{{vars.port}}/{{vars.path}}",
        "headers": [{"name": "Authorization", "value": "Bearer {{secrets.token}}"}],
        "body": {"text": "{\"h\":\"{{host}}\"}"},
        "tls": {"name": "{{vars.name}}"},
    }));
    value["vars"] = json!({"port": "8443", "path": "x?y=1", "name": "CERT.example"});
    let checked = checked(value);
    let Plan::Http(plan) = checked.plan() else { panic!("http") };
    let target = target(r#"{"host":"::1","vars":{"port":9}}"#);
    let call = plan.fill(&checked.values(&target)).expect("filled");
    assert_eq!(call.url.to_string(), "https://[::1]:9/x?y=1");
    assert_eq!(call.headers, [("Authorization", "Bearer t0ken".into())]);
    assert_eq!(call.body.as_deref(), Some(&b"{\"h\":\"::1\"}"[..]));
    assert_eq!(call.tls_name.as_deref(), Some("cert.example"));
    assert!(!format!("{call:?} {checked:?}").contains("t0ken"));
}

#[test]
fn a_value_cannot_make_another_request() {
    let checked = checked(http(json!({
        "url": "http://{{host}}/{{vars.p}}",
        "headers": [{"name": "x", "value": "{{vars.h}}"}],
    })));
    for (vars, field) in [
        (json!({"p": "a b", "h": ""}), "command.http.url"),
        (json!({"p": "a\r\nHost: evil", "h": ""}), "command.http.url"),
        (json!({"p": "", "h": "a\nb: c"}), "command.http.headers[0].value"),
        (json!({"p": "", "h": "a\0"}), "command.http.headers[0].value"),
        (json!({"p": ""}), "command.http.headers[0].value"),
    ] {
        let target = target(&json!({"host": "a", "vars": vars}).to_string());
        let error = checked.check_target(&target).expect_err(field);
        assert_eq!(error.field, field);
    }
}

#[test]
fn a_secret_is_in_no_error() {
    let value = http(json!({"headers": [{"name": "x", "value": "{{secrets.lines}}"}]}));
    let checked = checked(value);
    let error = checked.check_target(&target("a")).expect_err("two lines");
    assert_eq!(
        error.to_string(),
        "command.http.headers[0].value: a value of a header is one line of at most 32 KiB"
    );
}

#[test]
fn with_from_each_the_site_has_a_value_that_no_target_gives() {
    let mut spec = http(json!({"url": "http://{{host}}/from/{{vars.site}}"}));
    let alone = checked(spec.clone()).check_target(&target("a")).expect_err("no site");
    assert_eq!(alone.to_string(), "command.http.url: no value for `{{vars.site}}`");
    spec["from_each"] = json!("region");
    let each = checked(spec);
    each.check_target(&target("a")).expect("the site has a value");
    expand(&each, &target("a")).expect("and can be shown");
    let own = target(r#"{"host":"a","vars":{"site":"mine"}}"#);
    let error = each.check_target(&own).expect_err("two sites");
    assert_eq!(
        error.to_string(),
        "vars.site: with `from_each` this is the site, and no value of the target"
    );
}

#[test]
fn targets_that_the_command_does_not_fit_are_listed() {
    let checked = checked(http(json!({"url": "http://{{host}}:{{vars.port}}/"})));
    let set = targets::from_lines(
        "{\"host\":\"good\",\"vars\":{\"port\":1}}\n{\"host\":\"bad\",\"vars\":{\"port\":\"x\"}}\nnone[1-30]",
    );
    let failure = check_targets(&checked, &set.expect("valid").targets).expect_err("ports");
    assert_eq!(failure.code, "bad_targets");
    let parts: Vec<_> = failure.message.split("; ").collect();
    assert_eq!(parts[0], "the command does not fit 31 of 32 targets");
    assert_eq!(
        parts[1],
        "target 2, bad: command.http.url: `http://bad:x/`: the port is a number from 1 to 65535"
    );
    assert_eq!(parts[2], "target 3, none1: command.http.url: no value for `{{vars.port}}`");
    assert_eq!((parts.len(), parts[21]), (22, "and 11 more"));
    assert_eq!(check_targets(&checked, &[]).expect_err("none").message, "there are no targets");
}

#[test]
fn commands_and_ports_are_made_for_each_target() {
    let value =
        ssh(json!({"command": "echo {{host}}", "user": "{{vars.u}}", "port": "{{vars.p}}"}));
    let checked = checked(value);
    let Plan::Ssh(plan) = checked.plan() else { panic!("ssh") };
    let good = target(r#"{"host":"a","vars":{"u":"root","p":2222}}"#);
    let call = plan.fill(&checked.values(&good)).expect("filled");
    assert_eq!((&*call.command, &*call.user, call.port), ("echo a", "root", 2222));
    for (vars, field) in [
        (json!({"u": "", "p": 1}), "command.ssh.user"),
        (json!({"u": "a\nb", "p": 1}), "command.ssh.user"),
        (json!({"u": "a", "p": 0}), "command.ssh.port"),
    ] {
        let target = target(&json!({"host": "a", "vars": vars}).to_string());
        assert_eq!(checked.check_target(&target).expect_err(field).field, field);
    }
}

#[test]
fn a_ping_of_a_run_that_contacts_nobody_twice_is_one_echo() {
    let tries = |value| match checked(value).plan() {
        Plan::Ping(plan) => plan.tries,
        _ => panic!("ping"),
    };
    assert_eq!(tries(json!({"command": {"ping": {}}, "at_most_once": true})), 1);
    assert_eq!(tries(json!({"command": {"ping": {}}})), 2);
}

#[test]
fn a_job_is_followed() {
    let checked = checked(http(json!({"poll": {
        "url": "/status/{{job}}", "job": "/status", "done": "/progress",
        "success": ["100"], "failure": ["\"failed\""]
    }})));
    let Plan::Http(plan) = checked.plan() else { panic!("http") };
    let poll = plan.poll.as_ref().expect("poll");
    let target = target("a");
    let values = checked.values(&target);
    let first = plan.fill(&values).expect("filled").url;
    let job = poll.job(&json!({"status": "http://a/status/x y/"})).expect("a job");
    assert_eq!(job, "x y");
    let url = poll.url(&first, &values, &job).expect("a URL");
    assert_eq!(url.to_string(), "https://a/status/x%20y");
    assert_eq!(poll.job(&json!({"status": {}})), None);
    assert_eq!(poll.job(&json!({"status": "/"})), None);
    let progress = |value| poll.progress(&json!({"progress": value}));
    assert_eq!(progress(json!(100)), Progress::Success);
    assert_eq!(progress(json!("100")), Progress::Success);
    assert_eq!(progress(json!("failed")), Progress::Failure("failed".into()));
    assert_eq!(progress(json!(40)), Progress::Running("40".into()));
    assert_eq!(progress(json!(null)), Progress::Missing);
    assert_eq!(poll.progress(&json!([])), Progress::Missing);
}

#[test]
fn an_expansion_shows_all_but_secrets() {
    let checked_http = checked(http(json!({
        "headers": [{"name": "Authorization", "value": "Bearer {{secrets.token}}"}],
        "body": {"text": "{{secrets.token}}\n\u{1b}[2J{{host}}"},
        "poll": {"url": "/s/{{job}}", "job": "/id", "done": "/p", "success": ["100"]},
    })));
    let shown = expand(&checked_http, &target("a")).expect("expansion").to_string();
    assert_eq!(
        shown,
        "a\n  GET https://a/\n  Authorization: Bearer ***\n  \n  ***\n  \\u{1b}[2Ja\
         \n  (then GET https://a/s/JOB every 2000 ms)"
    );
    let lines = |value| expand(&checked(value), &target("::1")).expect("expansion").lines;
    assert_eq!(
        lines(ssh(json!({"script": "#!/bin/sh\ntrue", "command": "x", "sudo": {}}))),
        [
            "root@::1 port 22 with a password",
            "(as root by sudo)",
            "$ SCRIPT x",
            "#!/bin/sh",
            "true"
        ]
    );
    assert_eq!(
        lines(json!({"command": {"tcp": {"port": "7", "send": "{{secrets.token}}\r\n"}}})),
        ["tcp://[::1]:7", "send \"***\\r\\n\""]
    );
    assert_eq!(lines(json!({"command": {"ping": {}}})), ["ICMP echo, or TCP port 22"]);
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,30}|(https?://)?[{}a-z.:/ \r\n-]{0,30}", host in "[a-z:0-9.]{1,9}") {
        let http = http(json!({
            "method": text, "url": text, "headers": [{"name": "x", "value": text}],
            "body": {"text": text}, "expect": text
        }));
        let _ = check(&spec(http), &secrets());
        let url = json!({"command": {"http": {"method": "GET", "url": format!("http://{{{{host}}}}{text}")}}});
        if let (Ok(checked), Ok(target)) = (check(&spec(url), &secrets()), Target::plain(&host)) {
            let _ = expand(&checked, &target);
        }
        let _ = check(&spec(ssh(json!({"command": text, "user": text, "port": text}))), &secrets());
    }
}
