//! Commands over SSH at real servers of OpenSSH: who is let in, who is believed, what comes back, and
//! what is left behind.

mod server;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use remuda::client::dto::RunRecord;
use remuda_e2e::{Finished, Lab, Place, eventually, finish, processes};
use remuda_model::{
    RunId,
    run::{Outcome, RunState, RunView, TroubleKind},
};

use self::server::{Sshd, VISITOR, make_key, me, with_visitor};
use crate::field::{cluster, count, ended, fanout, finished, judged, listed, said, until, written};

/// What all these runs say of where and who.
struct At {
    port: String,
    user: String,
    key: String,
    known: String,
}

impl At {
    /// A server that is known, and the key that it lets in.
    fn new(lab: &Lab, sshd: &Sshd) -> Self {
        let known = written(lab, "known_hosts", &sshd.known("127.3.0.*"));
        Self { port: sshd.port.to_string(), user: me(), key: sshd.key(), known }
    }

    fn server(&self) -> [&str; 5] {
        ["ssh", "--port", &self.port, "--user", &self.user]
    }

    fn words(&self) -> Vec<&str> {
        [&self.server()[..], &["--key", &self.key, "--known-hosts", &self.known]].concat()
    }
}

fn id(text: &str) -> RunId {
    text.parse().expect("an id")
}

/// So many addresses of this machine, no two alike.
fn hosts(number: u8) -> Vec<String> {
    (1..=number).map(|last| format!("127.3.0.{last}")).collect()
}

