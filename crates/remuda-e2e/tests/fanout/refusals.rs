//! What is wrong is refused before anything is sent, and says where it is wrong.

use remuda::client::dto::{CreateRun, RunTargets};
use remuda_e2e::{
    Lab,
    attack::{exchange, request},
};
use remuda_model::ErrorKind;
use serde_json::{Value, json};

use crate::{
    crowd::{Act, Crowd, hosts},
    field::{LOOPBACK, cluster, ended, fanout, json as said_json, listed, said, written},
};

/// Nothing of it happened.
async fn assert_nothing(lab: &Lab, crowd: &Crowd) {
    assert_eq!(said_json(lab, "c1", &["list"]).await["runs"], json!([]));
    assert_eq!(crowd.busy().total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_targets_and_templates_are_named_and_nothing_is_sent() {
    let lab = cluster(1, 0).await;
    let crowd = Crowd::start(|_| Act::ok("here")).await;
    let lines = "127.1.0.1\nbad host!\n127.1.0.2\n{\"host\": 5}\nweb[9-\n127.1.0.3\n";
    let lines = written(&lab, "lines.txt", lines);
    let rows = "host,build\n127.1.0.1,b1\n,b2\n127.1.0.2,b3,more\n";
    let rows = written(&lab, "rows.csv", rows);
    let entries = written(&lab, "entries.json", r#"["127.1.0.1", 17, {"name": "x"}]"#);
    let no_json = written(&lab, "no.json", "[\"127.1.0.1\"");
    let empty = written(&lab, "empty.txt", "# nobody\n");
    let too_many: Vec<String> =
        (0..=1_000_000).map(|number| format!("n{number}.invalid")).collect();
    let too_many = listed(&lab, "too-many.txt", &too_many);
    let (plain, templated) = (crowd.url("/"), crowd.url("/{{vars.build}}"));
    let one = written(&lab, "one.csv", "host,build\n127.1.0.1,b1\n127.1.0.2,\n");
    for (url, options, words) in [
        (&plain, vec!["--targets", lines.as_str()], vec!["line 2", "line 4", "line 5"]),
        (&plain, vec!["--targets", &rows], vec!["line 3", "line 4"]),
        (&plain, vec!["--targets", &entries], vec!["entry 2", "entry 3"]),
        (&plain, vec!["--targets", &no_json], vec!["JSON"]),
        (&plain, vec!["--targets", &empty], vec!["target"]),
        (&plain, vec!["--targets", &too_many], vec!["1000000"]),
        (&plain, vec!["-t", "127.0.0.0/12"], vec!["1000000"]),
        (&plain, vec!["-t", "127.1.0.1", "-t", "bad host!"], vec!["argument 2"]),
        (&plain, vec![], vec!["no targets", "--targets"]),
        (&templated, vec!["--targets", &one], vec!["vars.build", "127.1.0.2"]),
        (&templated, vec!["-t", "127.1.0.1"], vec!["vars.build"]),
        (&plain, vec!["-t", "127.1.0.1", "-H", "A: {{secrets.none}}"], vec!["secret `none`"]),
        (&plain, vec!["-t", "127.1.0.1", "--expect", "2xx-"], vec!["expect"]),
        (&plain, vec!["-t", "127.1.0.1", "--redirects", "9"], vec!["redirects"]),
        (&plain, vec!["-t", "127.1.0.1", "--rate", "0"], vec!["rate"]),
        (&plain, vec!["-t", "127.1.0.1", "--concurrency", "0"], vec!["concurrency"]),
        (&"ftp://{{host}}/".to_owned(), vec!["-t", "127.1.0.1"], vec!["url"]),
        (&"http://{{host/".to_owned(), vec!["-t", "127.1.0.1"], vec!["url"]),
    ] {
        let arguments = [&["http", "GET", url], options.as_slice()].concat();
        let refused = fanout(&lab, "c1", &arguments).await;
        assert_eq!(refused.code, Some(2), "{arguments:?}: {refused:#?}");
        for word in words {
            assert!(refused.stderr.contains(word), "{arguments:?}: no `{word}`: {refused:#?}");
        }
        assert_eq!(refused.stdout, "", "{arguments:?}");
    }
    let missing = ["http", "GET", &plain, "--targets", "/no/such/file"];
    let missing = fanout(&lab, "c1", &missing).await;
    assert_eq!(missing.code, Some(3), "{missing:#?}");
    assert_nothing(&lab, &crowd).await;
}

/// Sends a body to the API; the status, and the answer as JSON.
fn post(lab: &Lab, body: &str) -> (u16, Value) {
    let api = lab.node("c1").api();
    let api = api.trim_start_matches("http://");
    let more = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    let head = request(api, "POST", "/v1/fanout", Some(lab.admin_token()), &more);
    let answer = exchange(api, format!("{head}{body}").as_bytes());
    let (_, text) = answer.text.split_once("\r\n\r\n").unwrap_or_default();
    let text = text.find('{').map_or("", |at| &text[at..]);
    let json = serde_json::Deserializer::from_str(text).into_iter().next();
    (answer.status, json.and_then(Result::ok).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_names_the_field_that_is_wrong() {
    let lab = cluster(1, 0).await;
    let crowd = Crowd::start(|_| Act::ok("here")).await;
    let url = crowd.url("/");
    let good = json!({
        "spec": {"command": {"http": {"method": "GET", "url": url}}},
        "targets": {"lines": ["127.1.0.1"]},
    });
    let with = |path: &str, value: Value| {
        let mut changed = good.clone();
        let (parent, name) = path.rsplit_once('/').expect("a pointer");
        changed.pointer_mut(parent).expect("it is there")[name] = value;
        changed.to_string()
    };
    let http = "/spec/command/http";
    let many: Vec<String> = (0..10_001).map(|number| format!("n{number}")).collect();
    for (body, words) in [
        (with("/spec/colour", json!("red")), "colour"),
        (with(&format!("{http}/colour"), json!("red")), "colour"),
        (with(&format!("{http}/method"), json!("GET /")), "method"),
        (with(&format!("{http}/url"), json!("gopher://{{host}}")), "url"),
        (with(&format!("{http}/url"), json!("http://{{hostname}}")), "url"),
        (with(&format!("{http}/redirects"), json!(4)), "redirects"),
        (with(&format!("{http}/headers"), json!([{"name": "a b", "value": ""}])), "headers"),
        (with(&format!("{http}/expect"), json!("999999")), "expect"),
        (with("/spec/command", json!({"dance": {}})), "dance"),
        (with("/spec/limits", json!({"concurrency": 0})), "concurrency"),
        (with("/spec/limits", json!({"rate": -1.0})), "rate"),
        (with("/spec/limits", json!({"retries": 200})), "retries"),
        (with("/spec/priority", json!("urgent")), "urgent"),
        (with("/spec/on", json!("a &&")), "on"),
        (with("/targets", json!({"lines": ["fine", "not fine!"]})), "line 2"),
        (with("/targets", json!({"lines": many})), "lines"),
        (with("/targets", json!({"lines": ["127.0.0.0/11"]})), "1000000"),
        (with("/targets", json!({"lines": []})), "target"),
        (with("/id", json!("no id")), "id"),
        (with("/id", json!("../../etc")), "id"),
        ("{}".to_owned(), "spec"),
        ("[".to_owned(), "body"),
    ] {
        let (status, answer) = post(&lab, &body);
        let body = &body[..body.len().min(300)];
        assert!(status == 400 || status == 422, "{status} for {body}: {answer}");
        assert!(answer.to_string().contains(words), "no `{words}` for {body}: {answer}");
    }
    assert_nothing(&lab, &crowd).await;
    let (status, made) = post(&lab, &good.to_string());
    assert_eq!(status, 201, "{made}");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_are_not_there_there_already_or_under_way() {
    let lab = cluster(3, 0).await;
    for arguments in [
        vec!["show", "none"],
        vec!["results", "none"],
        vec!["group", "none", "--by", "status"],
        vec!["diff", "none", "none"],
        vec!["pause", "none"],
        vec!["resume", "none"],
        vec!["cancel", "none"],
        vec!["remove", "none"],
    ] {
        for at in ["c1", "c2"] {
            let refused = fanout(&lab, at, &arguments).await;
            assert_eq!(refused.code, Some(3), "{arguments:?} at {at}: {refused:#?}");
            assert!(refused.stderr.contains("no run `none`"), "{arguments:?}: {refused:#?}");
        }
    }
    for bad in ["no id", "../../etc/passwd", "", ".."] {
        let refused = fanout(&lab, "c1", &["show", bad]).await;
        assert_eq!(refused.code, Some(2), "{bad}: {refused:#?}");
    }

    let crowd = Crowd::held(|_| Act::ok("here")).await;
    let targets = listed(&lab, "hosts.txt", &hosts(100));
    let url = crowd.url("/");
    let start = ["http", "GET", &url, "--targets", &targets, "--id", "mine", "--detach"];
    said(&lab, "c1", &start).await;
    crowd.until("some are asked", |busy| busy.now > 0).await;
    for at in ["c1", "c2"] {
        let active = fanout(&lab, at, &["remove", "mine"]).await;
        assert_eq!(active.code, Some(4), "{active:#?}");
        assert!(active.stderr.contains("fanout cancel mine"), "{active:#?}");
        // The name is taken in the whole cluster.
        let taken = fanout(&lab, at, &start).await;
        assert_eq!(taken.code, Some(4), "at {at}: {taken:#?}");
        assert!(taken.stderr.contains("there is a run `mine`"), "{taken:#?}");
    }
    let wrong = fanout(&lab, "c2", &["group", "mine", "--by", "colour"]).await;
    assert_eq!(wrong.code, Some(2), "{wrong:#?}");
    let wrong = fanout(&lab, "c2", &["results", "mine", "--text", "("]).await;
    assert_eq!(wrong.code, Some(2), "{wrong:#?}");
    crowd.open();
    ended(&lab.client("c2"), &"mine".parse().expect("an id")).await;
    let over = fanout(&lab, "c3", &["pause", "mine"]).await;
    assert_eq!(over.code, Some(4), "{over:#?}");
    said(&lab, "c3", &["remove", "mine"]).await;
    assert_eq!(fanout(&lab, "c1", &["show", "mine"]).await.code, Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_only_read_starts_and_changes_nothing() {
    let lab = cluster(1, 0).await;
    let crowd = Crowd::start(|_| Act::ok("here")).await;
    let client = lab.client("c1");
    let scope = remuda_api::dto::Scope::Read;
    let made = client.create_token("reader", scope, None).await.expect("made");
    let reader = lab.node("c1").client(&made.secret);
    let command = json!({"command": {"http": {"method": "GET", "url": crowd.url("/")}}});
    let request = CreateRun {
        id: None,
        spec: serde_json::from_value(command).expect("a spec"),
        targets: RunTargets::Lines(vec!["127.1.0.1".to_owned()]),
        secrets: remuda_model::run::Secrets::default(),
    };
    let refused = reader.create_run(&request).await.expect_err("it may only read");
    assert_eq!(refused.kind, ErrorKind::Forbidden, "{refused:?}");
    let view = client.create_run(&request).await.expect("an administrator may");
    reader.run(&view.id).await.expect("it may read");
    for refused in [reader.cancel_run(&view.id).await, reader.pause_run(&view.id).await] {
        assert_eq!(refused.expect_err("it may only read").kind, ErrorKind::Forbidden);
    }
    let refused = reader.remove_run(&view.id).await.expect_err("it may only read");
    assert_eq!(refused.kind, ErrorKind::Forbidden, "{refused:?}");
    ended(&client, &view.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_the_operator_did_not_name_is_blocked() {
    let lab = Lab::start_with(1, 0, &[LOOPBACK, "--fanout-ports", "1-2"]).await;
    let crowd = Crowd::start(|_| Act::ok("here")).await;
    let url = crowd.url("/");
    let blocked = fanout(&lab, "c1", &["http", "GET", &url, "-t", "127.0.0.5"]).await;
    assert_eq!(blocked.code, Some(7), "{blocked:#?}");
    assert!(blocked.stdout.contains("blocked"), "{blocked:#?}");
    assert!(blocked.stdout.contains("among its --fanout-ports"), "{blocked:#?}");
    assert_eq!(crowd.busy().total, 0);
}
