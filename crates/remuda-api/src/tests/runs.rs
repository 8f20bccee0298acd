//! The document describes runs as they are read and answered.

use remuda_model::run::{
    Capture, Command, Header, HostKeys, Http, Keep, Limits, Login, Payload, Ping, PingMode, Poll,
    Priority, RunSpec, Secrets, Ssh, Sudo, Tcp, Tls, Until,
};
use serde_json::json;

use super::document::fits;

fn http() -> Http {
    Http {
        method: "GET".to_owned(),
        url: "http://{{host}}/".to_owned(),
        headers: Vec::new(),
        body: None,
        expect: None,
        redirects: 0,
        tls: Tls::default(),
        capture: Capture::default(),
        poll: None,
    }
}

fn full_http() -> Http {
    let text = || Some("x".to_owned());
    let header = Header { name: "a".to_owned(), value: "b".to_owned() };
    let poll = Poll {
        url: "/{{job}}".to_owned(),
        job: text(),
        done: "/done".to_owned(),
        success: vec!["100".to_owned()],
        failure: vec!["-1".to_owned()],
        interval_ms: Some(100),
        stuck_ms: Some(1000),
        max_errors: Some(1),
        total_ms: Some(1000),
    };
    Http {
        headers: vec![header],
        body: Some(Payload::Text("x".to_owned())),
        expect: text(),
        redirects: 3,
        tls: Tls { insecure: true, ca: text(), name: text() },
        capture: Capture { body: Some(1), headers: Keep::Only(vec!["date".to_owned()]) },
        poll: Some(poll),
        ..http()
    }
}

fn ssh() -> Ssh {
    Ssh {
        command: "uptime".to_owned(),
        script: None,
        user: "root".to_owned(),
        port: None,
        login: Login::Key,
        host_keys: HostKeys::Strict,
        known_hosts: None,
        sudo: None,
        output: None,
    }
}

fn tcp(until: Until) -> Tcp {
    let port = "6379".to_owned();
    Tcp { port, send: None, until, expect: None, tls: None, output: None }
}

fn ping() -> Ping {
    Ping { mode: PingMode::Auto, port: None, tries: None }
}

fn spec(command: Command) -> RunSpec {
    RunSpec {
        name: None,
        command,
        vars: [].into(),
        limits: Limits::default(),
        on: None,
        from_each: None,
        at_most_once: false,
        priority: Priority::Normal,
    }
}

fn commands() -> Vec<Command> {
    let text = || Some("x".to_owned());
    let mut all = vec![Command::Http(http()), Command::Http(full_http())];
    for headers in [Keep::None, Keep::All] {
        let body = Some(Payload::Base64("eA==".to_owned()));
        let capture = Capture { body: None, headers };
        all.push(Command::Http(Http { body, capture, ..http() }));
    }
    for (login, host_keys) in [
        (Login::Key, HostKeys::Strict),
        (Login::Password, HostKeys::AcceptNew),
        (Login::Agent, HostKeys::Off),
    ] {
        all.push(Command::Ssh(Ssh { login, host_keys, ..ssh() }));
    }
    let sudo = Some(Sudo { user: text(), password: true });
    let (script, port, known_hosts) = (text(), text(), text());
    all.push(Command::Ssh(Ssh { script, port, known_hosts, sudo, output: Some(1), ..ssh() }));
    for until in [
        Until::Connected,
        Until::Closed,
        Until::Line,
        Until::Bytes(1),
        Until::Text("x".to_owned()),
        Until::Idle(1),
    ] {
        all.push(Command::Tcp(tcp(until)));
    }
    let (send, expect, tls) = (text(), text(), Some(Tls::default()));
    let output = Some(1);
    all.push(Command::Tcp(Tcp { send, expect, tls, output, ..tcp(Until::Line) }));
    for mode in [PingMode::Auto, PingMode::Icmp, PingMode::Tcp] {
        all.push(Command::Ping(Ping { mode, ..ping() }));
    }
    all.push(Command::Ping(Ping { port: text(), tries: Some(1), ..ping() }));
    all
}

#[test]
fn every_command_is_described() {
    for command in commands() {
        fits("RunSpec", &spec(command));
    }
    for priority in [Priority::Low, Priority::High] {
        let limits = Limits {
            concurrency: Some(1),
            per_worker: Some(1),
            rate: Some(0.5),
            deadline_ms: Some(1),
            ..Limits::default()
        };
        let full = RunSpec {
            name: Some("x".to_owned()),
            vars: [("a".to_owned(), "b".to_owned())].into(),
            limits,
            on: Some("gpu".parse().expect("a selector")),
            from_each: Some("region".to_owned()),
            at_most_once: true,
            priority,
            ..spec(Command::Ping(ping()))
        };
        fits("RunSpec", &full);
    }
    let secret = || Some("x".to_owned().into());
    let values = [("a".to_owned(), "b".to_owned().into())].into();
    let secrets = Secrets { password: secret(), key: secret(), passphrase: secret(), values };
    fits("RunSecrets", &secrets);
    fits("RunSecrets", &Secrets::default());
}

#[test]
fn what_may_be_left_out_is_described_so() {
    let least = [
        json!({ "http": { "method": "GET", "url": "http://{{host}}/" } }),
        json!({ "ssh": { "command": "uptime", "user": "root", "login": "agent" } }),
        json!({ "tcp": { "port": "22" } }),
        json!({ "ping": {} }),
    ];
    for command in least {
        let spec = json!({ "command": command, "limits": {} });
        fits("RunSpec", &spec);
        let read: RunSpec = serde_json::from_value(spec).expect("a spec");
        fits("RunSpec", &read);
    }
    fits("RunSecrets", &json!({}));
}
