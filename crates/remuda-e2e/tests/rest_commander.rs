//! The face of REST Commander, by requests as its documents write them, against the real binary. What
//! is tried is what the table in `docs/compat/rest-commander.md` says.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    path::Path,
    thread,
};

use remuda_api::dto::Scope;
use remuda_e2e::{Lab, PATIENCE, attack::exchange, eventually};
use serde_json::{Value, json};

/// Two hosts with the same port, on which each request is answered with what it says.
fn echoes() -> u16 {
    let hosts = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];
    let (first, second) = (0..100)
        .find_map(|_| {
            let first = TcpListener::bind((hosts[0], 0)).expect("a port");
            let port = first.local_addr().expect("an address").port();
            Some((first, TcpListener::bind((hosts[1], port)).ok()?))
        })
        .expect("a port that both have");
    let port = first.local_addr().expect("an address").port();
    for listener in [first, second] {
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                thread::spawn(move || echo(stream));
            }
        });
    }
    port
}

/// Answers one request: its path in a header of the answer's body, its body after it. `None` when it
/// breaks off.
fn echo(mut stream: TcpStream) -> Option<()> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut said = Vec::new();
    let (head, mut body) = loop {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).ok().filter(|length| *length > 0)?;
        said.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&said).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            break (head.to_owned(), body.as_bytes().to_vec());
        }
    };
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(0, |text| text.trim().parse().expect("a number"));
    while body.len() < length {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).ok().filter(|length| *length > 0)?;
        body.extend_from_slice(&part[..length]);
    }
    let path = head.split(' ').nth(1)?;
    let status = if path.contains("missing") { "404 Not Found" } else { "200 OK" };
    let host = stream.local_addr().ok()?.ip();
    let text =
        format!("<host>{host}</host>\r\n<path>{path}</path>{}", String::from_utf8_lossy(&body));
    let length = text.len();
    let answer =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}");
    stream.write_all(answer.as_bytes()).ok()?;
    stream.shutdown(Shutdown::Write).ok()
}

fn configuration(dir: &Path, port: u16) {
    let write = |name: &str, text: &str| fs::write(dir.join(name), text).expect(name);
    write(
        "agentcommand.conf",
        &format!(
            "%Comments begin with%\nVARIABLES_PREDEFINED\n```VARIABLES_PREDEFINED_LIST_START\n\
             ${{URL}}=/health\n```VARIABLES_PREDEFINED_LIST_END\n\n\
             GET_HEALTH GET http {port} ${{URL}} 20 -1 -1 XML\n```$AM_FULL_CONTENT\n\n\
             POST_VALUE POST http {port} /v/$APIVARREPLACE_X 0 -1 -1 SUPERMAN_GLOBAL\n\
             ```{{\"v\":\"$APIVARREPLACE_X\"}}\n\n\
             GET_REFUSED GET http 1 / 0 -1 -1\n```$AM_FULL_CONTENT\n"
        ),
    );
    write(
        "nodegroup.conf",
        "ADHOC TWO NA NA\n```ADHOC_NODE_LIST_START\n127.0.0.2\n127.0.0.3\n127.0.0.2\n\
         ```ADHOC_NODE_LIST_END\n",
    );
    write(
        "aggregation.conf",
        "PATH\n```.*<path>(.*?)</path>.*\n\nSUPERMAN_SPECIAL_STATUS_CODE\n\
         ```SUPERMAN_SPECIAL_STATUS_CODE\n",
    );
    write(
        "httpheader.conf",
        "XML\n```HTTP_HEADER_LIST_START\ncontent-type\n```text/xml\n```HTTP_HEADER_LIST_END\n",
    );
}

/// A caller such as curl.
struct Caller {
    face: String,
    token: String,
}

