//! Servers of SSH, good and bad, that run commands with a real shell.

mod server;
mod sshd;

use remuda_model::run::{HostKeys, Login, Ssh, Sudo};
use russh::{
    Sig,
    keys::{Algorithm, HashAlg, agent, ssh_key::LineEnding},
};
use tokio::net::{UnixListener, UnixStream};

use self::server::{Server, key};
use super::*;

fn ssh(server: SocketAddr, command: &str) -> Ssh {
    Ssh {
        command: command.to_owned(),
        script: None,
        user: "deploy".to_owned(),
        port: Some(server.port().to_string()),
        login: Login::Password,
        host_keys: HostKeys::Strict,
        known_hosts: Some(known(server, 1)),
        sudo: None,
        output: None,
    }
}

/// The line of known hosts for a server with this key.
fn known(server: SocketAddr, seed: u8) -> String {
    let key = key(seed).public_key().to_openssh().expect("a key");
    format!("[127.0.0.1]:{} {key}\n", server.port())
}

fn secrets() -> Secrets {
    Secrets { password: Some("s3cret".to_owned().into()), ..Secrets::default() }
}

async fn run(ssh: Ssh) -> Attempt {
    attempt_with(&spec(Command::Ssh(ssh)), &secrets(), &given("127.0.0.1")).await
}

#[tokio::test]
async fn a_command_says_what_it_says_and_ends_with_its_code() {
    let server = Server::default().start().await;
    let done = run(ssh(server, "echo {{host}}; echo oops >&2; exit 3")).await;
    let record = &done.record;
    assert_eq!((record.outcome, done.kind()), (Outcome::Unexpected, Some(TroubleKind::Exit)));
    assert_eq!((record.status, done.body().as_str()), (Some(3), "127.0.0.1\n"));
    assert_eq!(record.stderr, b"oops\n");
    assert_eq!((done.again, record.truncated), (Again::No, false));
    assert_eq!(record.address, Some(server.to_string()));
    let done = run(ssh(server, "cat")).await;
    assert_eq!((done.record.outcome, done.record.status), (Outcome::Ok, Some(0)), "{done:?}");
}

#[tokio::test]
async fn each_output_is_kept_as_far_as_wished_and_the_command_goes_on() {
    let server = Server::default().start().await;
    let mut ssh = ssh(server, "head -c 9000000 /dev/zero | tr '\\0' x; echo err >&2; exit 4");
    ssh.output = Some(10);
    let done = run(ssh).await;
    assert_eq!((done.record.status, done.body().as_str()), (Some(4), "xxxxxxxxxx"), "{done:?}");
    assert_eq!((done.record.stderr.as_slice(), done.record.truncated), (&b"err\n"[..], true));
}

#[tokio::test]
async fn a_signal_is_said_as_a_shell_says_it() {
    let server = Server { ends_by: Some(Sig::TERM), ..Server::default() }.start().await;
    let done = run(ssh(server, "true")).await;
    assert_eq!((done.record.status, done.kind()), (Some(143), Some(TroubleKind::Exit)));
    assert!(done.message().contains("TERM"), "{}", done.message());
}

#[tokio::test]
async fn a_script_is_sent_run_and_removed() {
    let server = Server::default().start().await;
    let mut ssh = ssh(server, "one 'two three' {{host}}");
    ssh.script = Some("#!/bin/sh\necho \"$#: $2 $3\"; echo \"$0\" >&2; exit 5\n".to_owned());
    let done = run(ssh).await;
    assert_eq!((done.record.status, done.body().as_str()), (Some(5), "3: two three 127.0.0.1\n"));
    let path = String::from_utf8(done.record.stderr).expect("a path");
    assert!(path.contains("/remuda.") && !std::path::Path::new(path.trim()).exists(), "{path}");
}

#[tokio::test]
async fn sudo_is_asked_for() {
    let server = Server { prints_commands: true, ..Server::default() }.start().await;
    let mut ssh = ssh(server, "id");
    ssh.sudo = Some(Sudo { user: Some("www".to_owned()), password: true });
    let done = run(ssh).await;
    assert!(done.body().starts_with("sudo -k -S -p '' -u 'www' -- sh -c "), "{}", done.body());
    assert!(!done.body().contains("s3cret"), "the password is in no command line");
}

#[tokio::test]
async fn a_wrong_host_key_is_refused_before_anything_is_said() {
    let server = Server::default().start().await;
    let mut wrong = ssh(server, "true");
    wrong.known_hosts = Some(known(server, 2));
    for policy in [HostKeys::Strict, HostKeys::AcceptNew] {
        wrong.host_keys = policy;
        let done = run(wrong.clone()).await;
        assert_eq!(done.kind(), Some(TroubleKind::HostKey), "{done:?}");
        assert!(done.message().contains("has another key than is known"), "{}", done.message());
        assert_eq!((done.record.outcome, done.again), (Outcome::Failed, Again::No));
    }
    wrong.host_keys = HostKeys::Off;
    assert_eq!(run(wrong).await.record.outcome, Outcome::Ok);
}

