//! `remuda debug bundle`: what a bug report needs, and no secret of the cluster.

use std::{fs, path::Path, process::Command};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use remuda::client::dto::Scope;
use remuda_e2e::{Lab, Place, command, detach, id};
use serde_json::{Value, json};

/// Every file of an archive, below one directory.
fn unpack(archive: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    let mut tar = Command::new("tar");
    let done = tar.arg("-xzf").arg(archive).arg("-C").arg(to).status().expect("`tar` runs");
    assert!(done.success(), "the archive is whole");
}

/// All bytes of all files, with the names of the files.
fn everything(dir: &Path, into: &mut Vec<u8>) {
    for entry in fs::read_dir(dir).expect("a folder").flatten() {
        into.extend(entry.path().display().to_string().into_bytes());
        if entry.path().is_dir() {
            everything(&entry.path(), into);
        } else {
            into.extend(fs::read(entry.path()).expect("a file"));
        }
    }
}

fn shows(bytes: &[u8], secret: &[u8]) -> bool {
    assert!(secret.len() >= 8, "too short to be looked for");
    bytes.windows(secret.len()).any(|part| part == secret)
}

/// A secret in all the forms in which it may be written down.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: Vec<_> = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let numbers: Vec<_> = secret.iter().take(12).map(u8::to_string).collect();
    vec![
        secret.to_vec(),
        STANDARD.encode(secret).trim_end_matches('=').into(),
        URL_SAFE_NO_PAD.encode(secret).into(),
        hex.concat().into_bytes(),
        numbers.join(", ").into_bytes(),
    ]
}

/// The secrets that lie in the directory of a node: its key, and on the first one those of the
/// cluster.
fn kept_secrets(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut secrets = vec![("key".to_owned(), fs::read(dir.join("tls/key.der")).expect("a key"))];
    if let Ok(made) = fs::read(dir.join("cluster.json")) {
        let made: Value = serde_json::from_slice(&made).expect("JSON");
        for name in ["ca_key", "worker_secret", "control_secret"] {
            let text = made[name].as_str().expect(name);
            secrets.push((name.to_owned(), URL_SAFE_NO_PAD.decode(text).expect("base64")));
        }
    }
    for name in ["join-token-control", "join-token-worker", "admin-token"] {
        if let Ok(token) = fs::read_to_string(dir.join(name)) {
            let secret = token.trim().rsplit('.').next().expect("a secret").to_owned();
            secrets.push((name.to_owned(), secret.into_bytes()));
        }
    }
    secrets
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_has_what_a_bug_report_needs_and_no_secret() {
    let place = Place::default().with("DATABASE_PASSWORD", "environment-hunter22");
    let mut lab = Lab::found(&place, &[]).await;
    lab.join_at(&place, "c2", &["--control"]).await;
    lab.join_at(&place, "w1", &[]).await;
    lab.wait_ready(3).await;
    let client = lab.client("c1");
    let made = client.create_token("ci", Scope::Operate, None).await.expect("made");
    let mut words = command(&["sh", "-c", ": --password commandline-hunter22; sleep 600"]);
    words.env.insert("TOKEN".to_owned(), "taskenvironment-hunter22".to_owned());
    let task = client.exec_detached(&id("w1"), &words).await.expect("starts");
    detach(&client, "w1", &["echo", "output-hunter22"]).await;
    let put = json!({"put": {"key": "k", "value": "nodedata-hunter22"}});
    let node = "node".parse().expect("a class");
    client.request(&id("w1"), &node, put, None).await.expect("put");
    lab.cli("c1", &["node", "list", "--token", "rmt1.nobody.wrongtoken-hunter22"]).await;

    let file = lab.dir().join("bug.tar.gz");
    let path = file.to_str().expect("UTF-8");
    let said = lab.cli("c1", &["debug", "bundle", "-o", path, "--json"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let report: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(report["nodes"], 3, "{report}");
    let dir = lab.dir().join("unpacked");
    unpack(&file, &dir);
    let root = dir.join("remuda-debug");
    let read = |name: &str| {
        fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    for node in ["c1", "c2", "w1"] {
        let log = read(&format!("nodes/{node}/log.txt"));
        assert!(log.contains("the node runs"), "{node}: {log}");
        let said: Value = serde_json::from_str(&read(&format!("nodes/{node}/node.json"))).unwrap();
        assert_eq!(said["info"]["node"], node, "{said}");
        let settings = said["program"]["program"]["settings"].as_array().expect("settings");
        assert!(settings.iter().any(|setting| setting["key"] == "data_dir"), "{said}");
        assert!(read(&format!("nodes/{node}/process.txt")).contains("remuda_process_threads"));
    }
    for control in ["c1", "c2"] {
        assert!(read(&format!("nodes/{control}/replica.txt")).contains("voters"));
        assert!(read(&format!("nodes/{control}/metrics.txt")).contains("remuda_raft_term"));
    }
    assert!(read("nodes/w1/metrics.txt").contains("remuda_fanout_slots 2500"));
    assert!(read("cluster.json").contains("\"leader\""));
    assert!(read("nodes.json").contains("cpu.arch"));
    assert!(read("metrics.txt").contains("remuda_api_requests_total"));
    assert!(read("bundle.json").contains("\"api\""));
    let tasks = read("nodes/w1/node.json");
    assert!(tasks.contains(task.id.as_str()), "tasks are listed by their ids: {tasks}");

    let mut bytes = Vec::new();
    everything(&dir, &mut bytes);
    assert!(shows(&bytes, b"remuda_raft_term"), "it is looked for in the right place");
    assert!(!shows(&bytes, b"hunter22"), "{}", {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.lines().filter(|line| line.contains("hunter22")).collect::<Vec<_>>().join("\n")
    });
    let mut secrets = vec![("token".to_owned(), made.secret.into_bytes())];
    for node in ["c1", "c2", "w1"] {
        secrets.extend(kept_secrets(lab.node(node).dir()));
    }
    assert!(secrets.len() >= 10, "{}", secrets.len());
    for (name, secret) in secrets {
        for form in forms(&secret) {
            assert!(!shows(&bytes, &form), "{name} is in the bundle");
        }
    }

    let again = lab.cli("c1", &["debug", "bundle", "-o", path]).await;
    assert_eq!(again.code, Some(4), "nothing is replaced: {again:?}");
    lab.node_mut("w1").kill9();
    let other = lab.dir().join("other.tar.gz");
    let words = ["debug", "bundle", "-o", other.to_str().expect("UTF-8"), "--json"];
    let without = lab.cli("c2", &words).await;
    assert_eq!(without.code, Some(0), "a node that is away keeps nobody waiting: {without:?}");
    let report: Value = serde_json::from_str(&without.stdout).expect("JSON");
    assert_eq!(report["without_answer"], json!(["w1"]), "{report}");
}