impl Caller {
    fn send(&self, method: &str, path: &str, body: &str, head: &str) -> (u16, String) {
        let (face, length) = (&self.face, body.len());
        // In this version answers have no chunks.
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {face}\r\n{head}Content-Length: {length}\r\n\r\n{body}"
        );
        let answer = exchange(face, request.as_bytes());
        let body = answer.text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (answer.status, body.to_owned())
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.token)
    }

    fn get(&self, path: &str) -> String {
        let (status, body) = self.send("GET", path, "", &self.bearer());
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    fn json(&self, path: &str) -> Value {
        let body = self.get(path);
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    /// As `curl --data`.
    fn post(&self, path: &str, body: &str) -> Value {
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        let (status, body) = self.send("POST", path, body, &format!("{}{form}", self.bearer()));
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    /// Begins the command on the group, and asks as callers did until all is gathered.
    async fn gathered(&self, command: &str, more: &str) -> String {
        let job = self.get(&format!(
            "/commands/generateUpdateSendAgentCommandToNodeGroupForAsyncPolling?\
             nodeGroupType=TWO&agentCommandType={command}{more}"
        ));
        let state = async || self.get(&format!("/distributedAgents/queryState?jobId={job}"));
        eventually("the job is gathered", state, |state| state == "gathered").await;
        job
    }
}

/// Calls and their states, as the table says.
fn table() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compat/rest-commander.md");
    let text = fs::read_to_string(path).expect("the table");
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `/")?.split('|').map(str::trim);
        let call = cells.next()?.trim_end_matches('`');
        Some((format!("/{call}"), cells.next()?.to_owned()))
    });
    rows.collect()
}

