//! Targets that do what no honest machine does.

use std::{collections::BTreeMap, net::Ipv4Addr};

use remuda_e2e::info;
use remuda_model::run::{Outcome, TroubleKind};
use tokio::net::TcpListener;

use crate::{
    crowd::{Act, Crowd, hosts},
    field::{cluster, count, fanout, finished, json, listed, said},
};

/// With every way to take over a terminal, a page and a spreadsheet.
const WILD: &str = "\x1b[2J\x1b]0;owned\x07\x1b[31mred\u{9b}1m\r\u{202e}evil<script>alert(1)</script>\n\
                    =HYPERLINK(\"http://evil\")\x08\x00\n";

/// How the nth machine misbehaves, and what is to be said of it.
fn wanted(host: Ipv4Addr) -> (Act, Outcome, Option<TroubleKind>) {
    let ok = Outcome::Ok;
    match host.octets()[3] % 10 {
        0 => (Act::Silence, Outcome::TimedOut, Some(TroubleKind::Timeout)),
        1 => (Act::Drip, Outcome::TimedOut, Some(TroubleKind::Timeout)),
        2 => (Act::Endless, ok, None),
        3 => (Act::Redirect, Outcome::Failed, Some(TroubleKind::Redirect)),
        4 => (Act::Close, Outcome::Failed, Some(TroubleKind::Closed)),
        5 => (Act::Garbage, Outcome::Failed, Some(TroubleKind::Protocol)),
        6 => (Act::Answer(200, WILD.as_bytes().to_vec()), ok, None),
        7 => (
            Act::Answer(404, WILD.as_bytes().to_vec()),
            Outcome::Unexpected,
            Some(TroubleKind::Status),
        ),
        _ => (Act::ok("well"), ok, None),
    }
}

/// Whether a terminal would do anything else than print it.
fn is_wild(text: &str) -> bool {
    text.chars().any(|one| (one.is_control() && one != '\n') || one == '\u{202e}')
}