#[tokio::test]
async fn an_unknown_host_is_believed_only_on_wish_and_must_stay_the_same() {
    let server = Server::default().start().await;
    let mut unknown = ssh(server, "true");
    unknown.known_hosts = Some(String::new());
    let done = run(unknown.clone()).await;
    assert_eq!(done.kind(), Some(TroubleKind::HostKey));
    assert!(done.message().starts_with("no key of `[127.0.0.1]:"), "{}", done.message());
    unknown.host_keys = HostKeys::AcceptNew;
    // A server that has another key each time.
    let changing = Server { changes_keys: true, ..Server::default() }.start().await;
    unknown.port = Some(changing.port().to_string());
    let spec = spec(Command::Ssh(unknown));
    let contactor = Contactor::new(&spec, &secrets(), shared()).expect("a valid run");
    let first = contactor.attempt(&given("127.0.0.1")).await;
    assert_eq!(first.record.outcome, Outcome::Ok, "{first:?}");
    let second = contactor.attempt(&given("127.0.0.1")).await;
    assert_eq!(second.kind(), Some(TroubleKind::HostKey), "{second:?}");
}

#[tokio::test]
async fn a_host_is_asked_for_the_kind_of_key_that_is_known() {
    let server = Server { has_ecdsa: true, ..Server::default() }.start().await;
    let ecdsa = server::ecdsa().public_key().to_openssh().expect("a key");
    let mut ssh = ssh(server, "true");
    ssh.known_hosts = Some(format!("[127.0.0.1]:{} {ecdsa}", server.port()));
    let done = run(ssh).await;
    assert_eq!(done.record.outcome, Outcome::Ok, "{done:?}");
}

#[tokio::test]
async fn the_file_of_the_user_counts_unless_lines_are_given() {
    let server = Server::default().start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("known_hosts");
    std::fs::write(&path, format!("not a line\n{}", known(server, 1))).expect("written");
    let mut ssh = ssh(server, "true");
    ssh.known_hosts = None;
    let mut shared = Arc::into_inner(shared()).expect("one");
    shared.user.known_hosts = Some(path);
    let spec = spec(Command::Ssh(ssh));
    let done = attempt_by(Arc::new(shared), &spec, &secrets(), &given("127.0.0.1")).await;
    assert_eq!(done.record.outcome, Outcome::Ok, "{done:?}");
}

#[tokio::test]
async fn a_login_may_be_refused() {
    let server = Server::default().start().await;
    let spec = spec(Command::Ssh(ssh(server, "true")));
    let secrets = Secrets { password: Some("wrong".to_owned().into()), ..Secrets::default() };
    let done = attempt_with(&spec, &secrets, &given("127.0.0.1")).await;
    assert_eq!((done.record.outcome, done.kind()), (Outcome::Failed, Some(TroubleKind::Auth)));
    assert!(done.message().contains("does not let `deploy` in"), "{}", done.message());
    assert!(!format!("{done:?}").contains("wrong"));
    assert_eq!(done.again, Again::No);
}

#[tokio::test]
async fn a_password_may_be_asked_for_as_a_question() {
    let server = Server { asks: true, ..Server::default() }.start().await;
    let done = run(ssh(server, "true")).await;
    assert_eq!(done.record.outcome, Outcome::Ok, "{done:?}");
}

#[tokio::test]
async fn a_key_lets_in() {
    let server = Server::default().start().await;
    let mut ssh = ssh(server, "echo in");
    ssh.login = Login::Key;
    for (seed, outcome) in [(7, Outcome::Ok), (8, Outcome::Failed)] {
        let text = key(seed).to_openssh(LineEnding::LF).expect("a key").to_string();
        let secrets = Secrets { key: Some(text.into()), ..Secrets::default() };
        let spec = spec(Command::Ssh(ssh.clone()));
        let done = attempt_with(&spec, &secrets, &given("127.0.0.1")).await;
        assert_eq!(done.record.outcome, outcome, "{done:?}");
    }
}

#[tokio::test]
async fn an_rsa_key_is_offered_with_the_hashes_that_the_server_names_and_never_with_sha1() {
    let rsa = |hash| Algorithm::Rsa { hash };
    let [old, sha256, sha512] = [None, Some(HashAlg::Sha256), Some(HashAlg::Sha512)].map(rsa);
    let cases = [
        (vec![old.clone(), sha256.clone(), sha512.clone()], vec![sha512.clone()], "offers"),
        (vec![old.clone(), sha256.clone()], vec![sha256.clone()], "offers"),
        (vec![old], vec![], "it takes RSA keys with SHA-1 only"),
        (vec![], vec![sha512, sha256], "it does not say that it takes RSA keys with SHA-2"),
    ];
    for (mut takes, expected, says) in cases {
        takes.push(Algorithm::Ed25519);
        let server = Server { takes: Some(takes), ..Server::default() };
        let offered = server.offered.clone();
        let mut ssh = ssh(server.start().await, "true");
        ssh.login = Login::Key;
        let secrets = Secrets { key: Some(server::rsa().into()), ..Secrets::default() };
        let spec = spec(Command::Ssh(ssh));
        let done = attempt_with(&spec, &secrets, &given("127.0.0.1")).await;
        assert_eq!(*offered.lock().expect("no panic"), expected);
        assert_eq!((done.kind(), done.again), (Some(TroubleKind::Auth), Again::No), "{done:?}");
        assert!(done.message().contains(says), "{}", done.message());
    }
}