fn nodes(map: &Value) -> Vec<&String> {
    map.as_object().expect("a map").keys().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_does_what_the_table_says() {
    let dir = tempfile::tempdir().expect("a folder");
    let port = echoes();
    configuration(dir.path(), port);
    let dir = dir.path().to_str().expect("UTF-8").to_owned();
    let face = ["--rest-commander", &*dir, "--rest-commander-listen", "127.0.0.1:0"];
    let extra = [face.as_slice(), &["--fanout-allow-loopback"]].concat();
    let lab = Lab::start_with(1, 0, &extra).await;
    let ready = fs::read(lab.node("c1").dir().join("ready.json")).expect("it is ready");
    let ready: Value = serde_json::from_slice(&ready).expect("JSON");
    let face = ready["rest_commander"].as_str().expect("it answers").to_owned();
    let client = lab.client("c1");
    let operate = client.create_token("operate", Scope::Operate, None).await.expect("made").secret;
    let caller = Caller { face: face.clone(), token: operate };

    let job = caller.gathered("GET_HEALTH", "&localMode=false&failOver=true&maxConcNum=9000").await;
    let refused = caller.gathered("GET_REFUSED", "&localMode=true&failOver=false").await;
    let rows = table();
    assert!(rows.len() > 30, "{rows:?}");
    for (call, state) in &rows {
        match state.as_str() {
            "supported" | "accepted" => check(&caller, call, &job, &refused).await,
            "absent" => {
                let path = call.replace("{file}", "x");
                let (status, _) = caller.send("GET", &path, "", &caller.bearer());
                assert_eq!(status, 404, "{path}");
            }
            other => panic!("{call} is {other}"),
        }
    }
    tokens(&caller, &client, &rows).await;
}

async fn check(caller: &Caller, call: &str, job: &str, refused: &str) {
    let of_job = format!("{call}?jobId={job}");
    match call {
        "/commands/generateUpdateSendAgentCommandToNodeGroupForAsyncPolling" => {
            assert!(!job.is_empty() && job != refused, "{job}");
            // The documents write requests as JSON.
            let request = json!({"nodeGroupType": "TWO", "agentCommandType": "GET_HEALTH",
                "localMode": false, "failOver": false, "maxConcNum": 10});
            let head = format!("{}Content-Type: application/json\r\n", caller.bearer());
            let (status, id) = caller.send("POST", call, &request.to_string(), &head);
            assert_eq!(status, 200, "{id}");
            let info = caller.json(&format!("/distributedagents/queryjobinfo?jobId={id}"));
            assert_eq!((&info["maxConcNum"], &info["jobId"]), (&json!(10), &json!(id)));
            let unknown = format!("{call}?nodeGroupType=TWO&agentCommandType=NONE");
            let (status, body) = caller.send("GET", &unknown, "", &caller.bearer());
            assert!(status == 404 && body.contains("unknown agentCommandType NONE"), "{body}");
        }
        "/commands/generateUpdateSendAgentCommandToNodeGroup" => {
            let answer =
                caller.json(&format!("{call}?nodeGroupType=TWO&agentCommandType=GET_HEALTH"));
            let result = answer["result"].as_str().expect("a result");
            let word = "Successful generateUpdateSendAgentCommandToNodeGroup ";
            assert!(result.starts_with(word) && answer["time"].is_string(), "{answer}");
        }
        "/commands/generateUpdateSendAgentCommandToAdhocNodeGroup" => {
            let form =
                "nodeListFromText=127.0.0.3%0D%0A127.0.0.2%0D%0A&agentCommandType=GET_HEALTH";
            let answer = caller.post(call, form);
            let group = answer["result"].as_str().expect("a group");
            assert!(group.starts_with("ADHOCDATASTORE_NODEGROUP_20"), "{group}");
            let group = group.replace('+', "%2B");
            let data = format!("nodeGroupType={group}&agentCommandType=GET_HEALTH&isAdhoc=true");
            let data = caller.json(&format!("/agents/getAgentData?{data}"));
            assert_eq!(nodes(&data), ["127.0.0.2", "127.0.0.3"]);
            let answer = caller.post(call, "nodeListFromText=a%2Fb&agentCommandType=GET_HEALTH");
            let result = answer["result"].as_str().expect("an error");
            assert!(result.starts_with("Error occured in generateUpdate"), "{result}");
        }
        "/commands/genUpdateSendCommandWithReplaceVarMapAdhocJson" => {
            let mut request = json!({"targetNodes": ["127.0.0.2", "127.0.0.3", "127.0.0.2"],
                "agentCommandType": "POST_VALUE", "replacementVarMap": {"APIVARREPLACE_X": "7"}});
            let data = caller.post(call, &request.to_string());
            assert_eq!(nodes(&data), ["127.0.0.2", "127.0.0.3"]);
            let of_host = &data["127.0.0.3"]["dataMap"]["POST_VALUE"];
            let sent = &of_host["requestParameters"];
            assert_eq!(
                (&sent["TRUE_URL"], &sent["TRUE_CONTENT"]),
                (&json!("/v/7"), &json!("{\"v\":\"7\"}"))
            );
            assert_eq!(sent["AM_FULL_CONTENT"], "{\"v\":\"$APIVARREPLACE_X\"}");
            let got = &of_host["responseContent"];
            let body = "<host>127.0.0.3</host>\r\n<path>/v/7</path>{\"v\":\"7\"}";
            assert_eq!((&got["response"], &got["statusCode"]), (&json!(body), &json!("200 OK")));
            request["willAggregateResponse"] = json!("true");
            request["aggregationType"] = json!("NONE");
            let answer = caller.post(call, &request.to_string());
            assert!(answer["result"].as_str().expect("an error").contains("NONE does not exist"));
            request["aggregationType"] = json!("PATH");
            let values = [
                json!({"value": "/v/7", "nodeList": ["127.0.0.2", "127.0.0.3"], "isError": false}),
            ];
            let mut answer = caller.post(call, &request.to_string());
            sort(&mut answer["aggregationValueToNodesList"][0]["nodeList"]);
            let expected =
                json!({"aggregationMap": {"/v/7": "2"}, "aggregationValueToNodesList": values});
            assert_eq!(answer, expected);
        }
        "/commands/genUpdateSendCommandWithReplaceVarMapNodeSpecificAdhocJson" => {
            let port = caller.json("/commands/agentCommandType/GET_HEALTH")["requestPort"].clone();
            let port = port.as_str().expect("a port");
            let request = json!({"targetNodes": ["127.0.0.2", "127.0.0.3", "other"],
                "useNewAgentCommand": true,
                "newAgentCommandLine": format!("NEW GET http {port} /missing/$APIVARREPLACE_X 0 -1 -1"),
                "newAgentCommandContentTemplate": "$AM_FULL_CONTENT",
                "willAggregateResponse": true, "useNewAggregation": true, "aggregationType": "MINE",
                "newAggregationExpression": ".*%2Fmissing%2F(.*)%3C%2Fpath%3E",
                "replacementVarMapNodeSpecific": {
                    "127.0.0.2": {"map": {"APIVARREPLACE_X": "a"}}, "other": {"map": {"NA": "NA"}}}});
            let answer = caller.post(call, &request.to_string());
            let skipped = "SUPERMANSPECIAL_REQUEST_NOT_FIRED.NO_RESPONSE.NOT_ERROR.\
                           CHECK_REQUEST_PARAMETERS_FOR_DETAILS.";
            let expected = json!({"$APIVARREPLACE_X": "1", (skipped): "1", "a": "1"});
            assert_eq!(answer["aggregationMap"], expected);
        }
        "/commands/commandToSingleTargetServer" => {
            let form = "nodeListFromText=x%0Ay%0A&agentCommandType=POST_VALUE\
                        &varName=APIVARREPLACE_X&targetServerNew=127.0.0.2";
            let group =
                caller.post(call, form)["result"].as_str().expect("a group").replace('+', "%2B");
            let data = format!("nodeGroupType={group}&agentCommandType=POST_VALUE");
            let data = caller.json(&format!("/agents/getAgentData?{data}"));
            assert_eq!(nodes(&data), ["x", "y"]);
            let of_value = &data["y"]["dataMap"]["POST_VALUE"];
            assert_eq!(of_value["requestParameters"]["TRUE_TARGET_NODE"], "127.0.0.2");
            let body = of_value["responseContent"]["response"].as_str().expect("a body");
            assert!(body.contains("<path>/v/y</path>"), "{body}");
            let (status, _) = caller.send("POST", call, "varName=x", &caller.bearer());
            assert_eq!(status, 500);
        }
        "/commands/agentCommandType/{id}" => {
            let command = caller.json("/commands/agentCommandType/GET_HEALTH");
            let said = (&command["requestUrlPostfix"], &command["maxConcurrency"]);
            assert_eq!(said, (&json!("/health"), &json!(20)));
            assert_eq!(caller.get("/commands/agentCommandType/NONE"), "null");
        }
        "/nodeGroups/nodeGroupType" => {
            let group = caller.json(&format!("{call}?nodeGroupType=TWO"));
            assert_eq!(group["nodeList"], json!(["127.0.0.2", "127.0.0.3"]));
            let plain = caller.get(&format!("{call}?nodeGroupType=TWO&isTxtFqdnOnly=true"));
            assert_eq!(plain, "127.0.0.2\n127.0.0.3");
        }
        "/agents/getAgentData" => {
            let data = caller.json(&format!(
                "{call}?nodeGroupType=TWO&agentCommandType=GET_REFUSED&fqdn=127.0.0.2"
            ));
            assert_eq!(nodes(&data), ["127.0.0.2"]);
            let got = &data["127.0.0.2"]["dataMap"]["GET_REFUSED"]["responseContent"];
            assert_eq!((&got["isError"], &got["statusCode"]), (&json!(true), &json!("NA")));
            let message = got["errorMessage"].as_str().expect("a message");
            assert!(message.starts_with("java.net.ConnectException Details"), "{message}");
        }
        "/distributedAgents/queryJobInfo" => {
            let info = caller.json(&of_job);
            let expected = json!({"aggregationTime": 0.0, "totJobNum": 2, "state": "gathered",
                "workerRequestCount": {"c1": 2}, "workerResponseCount": {"c1": 2},
                "collectedNum": 2, "maxConcNum": 2500, "jobId": job, "nodeGroupType": "TWO",
                "agentCommandType": "GET_HEALTH"});
            for (field, value) in expected.as_object().expect("fields") {
                assert_eq!(&info[field], value, "{field}: {info}");
            }
            let more =
                ["timeStamp", "startTime", "finishedNotAggregatedTime", "endTime", "capacityUsage"];
            let fields = expected.as_object().expect("fields").len() + more.len();
            assert_eq!(info.as_object().expect("fields").len(), fields, "{info}");
            assert!(info["endTime"].as_u64() >= info["startTime"].as_u64(), "{info}");
            assert_eq!(caller.get(&format!("{call}?jobId=none")), "null");
            assert_eq!(caller.json(&format!("{call}?jobId={refused}"))["maxConcNum"], 1500);
        }
        "/distributedAgents/queryJobQ" => {
            let jobs = caller.json(call);
            let ids: Vec<_> =
                jobs.as_array().expect("jobs").iter().map(|job| &job["jobId"]).collect();
            assert_eq!(ids[..2], [&json!(job), &json!(refused)]);
        }
        "/distributedAgents/searchFqdn" => {
            let data = caller.json(&format!("{of_job}&fqdn=127.0.0.3"));
            let body = &data["dataMap"]["GET_HEALTH"]["responseContent"]["response"];
            assert_eq!(
                (&data["fqdn"], body),
                (&json!("127.0.0.3"), &json!("<host>127.0.0.3</host>\r\n<path>/health</path>"))
            );
            assert_eq!(caller.get(&format!("{of_job}&fqdn=127.0.0.9")), "None exist!");
        }
        "/distributedAgents/queryProgress" => assert_eq!(caller.get(&of_job), "1"),
        "/distributedAgents/queryElapsedTime" => {
            let elapsed: f64 = caller.get(&of_job).parse().expect("a number");
            assert!(elapsed >= 0.0, "{elapsed}");
        }
        "/distributedAgents/queryState" => {
            assert_eq!(caller.get(&of_job), "gathered");
            let (status, _) =
                caller.send("GET", &format!("{call}?jobId=none"), "", &caller.bearer());
            assert_eq!(status, 404);
        }
        "/distributedAgents/queryWorkerLoad" => {
            let load = caller.json(&of_job);
            let expected = (&json!(["c1"]), &json!(["2"]), &json!(["2"]));
            assert_eq!((&load["names"], &load["loads"], &load["requests"]), expected);
        }
        "/distributedAgents/queryClusterState" => {
            assert_eq!(caller.json(call)["names"], json!(["c1"]));
        }
        "/distributedAgents/getClusterList" => {
            let list = caller.json(call);
            assert_eq!((&list["state"], &list["enable"]), (&json!(["true"]), &json!(["true"])));
            assert_eq!(list["masterUrl"], list["url"]);
        }
        "/distributedAgents/enableClusterMember" | "/distributedAgents/disableClusterMember" => {
            members(caller).await;
        }
        "/distributedAgents/createNode" => {
            assert_eq!(caller.get(&format!("{call}?port=2551&masterUrl=a:2551")), "");
        }
        "/distributedAgents/shutdownNode" | "/distributedAgents/resetScheduler" => {
            assert_eq!(caller.get(call), "");
            assert_eq!(
                caller.get(&format!("/distributedAgents/queryState?jobId={job}")),
                "gathered"
            );
        }
        other => panic!("{other} is in the table, and nobody tries it"),
    }
}

/// Disables the one node and enables it again.
async fn members(caller: &Caller) {
    let url = caller.json("/distributedAgents/getClusterList")["url"][0].clone();
    let (host, port) = url.as_str().expect("an address").rsplit_once(':').expect("a port");
    for (word, enabled) in [("disable", "false"), ("enable", "true")] {
        let path = format!("/distributedAgents/{word}ClusterMember?url={host}&port={port}");
        assert_eq!(caller.get(&path), format!("{host}:{port} has been {word}d."));
        let list = async || caller.json("/distributedAgents/getClusterList")["enable"][0].clone();
        eventually("the member changes", list, |said| *said == enabled).await;
    }
    let unknown = "/distributedAgents/enableClusterMember?url=none&port=1";
    assert_eq!(caller.send("GET", unknown, "", &caller.bearer()).0, 404);
}

/// Nothing is answered without a token, or with one of a lower scope.
async fn tokens(caller: &Caller, client: &remuda::client::Client, rows: &[(String, String)]) {
    let read = client.create_token("read", Scope::Read, None).await.expect("made").secret;
    let reading = Caller { face: caller.face.clone(), token: read.clone() };
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    for (call, _) in rows.iter().filter(|(_, state)| state != "absent") {
        let path = call.replace("{id}", "GET_HEALTH");
        assert_eq!(caller.send("GET", &path, "", "").0, 401, "{path}");
        let in_header = reading.send("GET", &path, "", &reading.bearer()).0;
        let in_query = reading.send("GET", &format!("{path}?token={read}"), "", "").0;
        assert_eq!(in_header, in_query, "{path}");
        *counts.entry(in_header).or_default() += 1;
    }
    // All that carries something out or changes something.
    assert_eq!(counts.get(&403), Some(&11), "{counts:?}");
    let foreign = format!("{}Origin: http://evil.example\r\n", caller.bearer());
    assert_eq!(caller.send("POST", "/distributedAgents/resetScheduler", "", &foreign).0, 403);
}

fn sort(list: &mut Value) {
    let list = list.as_array_mut().expect("a list");
    list.sort_by_key(Value::to_string);
}
