//! Names that are paths, words that are commands to a terminal, and secrets where none belong.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use remuda_api::dto::Scope;
use remuda_e2e::{
    Lab,
    attack::{exchange, request},
    command, detach, exec, id, info, whole_output,
};

fn api(lab: &Lab) -> String {
    lab.node("c1").api().trim_start_matches("http://").to_owned()
}

/// All files below a folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&path)),
            Ok(kind) if kind.is_file() => found.push(path),
            _ => {}
        }
    }
    found
}

/// Names that would leave a folder, or become another file, if they were joined to a path.
fn tricks() -> Vec<String> {
    let mut tricks = Vec::new();
    let ups =
        ["..", "../", "..\\", "....//", "..;/", "%2e%2e/", "%2e%2e%2f", "..%c0%af", "\u{2025}/"];
    for up in ups {
        for target in ["", "x", "etc/passwd", "decoy/file", "tls/key.der"] {
            for times in [1, 2, 5, 12] {
                tricks.push(format!("{}{target}", up.repeat(times)));
                tricks.push(format!("a/{}{target}", up.repeat(times)));
            }
        }
    }
    for plain in [
        "/etc/passwd",
        "//x",
        "~",
        "~root/x",
        ".",
        "./x",
        "x/.",
        "x/",
        "/",
        "a\0b",
        "a\n/b",
        "/proc/self/root/x",
        "/proc/self/environ",
        "/dev/fd/0",
        "CON",
        "a:b/c",
        "x ",
        " x",
        "-x/",
    ] {
        tricks.push(plain.to_owned());
    }
    tricks.push("a".repeat(300));
    tricks.push("a/".repeat(3_000));
    tricks
}