#[tokio::test(flavor = "multi_thread")]
async fn each_misdeed_has_its_name_and_the_run_ends() {
    let lab = cluster(1, 2).await;
    let client = lab.client("c1");
    let crowd = Crowd::start(|host| wanted(host).0).await;
    let mut all = hosts(600);
    // Nobody hears of these: neither their port nor their name is there.
    all.retain(|host| host.octets()[3] != 0);
    let targets = listed(&lab, "hosts.txt", &all);
    let url = crowd.url("/%3Cscript%3E");
    let limits = ["--timeout", "8s", "--redirects", "3", "--keep-body", "5000", "--fixed"];
    let arguments = ["http", "GET", &url, "--targets", &targets, "--id", "wild", "--all", "--body"];
    let ended = fanout(&lab, "c1", &[&arguments[..], &limits].concat()).await;
    assert_eq!(ended.code, Some(7), "{:?}", ended.stderr);
    assert!(!is_wild(&ended.stdout), "raw on the terminal");
    assert!(!is_wild(&ended.stderr), "raw on the terminal: {:?}", ended.stderr);
    assert!(ended.stdout.contains("evil<script>"), "it is escaped, not left out");

    let kept = finished(&client, &"wild".parse().expect("an id")).await;
    assert_eq!(kept.len(), all.len());
    let mut times = BTreeMap::new();
    for record in &kept {
        let host: Ipv4Addr = record.host.parse().expect("an address");
        let (act, outcome, trouble) = wanted(host);
        let kind = record.trouble.as_ref().map(|trouble| trouble.kind);
        assert_eq!((record.outcome, kind), (outcome, trouble), "{act:?}: {record:?}");
        assert_eq!(record.attempts, 1, "{record:?}");
        *times.entry(record.outcome).or_insert(0_u32) += 1;
        match act {
            Act::Endless => {
                assert!(record.truncated, "{record:?}");
                assert_eq!(record.body, "e".repeat(5000));
            }
            Act::Answer(..) => assert!(!record.truncated, "{record:?}"),
            _ => {}
        }
    }
    let asked = crowd.asked();
    for (host, times) in &asked {
        let most = if host.octets()[3] % 10 == 3 { 4 } else { 1 };
        assert_eq!(*times, most, "{host}");
    }

    // No way of reading lets anything through.
    for arguments in [
        vec!["results", "wild", "--body"],
        vec!["show", "wild"],
        vec!["group", "wild", "--by", "body"],
        vec!["group", "wild", "--by", "trouble"],
        vec!["search", "127.1.0.*", "--text", "script"],
        vec!["results", "wild", "--json"],
    ] {
        let text = said(&lab, "c1", &arguments).await;
        assert!(!is_wild(&text), "{arguments:?} lets it through");
    }
    let table = said(&lab, "c1", &["results", "wild", "--csv", "--host", "127.1.0.6"]).await;
    assert!(!is_wild(&table.replace("\r\n", "\n")), "{table:?}");
    // Whoever wants it as it is gets it.
    let raw = ["results", "wild", "--host", "127.1.0.6", "--body", "--raw"];
    assert!(said(&lab, "c1", &raw).await.contains("\x1b[31m"));

    for node in ["c1", "w1", "w2"] {
        info(&client, node).await.expect("it is up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_listens_and_what_has_no_address_is_told_apart() {
    let lab = cluster(1, 1).await;
    // A port that is nobody's: taken and given back.
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("it listens").port()
    };
    let url = format!("http://{{{{host}}}}:{port}/");
    let mut all: Vec<String> = hosts(300).iter().map(ToString::to_string).collect();
    all.push("nobody.invalid".to_owned());
    let targets = listed(&lab, "hosts.txt", &all);
    let arguments = ["http", "GET", &url, "--targets", &targets, "--id", "refused"];
    let ended = fanout(&lab, "c1", &arguments).await;
    assert_eq!(ended.code, Some(7), "{ended:#?}");
    let kept = finished(&lab.client("c1"), &"refused".parse().expect("an id")).await;
    assert_eq!(count(&kept, Outcome::Failed), 301);
    let groups = json(&lab, "c1", &["group", "refused", "--by", "trouble"]).await;
    let found: BTreeMap<_, _> = groups["list"]
        .as_array()
        .expect("groups")
        .iter()
        .map(|group| (group["value"].as_str().expect("a kind"), group["count"].as_u64()))
        .collect();
    assert_eq!(found, BTreeMap::from([("refused", Some(300)), ("dns", Some(1))]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_forbids_is_not_contacted_and_says_how_it_is_allowed() {
    // Nobody allowed loopback.
    let lab = remuda_e2e::Lab::start(1, 1).await;
    let crowd = Crowd::start(|_| Act::ok("here")).await;
    let mut all: Vec<String> = hosts(200).iter().map(ToString::to_string).collect();
    all.extend(["169.254.169.254", "10.1.2.3", "[::1]", "localhost"].map(str::to_owned));
    let targets = listed(&lab, "hosts.txt", &all);
    let url = crowd.url("/");
    let arguments = ["http", "GET", &url, "--targets", &targets, "--id", "blocked"];
    let ended = fanout(&lab, "c1", &arguments).await;
    assert_eq!(ended.code, Some(7), "{ended:#?}");
    assert!(ended.stdout.contains("--fanout-allow-loopback"), "{ended:#?}");
    let kept = finished(&lab.client("c1"), &"blocked".parse().expect("an id")).await;
    assert_eq!(count(&kept, Outcome::Blocked), 204);
    let kinds = kept.iter().map(|record| record.trouble.as_ref().map(|trouble| trouble.kind));
    assert!(kinds.into_iter().all(|kind| kind == Some(TroubleKind::Policy)));
    assert_eq!(crowd.busy().total, 0);
}
