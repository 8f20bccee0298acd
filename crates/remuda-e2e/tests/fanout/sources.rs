//! Where targets come from, and what is sent to them.

use std::{
    io::Write as _,
    net::Ipv4Addr,
    process::{Command, Stdio},
};

use remuda_e2e::{Lab, within};
use remuda_model::run::{Header, Outcome};

use crate::{
    crowd::{Act, Crowd, hosts},
    field::{cluster, count, fanout, finished, json, listed, said, written},
};

/// Asks targets from somewhere; the hosts that were asked.
async fn asked(lab: &Lab, crowd: &Crowd, id: &str, options: &[&str]) -> Vec<String> {
    let url = crowd.url("/");
    let ended = fanout(lab, "c1", &[&["http", "GET", &url, "--id", id], options].concat()).await;
    assert_eq!(ended.code, Some(0), "{options:?}: {ended:#?}");
    let run = id.parse().expect("an id");
    let kept = finished(&lab.client("c1"), &run).await;
    assert_eq!(count(&kept, Outcome::Ok) as usize, kept.len(), "{options:?}");
    let mut hosts: Vec<_> = kept.into_iter().map(|record| record.host).collect();
    hosts.sort_by_key(|host| host.parse::<Ipv4Addr>().ok());
    hosts
}

/// Runs a command with this on its standard input.
async fn piped(mut command: Command, input: &str) -> remuda_e2e::Finished {
    let input = input.to_owned();
    let running = tokio::task::spawn_blocking(move || {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        child.wait_with_output().expect("it ends")
    });
    within("a command", running).await.expect("it ends").into()
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_come_from_arguments_files_input_urls_and_the_cluster() {
    let lab = cluster(1, 1).await;
    let crowd = Crowd::start(|_| Act::ok("here")).await;
    let three = ["127.7.0.1", "127.7.0.2", "127.7.0.3"];

    let ranges = ["-t", "127.7.0.[1-2]", "-t", "127.7.0.3", "-t", "127.7.0.2"];
    assert_eq!(asked(&lab, &crowd, "arguments", &ranges).await, three);
    let file = written(&lab, "hosts.txt", "# a comment\n127.7.0.1 127.7.0.2\n\n127.7.0.[2-3]\n");
    assert_eq!(asked(&lab, &crowd, "file", &["--targets", &file]).await, three);
    let inner = r#"{"data": {"hosts": ["127.7.0.1", {"host": "127.7.0.2"}, "127.7.0.3"]}}"#;
    let inner = written(&lab, "hosts.json", inner);
    for (id, path) in [("pointer", "/data/hosts"), ("path", "$.data.hosts[*]")] {
        let options = ["--targets", &inner, "--path", path];
        assert_eq!(asked(&lab, &crowd, id, &options).await, three);
    }

    // The list itself is at a URL.
    let source = Crowd::start(|_| Act::ok("127.7.0.1\n127.7.0.2\n127.7.0.3\n")).await;
    let at = format!("http://127.0.0.1:{}/hosts.txt", source.port);
    assert_eq!(asked(&lab, &crowd, "url", &["--targets", &at]).await, three);
    let nowhere = Crowd::start(|_| Act::Answer(404, b"none".to_vec())).await;
    let at = format!("http://127.0.0.1:{}/hosts.txt", nowhere.port);
    let refused = fanout(&lab, "c1", &["http", "GET", &crowd.url("/"), "--targets", &at]).await;
    assert!(refused.code.is_some_and(|code| code != 0 && code != 7), "{refused:#?}");
    assert!(refused.stderr.contains("404"), "{refused:#?}");

    let url = crowd.url("/");
    let arguments = ["fanout", "http", "GET", &url, "--targets", "-", "--id", "input"];
    let ended = piped(lab.command("c1", &arguments), "127.7.0.1,127.7.0.2\n127.7.0.3\n").await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let kept = finished(&lab.client("c1"), &"input".parse().expect("an id")).await;
    assert_eq!(kept.len(), 3);

    // The cluster's own nodes, which all listen at 127.0.0.1.
    let options = ["--nodes", "role==worker"];
    assert_eq!(asked(&lab, &crowd, "nodes", &options).await, ["127.0.0.1", "127.0.0.1"]);
    let none = fanout(&lab, "c1", &["http", "GET", &url, "--nodes", "role==tractor"]).await;
    assert_eq!(none.code, Some(3), "{none:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_variables_of_url_header_and_body() {
    let lab = cluster(1, 1).await;
    let crowd = Crowd::start(|_| Act::ok("done")).await;
    let all = hosts(1200);
    let rows: Vec<String> =
        all.iter().map(|host| format!("{host},b{},\"a,\"\"b\"\"\"\n", host.octets()[3])).collect();
    let table = written(&lab, "hosts.csv", &format!("host,build,note\n{}", rows.concat()));
    let (url, secret) = (crowd.url("/deploy/{{vars.build}}"), written(&lab, "token", "s3cret\n"));
    let secret = format!("token={secret}");
    let arguments = [
        &["http", "POST", &url, "--targets", &table, "--secret", &secret, "--id", "post"][..],
        &["-H", "Authorization: Bearer {{secrets.token}}", "--keep-headers", "x-said"],
        &["--data", "{{host}} gets {{vars.note}} in {{vars.zone}}", "--var", "zone=z9"],
    ]
    .concat();

    // Nothing is sent by a dry run.
    let dry = fanout(&lab, "c1", &[&arguments[..], &["--dry-run"]].concat()).await;
    assert_eq!(dry.code, Some(0), "{dry:#?}");
    assert!(dry.stdout.contains("/deploy/b1"), "{dry:#?}");
    assert!(dry.stdout.contains("127.1.0.1 gets a,\"b\" in z9"), "{dry:#?}");
    assert!(dry.stderr.contains("1200 targets; none was contacted"), "{dry:#?}");
    assert!(!dry.stdout.contains("s3cret"), "{dry:#?}");
    assert_eq!(crowd.busy().total, 0);
    assert_eq!(json(&lab, "c1", &["list"]).await["runs"], serde_json::json!([]));

    said(&lab, "c1", &arguments).await;
    let kept = finished(&lab.client("c1"), &"post".parse().expect("an id")).await;
    assert_eq!(count(&kept, Outcome::Ok), 1200);
    let said_by = Header { name: "x-said".to_owned(), value: "by the crowd".to_owned() };
    assert!(kept.iter().all(|record| record.headers == [said_by.clone()]));
    for host in &all {
        let request = crowd.request_to(*host);
        let build = host.octets()[3];
        assert!(request.starts_with(&format!("POST /deploy/b{build} HTTP/1.1\r\n")), "{request}");
        assert!(request.contains("Bearer s3cret\r\n"), "{request}");
        assert!(request.ends_with(&format!("{host} gets a,\"b\" in z9")), "{request}");
    }
    // What nobody may read is nowhere to be read.
    let shown = json(&lab, "c1", &["show", "post"]).await.to_string();
    assert!(!shown.contains("s3cret"), "{shown}");
    let left = Command::new("grep").args(["-rl", "s3cret"]).arg(lab.node("c1").dir()).output();
    let left = left.expect("it runs");
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "the secret outlives its run");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_targets_from_one_file_are_taken_once_each() {
    let lab = cluster(1, 2).await;
    let crowd = Crowd::start(|_| Act::ok("here")).await;
    // More than fit in one request to the API, and all of them twice.
    let all = hosts(10_500);
    let twice: Vec<_> = all.iter().chain(&all).collect();
    let file = listed(&lab, "twice.txt", &twice);
    assert_eq!(asked(&lab, &crowd, "twice", &["--targets", &file]).await.len(), all.len());
    assert!(crowd.asked().values().all(|times| *times == 1));
}