/// The only record of a run, and what it says of trouble.
fn only(records: &[RunRecord]) -> (&RunRecord, Option<TroubleKind>, &str) {
    let [record] = records else { panic!("not one: {records:?}") };
    let trouble = record.trouble.as_ref();
    (record, trouble.map(|trouble| trouble.kind), trouble.map_or("", |trouble| &trouble.message))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_lets_in_and_outputs_and_codes_are_kept() {
    let lab = cluster(1, 2).await;
    let sshd = Sshd::start().await;
    let at = At::new(&lab, &sshd);
    let rows: Vec<_> = (1..=12).map(|last| format!("127.3.0.{last},{}\n", last % 4)).collect();
    let targets = written(&lab, "hosts.csv", &format!("host,code\n{}", rows.concat()));
    let arguments = [
        &at.words()[..],
        &["--targets", &targets, "--id", "codes", "--on", "node!=c1", "--"],
        &["echo out of {{host}}; echo err of {{host}} >&2;", "exit {{vars.code}}"],
    ]
    .concat();
    let followed = fanout(&lab, "c1", &arguments).await;
    assert_eq!(followed.code, Some(7), "{followed:#?}");
    assert!(followed.stdout.contains("the command ended with the code 3"), "{followed:#?}");
    let kept = finished(&lab.client("c1"), &id("codes")).await;
    assert_eq!(count(&kept, Outcome::Ok), 3);
    assert_eq!(count(&kept, Outcome::Unexpected), 9);
    for record in &kept {
        let last: i32 = record.host.rsplit_once('.').expect("parts").1.parse().expect("a number");
        let code = last % 4;
        let kind = record.trouble.as_ref().map(|trouble| trouble.kind);
        let wanted = (code != 0).then_some(TroubleKind::Exit);
        assert_eq!((record.status, kind), (Some(code), wanted), "{record:?}");
        assert_eq!(record.body, format!("out of {}\n", record.host), "{record:?}");
        assert!(record.stderr.ends_with(&format!("err of {}\n", record.host)), "{record:?}");
        let address = format!("{}:{}", record.host, at.port);
        assert_eq!((record.attempts, record.address.as_ref()), (1, Some(&address)), "{record:?}");
    }
    let ok = ["results", "codes", "--outcome", "ok", "--hosts"];
    assert_eq!(said(&lab, "c1", &ok).await.lines().count(), 3);
    let threes = ["results", "codes", "--status", "3", "--hosts"];
    let threes = said(&lab, "c1", &threes).await;
    let threes: BTreeSet<&str> = threes.lines().collect();
    assert_eq!(threes, BTreeSet::from(["127.3.0.3", "127.3.0.7", "127.3.0.11"]));
    // All is well where all is well.
    let arguments =
        [&at.words()[..], &["-t", "127.3.0.4", "--body", "--all", "--", "echo", "well"]];
    let well = fanout(&lab, "c1", &arguments.concat()).await;
    assert_eq!(well.code, Some(0), "{well:#?}");
    assert!(well.stdout.contains("well"), "{well:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_gets_its_arguments_and_is_removed() {
    let lab = cluster(1, 1).await;
    let sshd = Sshd::start().await;
    let at = At::new(&lab, &sshd);
    let script = "#!/bin/sh\necho \"$#: $1 $2 $3\"\ncat\necho \"$0\" >&2\nexit 3\n";
    let script = written(&lab, "check.sh", script);
    let targets = listed(&lab, "hosts.txt", &hosts(3));
    let arguments = [
        &at.words()[..],
        &["--targets", &targets, "--id", "script", "--script", &script, "--"],
        &["--quick", "'two  words'", "{{host}}"],
    ]
    .concat();
    let followed = fanout(&lab, "c1", &arguments).await;
    assert_eq!(followed.code, Some(7), "{followed:#?}");
    let kept = finished(&lab.client("c1"), &id("script")).await;
    assert_eq!(kept.len(), 3);
    for record in &kept {
        assert_eq!(record.status, Some(3), "{record:?}");
        assert_eq!(record.body, format!("3: --quick two  words {}\n", record.host), "{record:?}");
        let path = record.stderr.lines().last().map(Path::new).expect("it says where it is");
        assert_eq!(path.parent(), Some(sshd.temporary().as_path()), "{record:?}");
        assert!(!path.exists(), "it is left behind: {record:?}");
    }
    assert_eq!(fs::read_dir(sshd.temporary()).expect("a folder").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_runs_nothing_and_is_told_why() {
    let lab = cluster(1, 1).await;
    let (asking, strict) =
        (Sshd::start().await, Sshd::start_with(|_| Place::default(), NO_PASSWORDS).await);
    let ran = asking.path("tmp/ran");
    let stranger = lab.dir().join("stranger");
    make_key(&stranger, "");
    let stranger = stranger.to_str().expect("UTF-8");
    let password = written(&lab, "password", "wr0ng-s3cret\n");
    let key_and_password = "it offers publickey, password";
    for (name, sshd, login, words) in [
        ("key", &asking, ["--key", stranger], key_and_password),
        ("password", &asking, ["--password-file", &password], key_and_password),
        ("none", &strict, ["--password-file", &password], "it offers publickey"),
    ] {
        let mut at = At::new(&lab, sshd);
        let in_vain = fanout(&lab, "c1", &into(&at, name, &login, &ran)).await;
        assert_eq!(in_vain.code, Some(7), "{name}: {in_vain:#?}");
        let kept = finished(&lab.client("c1"), &id(name)).await;
        let (record, kind, message) = only(&kept);
        let found = (record.outcome, kind, record.status);
        assert_eq!(found, (Outcome::Failed, Some(TroubleKind::Auth), None), "{name}: {record:?}");
        assert!(message.contains(&format!("does not let `{}` in", at.user)), "{name}: {message}");
        assert!(message.contains(words), "{name}: {message}");
        // Somebody who is not there is not told apart.
        at.user = "nobody-of-this-name".to_owned();
        let name = format!("{name}-nobody");
        let in_vain = fanout(&lab, "c1", &into(&at, &name, &login, &ran)).await;
        assert_eq!(in_vain.code, Some(7), "{name}: {in_vain:#?}");
        let kept = finished(&lab.client("c1"), &id(&name)).await;
        assert_eq!(only(&kept).1, Some(TroubleKind::Auth), "{kept:?}");
    }
    assert!(!Path::new(&ran).exists(), "it ran");
    let mut look = Command::new("grep");
    look.args(["-rlE", "wr0ng-s3cret|OPENSSH PRIVATE KEY"]);
    let left = look.arg(lab.node("c1").dir()).arg(lab.node("w1").dir()).output().expect("it runs");
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "a secret outlives its run");
}

const NO_PASSWORDS: &str = "PasswordAuthentication no\nKbdInteractiveAuthentication no";

/// A command that leaves a file, with a login.
fn into<'a>(at: &'a At, name: &'a str, login: &[&'a str], ran: &'a str) -> Vec<&'a str> {
    let run = ["--known-hosts", &at.known, "-t", "127.3.0.1", "--id", name, "--", "touch", ran];
    [&at.server()[..], login, &run].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_nobody_can_open_ends_the_run_with_a_word() {
    let lab = cluster(1, 2).await;
    let sshd = Sshd::start().await;
    let mut at = At::new(&lab, &sshd);
    let sealed = PathBuf::from(sshd.path("sealed"));
    make_key(&sealed, "0pen");
    at.key = sealed.to_str().expect("UTF-8").to_owned();
    fs::copy(sealed.with_extension("pub"), sshd.path("user.pub")).expect("it is let in");
    let targets = listed(&lab, "hosts.txt", &hosts(3));
    let passphrase = written(&lab, "passphrase", "0pen\n");
    let wrong = written(&lab, "wrong", "Open\n");
    for (name, options, words) in [
        ("without", vec![], "secrets.key: the key needs a passphrase"),
        ("wrong", vec!["--passphrase-file", &wrong], "check that it opens the key"),
    ] {
        let run = ["--targets", &targets, "--id", name, "--", "true"];
        let refused = fanout(&lab, "c1", &[&at.words()[..], &options, &run].concat()).await;
        assert_eq!(refused.code, Some(7), "{name}: {refused:#?}");
        assert!(refused.stdout.contains("secrets.key: "), "{name}: {refused:#?}");
        for record in finished(&lab.client("c1"), &id(name)).await {
            let trouble = record.trouble.as_ref().expect("trouble");
            let found = (record.outcome, trouble.kind);
            assert_eq!(found, (Outcome::Failed, TroubleKind::Internal), "{record:?}");
            assert!(trouble.message.contains(words), "no `{words}`: {record:?}");
        }
    }
    let run = ["--passphrase-file", &passphrase, "--targets", &targets, "--", "true"];
    said(&lab, "c1", &[&at.words()[..], &run].concat()).await;
}

/// A run without `--known-hosts` of somebody who has this file of known hosts.
async fn at_home(lab: &Lab, known: &str, arguments: &[&str]) -> Finished {
    let home = lab.dir().join("home");
    fs::create_dir_all(home.join(".ssh")).expect("a folder");
    fs::write(home.join(".ssh/known_hosts"), known).expect("it is written");
    let mut command = lab.command("c1", &[&["fanout"], arguments].concat());
    command.env("HOME", &home);
    finish(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_believed_by_its_key_or_runs_nothing() {
    let lab = cluster(1, 1).await;
    let sshd = Sshd::start().await;
    let at = At::new(&lab, &sshd);
    let host = "127.3.0.9";
    let unknown = sshd.known("127.3.0.8");
    let (right, changed) = (sshd.known(host), sshd.known_wrongly(host));
    let revoked = format!("{right}@revoked {right}");
    let no_key = "no key of `[127.3.0.9]:";
    let another = "has another key than is known";
    for (name, policy, known, wanted) in [
        ("unknown", None, &unknown, Some(no_key)),
        ("known", None, &right, None),
        ("changed", None, &changed, Some(another)),
        ("revoked", None, &revoked, Some("is revoked")),
        ("new", Some("accept-new"), &unknown, None),
        ("new-changed", Some("accept-new"), &changed, Some(another)),
        ("new-revoked", Some("accept-new"), &revoked, Some("is revoked")),
        ("off", Some("off"), &unknown, None),
        ("off-changed", Some("off"), &changed, None),
    ] {
        let file = written(&lab, "these", known);
        let policy: Vec<&str> = policy.iter().flat_map(|policy| ["--host-keys", *policy]).collect();
        for by_file in [true, false] {
            let name = format!("{name}-{}", if by_file { "file" } else { "home" });
            let ran = sshd.path(&format!("tmp/{name}"));
            let run = ["--key", &at.key, "-t", host, "--id", &name];
            let mut arguments = [&at.server()[..], &run, &policy].concat();
            if by_file {
                arguments.extend(["--known-hosts", &file]);
            }
            arguments.extend(["--", "touch", &ran]);
            let done = if by_file {
                fanout(&lab, "c1", &arguments).await
            } else {
                at_home(&lab, known, &arguments).await
            };
            assert_eq!(done.code, Some(if wanted.is_none() { 0 } else { 7 }), "{name}: {done:#?}");
            let kept = finished(&lab.client("c1"), &id(&name)).await;
            let (record, kind, message) = only(&kept);
            assert_eq!(kind, wanted.map(|_| TroubleKind::HostKey), "{name}: {record:?}");
            assert!(message.contains(wanted.unwrap_or_default()), "{name}: {message}");
            assert_eq!(Path::new(&ran).exists(), wanted.is_none(), "{name}: {record:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn user_and_port_are_of_each_target() {
    let lab = cluster(1, 1).await;
    let (one, two) = (Sshd::start().await, Sshd::start().await);
    // The same key opens both.
    fs::copy(one.path("user.pub"), two.path("user.pub")).expect("it is let in");
    let known = ["127.3.0.1", "127.3.0.2"].map(|host| [one.known(host), two.known(host)].concat());
    let known = written(&lab, "known_hosts", &known.concat());
    let (me, here, there) = (me(), one.port, two.port);
    let rows = format!(
        "host,login,at\n127.3.0.1,{me},{here}\n127.3.0.2,{me},{there}\n\
         127.3.0.1,nobody-of-this-name,{there}\n"
    );
    let targets = written(&lab, "hosts.csv", &rows);
    let key = one.key();
    let arguments = [
        &["ssh", "--user", "{{vars.login}}", "--port", "{{vars.at}}", "--key", &key][..],
        &["--known-hosts", &known, "--targets", &targets, "--id", "each", "--"],
        &["echo $(id -un) at ${SSH_CONNECTION##* } of {{vars.at}}"],
    ]
    .concat();
    let followed = fanout(&lab, "c1", &arguments).await;
    assert_eq!(followed.code, Some(7), "{followed:#?}");
    let kept = finished(&lab.client("c1"), &id("each")).await;
    let by_login: BTreeMap<(&str, &str), &RunRecord> = kept
        .iter()
        .map(|record| ((record.host.as_str(), record.vars["login"].as_str()), record))
        .collect();
    for (host, port) in [("127.3.0.1", here), ("127.3.0.2", there)] {
        let record = by_login[&(host, me.as_str())];
        assert_eq!(record.outcome, Outcome::Ok, "{record:?}");
        assert_eq!(record.body, format!("{me} at {port} of {port}\n"), "{record:?}");
    }
    let nobody = by_login[&("127.3.0.1", "nobody-of-this-name")];
    let trouble = nobody.trouble.as_ref().expect("trouble");
    assert_eq!(trouble.kind, TroubleKind::Auth, "{nobody:?}");
    assert!(trouble.message.contains("`nobody-of-this-name`"), "{nobody:?}");
}

/// Waits until a file has a pid, of a process whose command line is this.
async fn started(path: &Path, argv: &[&str]) -> i32 {
    let read = async || fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
    let pid: Option<i32> = eventually("it says its pid", read, Option::is_some).await;
    let pid = pid.expect("seen");
    // A shell becomes the process.
    let there = async || processes(argv);
    eventually("the process", there, |found| found.contains(&pid)).await;
    pid
}

/// Waits until no process has this command line, and nothing is left but what is named.
async fn all_gone(sshd: &Sshd, argv: &[&str], stays: &[&str]) {
    eventually("the process is gone", async || processes(argv), Vec::is_empty).await;
    let left = async || -> Vec<String> {
        let found = fs::read_dir(sshd.temporary()).expect("a folder").flatten();
        let names = found.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| !stays.contains(&name.as_str())).collect()
    };
    eventually("nothing is left", left, Vec::is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_ends_is_ended_by_its_time_or_with_its_run() {
    let lab = cluster(1, 1).await;
    let sshd = Sshd::start_with(with_visitor, "").await;
    let at = At { user: VISITOR.to_owned(), ..At::new(&lab, &sshd) };
    let client = lab.client("c1");
    // Nobody else waits for just so long.
    let time = (1_000_000 + u32::from(at.port.parse::<u16>().expect("a port"))).to_string();
    let argv = ["sleep", time.as_str()];

    let command = format!("echo $$ >$TMPDIR/pid; exec sleep {time}");
    let run = ["-t", "127.3.0.1", "--id", "late", "--timeout", "8s", "--detach", "--", &command];
    said(&lab, "c1", &[&at.words()[..], &run].concat()).await;
    started(&sshd.temporary().join("pid"), &argv).await;
    let kept = finished(&client, &id("late")).await;
    let (record, kind, _) = only(&kept);
    let found = (record.outcome, kind);
    assert_eq!(found, (Outcome::TimedOut, Some(TroubleKind::Timeout)), "{record:?}");
    all_gone(&sshd, &argv, &["pid"]).await;

    // A script too, with all that it began.
    let script = format!("#!/bin/sh\nsleep {time} &\necho $! >$TMPDIR/other\nwait\n");
    let script = written(&lab, "script.sh", &script);
    let run =
        ["-t", "127.3.0.1", "--id", "cut", "--timeout", "10m", "--detach", "--script", &script];
    said(&lab, "c1", &[&at.words()[..], &run].concat()).await;
    started(&sshd.temporary().join("other"), &argv).await;
    said(&lab, "c1", &["cancel", "cut"]).await;
    assert_eq!(ended(&client, &id("cut")).await.state, RunState::Cancelled);
    assert_eq!(count(&judged(&client, &id("cut")).await, Outcome::Cancelled), 1);
    all_gone(&sshd, &argv, &["pid", "other"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_and_every_target_has_one_record() {
    /// Enough for two workers.
    const TARGETS: u8 = 80;
    /// So many each worker has at a time.
    const EACH: usize = 6;
    let mut lab = cluster(1, 2).await;
    let sshd = Sshd::start().await;
    let at = At::new(&lab, &sshd);
    let targets = listed(&lab, "hosts.txt", &hosts(TARGETS));
    let log = PathBuf::from(sshd.path("tmp/started"));
    // No command ends before this lock is let go of.
    let gate = sshd.path("tmp/gate");
    let lock = File::create(&gate).expect("a file");
    lock.lock().expect("nobody else has it");
    let command =
        "echo {{host}} >>$TMPDIR/started; flock --shared $TMPDIR/gate true; echo {{host}}";
    let each = EACH.to_string();
    let run = ["--on", "node!=c1", "--per-worker", &each, "--fixed", "--timeout", "10m"];
    let run =
        [&run[..], &["--targets", &targets, "--id", "half", "--detach", "--", command]].concat();
    said(&lab, "c1", &[&at.words()[..], &run].concat()).await;
    let begun = async || -> Vec<String> {
        fs::read_to_string(&log).unwrap_or_default().lines().map(str::to_owned).collect()
    };
    let first = eventually("both are busy", &begun, |begun| begun.len() == 2 * EACH).await;
    let client = lab.client("c1");
    let share = |view: &RunView, node: &str| {
        let share = view.workers.iter().find(|(name, _)| name.as_str() == node);
        share.map(|(_, share)| (share.connected, share.in_flight))
    };
    let half = Some((true, u32::try_from(EACH).expect("few")));
    until(&client, &id("half"), "is divided", |view| share(view, "w1") == half).await;
    lab.node_mut("w1").kill9();
    let gone = |view: &RunView| share(view, "w1").is_some_and(|(connected, _)| !connected);
    until(&client, &id("half"), "misses w1", gone).await;
    lock.unlock().expect("it was ours");

    let kept = finished(&client, &id("half")).await;
    assert_eq!(count(&kept, Outcome::Ok), u32::from(TARGETS));
    for record in &kept {
        assert_eq!(record.body, format!("{}\n", record.host), "{record:?}");
        let worker = record.worker.as_ref().map(ToString::to_string);
        assert_eq!(worker.as_deref(), Some("w2"), "{record:?}");
    }
    // What the first worker had was begun a second time, and nothing else was.
    let mut times = BTreeMap::new();
    for host in begun().await {
        *times.entry(host).or_insert(0_usize) += 1;
    }
    assert_eq!(times.len(), usize::from(TARGETS));
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times != 1).collect();
    assert_eq!(twice.len(), EACH, "{twice:?}");
    assert!(twice.iter().all(|(host, times)| **times == 2 && first.contains(host)), "{twice:?}");
}