#[tokio::test]
async fn an_agent_lets_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("agent");
    let listener = UnixListener::bind(&path).expect("a socket");
    let streams = futures_util::stream::unfold(listener, |listener| async {
        let stream = listener.accept().await.map(|(stream, _)| stream);
        Some((stream, listener))
    });
    tokio::spawn(agent::server::serve(Box::pin(streams), ()));
    let stream = UnixStream::connect(&path).await.expect("an agent");
    let mut client = agent::client::AgentClient::connect(stream);
    for seed in [8, 7] {
        client.add_identity(&key(seed), &[]).await.expect("a key");
    }
    let mut shared = Arc::into_inner(shared()).expect("one");
    shared.user.agent = Some(path);
    let server = Server::default().start().await;
    let mut ssh = ssh(server, "true");
    ssh.login = Login::Agent;
    let spec = spec(Command::Ssh(ssh));
    let secrets = Secrets::default();
    let done = attempt_by(Arc::new(shared), &spec, &secrets, &given("127.0.0.1")).await;
    assert_eq!(done.record.outcome, Outcome::Ok, "{done:?}");
}

#[tokio::test]
async fn malformed_secrets_and_hosts_are_refused_before_the_run() {
    let server = SocketAddr::from(([127, 0, 0, 1], 22));
    let refused = |change: fn(&mut Ssh), secrets: Secrets| {
        let mut ssh = ssh(server, "true");
        change(&mut ssh);
        let mut shared = Arc::into_inner(shared()).expect("one");
        shared.user.agent = None;
        Contactor::new(&spec(Command::Ssh(ssh)), &secrets, Arc::new(shared))
            .expect_err("malformed")
            .message
    };
    let lines = |ssh: &mut Ssh| ssh.known_hosts = Some("# fine\nweb1 nonsense\n".to_owned());
    assert!(refused(lines, secrets()).starts_with("command.ssh.known_hosts: line 2: "));
    let agent = |ssh: &mut Ssh| ssh.login = Login::Agent;
    assert!(refused(agent, secrets()).contains("has no SSH agent"));
    let text = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
    let broken = Secrets { key: Some(text.to_owned().into()), ..Secrets::default() };
    assert!(refused(|ssh| ssh.login = Login::Key, broken).starts_with("secrets.key: "));
}

#[tokio::test]
async fn what_speaks_no_ssh_is_a_failure() {
    let web = serve(|mut stream| async move {
        let _ = stream.write_all("HTTP/1.1 400 Bad Request\r\n".repeat(1000).as_bytes()).await;
    })
    .await;
    let done = run(ssh(web, "true")).await;
    assert_eq!((done.record.outcome, done.kind()), (Outcome::Failed, Some(TroubleKind::Protocol)));
    let closing = serve(|stream| async move { drop(stream) }).await;
    let done = run(ssh(closing, "true")).await;
    assert_eq!((done.kind(), done.again), (Some(TroubleKind::Closed), Again::NothingSent));
}

#[tokio::test]
async fn silence_ends_by_the_connection() {
    let silent = serve(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let mut spec = spec(Command::Ssh(ssh(silent, "true")));
    spec.limits.connect_ms = 100;
    let done = attempt_with(&spec, &secrets(), &given("127.0.0.1")).await;
    assert_eq!((done.kind(), done.again), (Some(TroubleKind::ConnectTimeout), Again::NothingSent));
}

#[tokio::test]
async fn a_command_that_never_ends_is_told_to_end_by_the_total_and_the_connection_ends_with_it() {
    let (server, mut watch) = Server { hangs: true, ..Server::default() }.start_watched().await;
    let mut spec = spec(Command::Ssh(ssh(server, "true")));
    spec.limits.total_ms = 1_000;
    let done = attempt_with(&spec, &secrets(), &given("127.0.0.1")).await;
    assert_eq!((done.record.outcome, done.kind()), (Outcome::TimedOut, Some(TroubleKind::Timeout)));
    assert_eq!(done.again, Again::No, "the command may have run");
    for word in ["TERM", "ended"] {
        let told = timeout(Duration::from_secs(20), watch.recv()).await;
        assert_eq!(told, Ok(Some(word.to_owned())));
    }
}

#[tokio::test]
async fn a_command_that_has_ended_gets_no_signal() {
    let (server, mut watch) = Server::default().start_watched().await;
    assert_eq!(run(ssh(server, "true")).await.record.outcome, Outcome::Ok);
    let told = timeout(Duration::from_secs(20), watch.recv()).await;
    assert_eq!(told, Ok(Some("ended".to_owned())));
}