/// A text as one part of the path of a request, every byte of doubt in percent form.
fn encoded(text: &str) -> String {
    let byte = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(*byte).to_string(),
        other => format!("%{other:02x}"),
    };
    text.as_bytes().iter().map(byte).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_leads_out_of_a_data_directory() {
    let lab = Lab::start(1, 1).await;
    let (api, admin) = (api(&lab), lab.admin_token().to_owned());
    let decoy = lab.dir().join("decoy");
    fs::create_dir(&decoy).expect("made");
    fs::write(decoy.join("file"), "untouched").expect("written");
    let tricks = tricks();
    assert!(tricks.len() > 350, "{}", tricks.len());
    // A task's id is the name of its folder.
    let mut started = std::collections::BTreeSet::new();
    for trick in &tricks {
        let task = serde_json::json!({
            "node": "w1", "class": "exec", "id": trick, "spec": {"argv": ["true"]}
        });
        let body = task.to_string();
        let head = request(
            &api,
            "POST",
            "/v1/tasks",
            Some(&admin),
            &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()),
        );
        let status = exchange(&api, format!("{head}{body}").as_bytes()).status;
        assert!([201, 400].contains(&status), "{trick:?}: {status}");
        // What is a name after all is that of one folder where all tasks have theirs.
        if status == 201 {
            let folder = lab.node("w1").dir().join("holder/tasks").join(trick);
            assert!(folder.is_dir() && Path::new(trick).components().count() == 1, "{trick:?}");
            started.insert(trick.as_str());
        }
    }
    assert!(started.len() < 20, "tricks are names of tasks: {started:?}");
    // In the path of a request, as it is and encoded.
    for trick in tricks.iter().filter(|trick| trick.len() < 2_000) {
        let plain = trick.replace(['\0', '\n', ' ', '\\', '\u{2025}'], "_");
        for (method, path) in [
            ("GET", format!("/v1/nodes/{}", encoded(trick))),
            ("GET", format!("/v1/tasks/{}", encoded(trick))),
            ("DELETE", format!("/v1/tokens/{plain}")),
            ("GET", format!("/v1/cluster/join-tokens/{plain}")),
        ] {
            let request = request(&api, method, &path, Some(&admin), "");
            let status = exchange(&api, request.as_bytes()).status;
            let is_task = path.starts_with("/v1/tasks/") && started.contains(trick.as_str());
            let refused = (400..500).contains(&status);
            assert!(refused || is_task && status == 200, "{method} {path}: {status}");
        }
    }
    assert_eq!(fs::read_to_string(decoy.join("file")).expect("there"), "untouched");
    assert_eq!(files(&decoy).len(), 1);
    let entries: Vec<_> = fs::read_dir(lab.dir()).expect("there").flatten().collect();
    assert_eq!(entries.len(), 3, "c1, w1 and the decoy: {entries:?}");
    info(&lab.client("c1"), "w1").await.expect("w1 works");

    // What lies there is for its owner only.
    for node in ["c1", "w1"] {
        let dir = lab.node(node).dir();
        let mode = |path: &Path| fs::symlink_metadata(path).expect("there").mode() & 0o777;
        for secret in ["tls/key.der", "tls", "holder", "worker"] {
            assert_eq!(mode(&dir.join(secret)) & 0o077, 0, "{node}/{secret}");
        }
    }
    for secret in ["cluster.json", "admin-token", "join-token-worker", "control/authority"] {
        let path = lab.node("c1").dir().join(secret);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_does_not_command_a_terminal() {
    let lab = Lab::start(1, 1).await;
    let client = lab.client("c1");
    let evil = "\u{1b}]0;title\u{7}\u{1b}[2J\rfaked\u{8}\u{9b}31m\u{202e}";
    let mut request = command(&["sh", "-c", "sleep 60", evil]);
    request.detach = true;
    let task = client.exec_detached(&id("w1"), &request).await.expect("it runs").id;
    client
        .set_labels(&id("w1"), &"ok;x=\"\u{1b}[31m\"".parse().expect("labels"), &[])
        .await
        .expect("set");
    client.create_token(evil, Scope::Read, None).await.expect("made");
    for arguments in [
        &["task", "list"][..],
        &["task", "show", task.as_str()],
        &["node", "list"],
        &["node", "show", "w1"],
        &["node", "label", "w1"],
        &["token", "list"],
        &["request", "w1", "node", "\"\u{1b}[31m\""],
        &["task", "show", "\u{1b}[31m"],
    ] {
        let shown = lab.cli("c1", arguments).await;
        for text in [&shown.stdout, &shown.stderr] {
            let harmful = |char: &char| {
                (char.is_control() && !['\n', '\t'].contains(char)) || *char == '\u{202e}'
            };
            assert_eq!(text.chars().find(harmful), None, "{arguments:?}: {}", text.escape_debug());
        }
    }
    // A line of a megabyte is a line.
    let long = exec(&client, "w1", &["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x; echo"]);
    assert_eq!(long.await.expect("it runs").0.len(), 1_000_001);
}

/// Searches for secrets wherever a node writes, and in what it answers.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_stay_where_they_belong() {
    let lab = Lab::start(2, 1).await;
    let client = lab.client("c1");
    // Some life, with failures, so that much is said.
    let api_token = client.create_token("scan", Scope::Operate, None).await.expect("made").secret;
    exec(&client, "w1", &["echo", "hello"]).await.expect("it runs");
    let task = detach(&client, "w1", &["sh", "-c", "env; cat /proc/self/environ; exit 3"]).await;
    let (environment, _) = whole_output(&client, "w1", &task.id).await;
    let wrong = exchange(
        &api(&lab),
        request(&api(&lab), "GET", "/v1/nodes", Some("rmt1.a.b"), "").as_bytes(),
    );
    assert_eq!(wrong.status, 401);
    let mut answers = vec![environment];
    for arguments in [
        &["node", "list", "--json"][..],
        &["node", "show", "w1", "--json"],
        &["cluster", "status", "--json"],
        &["token", "list", "--json"],
        &["task", "list", "--json"],
        &["request", "w1", "node", "\"info\""],
    ] {
        let shown = lab.cli("c1", arguments).await;
        answers.push(format!("{}{}", shown.stdout, shown.stderr));
    }
    // What is sent with a report of a bug, unpacked.
    let bundle = lab.dir().join("bundle");
    fs::create_dir(&bundle).expect("made");
    let packed = bundle.join("bug.tar.gz");
    let packed = packed.to_str().expect("UTF-8");
    let made = lab.cli("c1", &["debug", "bundle", "--output", packed]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let mut unpack = std::process::Command::new("tar");
    let unpacked = unpack.args(["xzf", packed, "-C"]).arg(&bundle).status().expect("tar runs");
    assert!(unpacked.success() && files(&bundle).len() > 1, "{:?}", files(&bundle));

    let secrets = secrets(&lab, &api_token);
    assert!(secrets.len() >= 8, "{:?}", secrets.keys());
    for (what, secret) in &secrets {
        for answer in &answers {
            assert!(!contains(answer.as_bytes(), secret), "{what} is in an answer");
        }
        for node in lab.names() {
            assert!(!contains(lab.node(&node).log().as_bytes(), secret), "{what} is in a log");
        }
        let pid = lab.node("c1").pid().expect("it runs");
        let line = fs::read(format!("/proc/{pid}/cmdline")).expect("it runs");
        assert!(!contains(&line, secret), "{what} is on a command line");
        for path in files(lab.dir()) {
            if may_hold(&path) {
                continue;
            }
            let bytes = fs::read(&path).unwrap_or_default();
            assert!(!contains(&bytes, secret), "{what} is in {}", path.display());
        }
    }
}

/// Files whose purpose it is to keep a secret.
fn may_hold(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    [
        "cluster.json",
        "authority",
        "key.der",
        "admin-token",
        "join-token-control",
        "join-token-worker",
    ]
    .contains(&name)
}

fn secrets(lab: &Lab, api_token: &str) -> BTreeMap<String, Vec<u8>> {
    let dir = lab.node("c1").dir();
    let last = |text: &str| text.trim().rsplit('.').next().expect("a part").as_bytes().to_vec();
    let mut secrets = BTreeMap::new();
    for file in ["admin-token", "join-token-control", "join-token-worker"] {
        let text = fs::read_to_string(dir.join(file)).expect("there");
        secrets.insert(file.to_owned(), last(&text));
    }
    secrets.insert("an API token".to_owned(), last(api_token));
    let made: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.join("cluster.json")).expect("there")).expect("JSON");
    let key = made["ca_key"].as_str().expect("a key").as_bytes().to_vec();
    secrets.insert("the CA's key as text".to_owned(), key);
    for node in lab.names() {
        let key = fs::read(lab.node(&node).dir().join("tls/key.der")).expect("there");
        // The middle is the secret number; the rest is the same in all keys.
        secrets.insert(format!("the key of {node}"), key[36..68].to_vec());
    }
    secrets
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
