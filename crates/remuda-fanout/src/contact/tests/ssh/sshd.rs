//! The server of OpenSSH (`openssh-server` on Debian), which checks signatures of RSA keys.

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{self, Stdio},
};

use remuda_model::Failure;
use tempfile::TempDir;

use super::*;

const PASSPHRASE: &str = "open sesame";

/// A server for whoever runs the tests, who may log in with `key`.
struct Sshd {
    folder: TempDir,
    user: String,
    address: SocketAddr,
}

impl Sshd {
    /// Starts one with a host key of this kind. It has one process for each connection, which ends with
    /// it.
    async fn start(host_key: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        keygen(&["-t", host_key, "-N", ""], &at("host_key"));
        keygen(&["-t", "rsa", "-b", "2048", "-N", ""], &at("key"));
        let config = at("config");
        let text = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nPermitRootLogin yes\nPasswordAuthentication no\n\
             StrictModes no\nUsePAM no\nLoginGraceTime 20\n",
            at("host_key").display(),
            at("key.pub").display(),
        );
        fs::write(&config, text).expect("written");
        // What sshd needs of a system that never started it; it says so itself if it is not there.
        let _ = fs::create_dir_all("/run/sshd");
        let address = serve(move |stream| {
            let config = config.clone();
            async move {
                let stream = stream.into_std().expect("a socket");
                stream.set_nonblocking(false).expect("a socket");
                let output = stream.try_clone().expect("a socket");
                let mut sshd = process::Command::new("/usr/sbin/sshd");
                sshd.args(["-i", "-f"]).arg(config).stderr(Stdio::null());
                sshd.stdin(OwnedFd::from(stream)).stdout(OwnedFd::from(output));
                let mut sshd = sshd.spawn().expect("this needs openssh-server");
                drop(tokio::task::spawn_blocking(move || sshd.wait()));
            }
        })
        .await;
        let user = process::Command::new("id").arg("-un").output().expect("a name").stdout;
        let user = String::from_utf8(user).expect("a name").trim().to_owned();
        Self { folder, user, address }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The key that may log in, in another form.
    fn form(&self, name: &str, words: &[&str]) -> String {
        let path = self.path(name);
        fs::copy(self.path("key"), &path).expect("copied");
        keygen(&[&["-p", "-P", ""], words].concat(), &path);
        fs::read_to_string(path).expect("a key")
    }

    fn spec(&self) -> RunSpec {
        let host_key = fs::read_to_string(self.path("host_key.pub")).expect("a key");
        spec(Command::Ssh(Ssh {
            user: self.user.clone(),
            login: Login::Key,
            known_hosts: Some(format!("[127.0.0.1]:{} {host_key}", self.address.port())),
            ..ssh(self.address, "echo in")
        }))
    }

    async fn log_in(&self, key: &str, passphrase: Option<&str>) -> Attempt {
        attempt_with(&self.spec(), &with(key, passphrase), &given("127.0.0.1")).await
    }

    /// Why a key is not even tried.
    fn refusal(&self, key: &str, passphrase: Option<&str>) -> Failure {
        let contactor = Contactor::new(&self.spec(), &with(key, passphrase), shared());
        contactor.map(drop).expect_err("a key that cannot be used")
    }
}

fn with(key: &str, passphrase: Option<&str>) -> Secrets {
    let passphrase = passphrase.map(|text| text.to_owned().into());
    Secrets { key: Some(key.to_owned().into()), passphrase, ..Secrets::default() }
}

fn keygen(words: &[&str], path: &Path) {
    let mut keygen = process::Command::new("ssh-keygen");
    keygen.arg("-q").args(words).arg("-f").arg(path).stdin(Stdio::null());
    let done = keygen.output().expect("this needs openssh-client");
    assert!(done.status.success(), "{done:?}");
}

#[tokio::test]
async fn an_rsa_key_of_each_form_lets_in() {
    let server = Sshd::start("ed25519").await;
    // What `ssh-keygen` calls RFC4716 is OpenSSH's own form.
    let forms = [
        ("RFC4716", None),
        ("RFC4716", Some(PASSPHRASE)),
        ("PEM", None),
        ("PKCS8", None),
        ("PKCS8", Some(PASSPHRASE)),
    ];
    for (number, (form, passphrase)) in forms.into_iter().enumerate() {
        let words = ["-m", form, "-N", passphrase.unwrap_or("")];
        let key = server.form(&number.to_string(), &words);
        let done = server.log_in(&key, passphrase).await;
        assert_eq!(done.record.outcome, Outcome::Ok, "{form} {passphrase:?}: {done:?}");
        assert_eq!(done.body(), "in\n");
        if passphrase.is_some() {
            let failure = server.refusal(&key, None);
            assert_eq!(failure.message, "secrets.key: the key needs a passphrase");
            let failure = server.refusal(&key, Some("open barley"));
            assert!(failure.message.starts_with("secrets.key: the key cannot be read: "));
        }
    }
}

#[tokio::test]
async fn another_rsa_key_does_not_let_in() {
    let server = Sshd::start("ed25519").await;
    keygen(&["-t", "rsa", "-b", "3072", "-N", ""], &server.path("other"));
    let other = fs::read_to_string(server.path("other")).expect("a key");
    let done = server.log_in(&other, None).await;
    assert_eq!((done.record.outcome, done.kind()), (Outcome::Failed, Some(TroubleKind::Auth)));
    assert!(done.message().contains("in; it offers publickey"), "{}", done.message());
    assert_eq!(done.again, Again::No);
}

#[tokio::test]
async fn rsa_keys_that_are_too_short_or_of_other_forms_are_refused_with_advice() {
    let server = Sshd::start("ed25519").await;
    keygen(&["-t", "rsa", "-b", "1024", "-N", ""], &server.path("short"));
    for form in ["RFC4716", "PEM", "PKCS8"] {
        keygen(&["-p", "-P", "", "-N", "", "-m", form], &server.path("short"));
        let short = fs::read_to_string(server.path("short")).expect("a key");
        let failure = server.refusal(&short, None);
        let expected = "secrets.key: the RSA key has 1024 bits; it must have 2048 at least";
        assert_eq!(failure.message, expected, "{form}");
        assert!(failure.hint.is_some_and(|hint| hint.contains("ssh-keygen -t ed25519")));
    }
    let old = server.form("old", &["-m", "PEM", "-N", PASSPHRASE]);
    let failure = server.refusal(&old, Some(PASSPHRASE));
    assert_eq!(failure.message, "secrets.key: the old encryption of PEM is not supported");
    assert!(failure.hint.is_some_and(|hint| hint.contains("ssh-keygen -p -f KEY")));
}

#[tokio::test]
async fn a_host_with_nothing_but_an_rsa_key_is_refused() {
    let server = Sshd::start("rsa").await;
    let key = fs::read_to_string(server.path("key")).expect("a key");
    let done = server.log_in(&key, None).await;
    assert_eq!(done.kind(), Some(TroubleKind::Protocol), "{done:?}");
    assert!(done.message().contains("rsa-sha2-512"), "{}", done.message());
}
