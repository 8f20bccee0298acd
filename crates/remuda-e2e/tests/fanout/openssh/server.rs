//! Targets that are real servers of OpenSSH: an `sshd` for each connection, as inetd starts it, so that
//! port 0 will do. They answer at all addresses of this machine.

use std::{
    fs,
    os::{fd::OwnedFd, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::unistd::{User, geteuid};
use remuda_e2e::Place;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

const PROGRAM: &str = "/usr/sbin/sshd";

/// Servers with a host key, and a key that they let in.
pub(super) struct Sshd {
    pub(super) port: u16,
    dir: TempDir,
    serving: JoinHandle<()>,
}

impl Sshd {
    /// Starts one that lets in whoever runs the tests.
    pub(super) async fn start() -> Self {
        Self::start_with(|_| Place::default(), "").await
    }

    /// Starts one with further settings, whose processes run at a place that knows its directory.
    pub(super) async fn start_with(place: impl FnOnce(&Path) -> Place, settings: &str) -> Self {
        assert!(
            Path::new(PROGRAM).exists(),
            "this test needs sshd: apt-get install openssh-server"
        );
        let dir = tempfile::tempdir().expect("a folder");
        // Users other than the one that runs the tests look here too.
        permit(dir.path(), 0o755);
        fs::create_dir(dir.path().join("tmp")).expect("a folder");
        permit(&dir.path().join("tmp"), 0o1777);
        if geteuid().is_root() {
            fs::create_dir_all("/run/sshd").expect("where sshd has nothing");
        }
        for name in ["host", "user"] {
            make_key(&dir.path().join(name), "");
        }
        let place = place(dir.path());
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
        let port = listener.local_addr().expect("it listens").port();
        let at = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
        let text = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n\
             PidFile none\nSetEnv TMPDIR={}\n{settings}\n",
            at("host"),
            at("user.pub"),
            at("tmp")
        );
        let config = dir.path().join("config");
        fs::write(&config, text).expect("it is written");
        let serving = tokio::spawn(serve(listener, place, config));
        Self { port, dir, serving }
    }

    /// The private key that it lets in.
    pub(super) fn key(&self) -> String {
        self.path("user")
    }

    /// The line of `known_hosts` for its key at an address.
    pub(super) fn known(&self, host: &str) -> String {
        self.known_as("host", host)
    }

    /// The same for a key that it has not.
    pub(super) fn known_wrongly(&self, host: &str) -> String {
        self.known_as("user", host)
    }

    fn known_as(&self, key: &str, host: &str) -> String {
        let key = fs::read_to_string(self.path(&format!("{key}.pub"))).expect("a key");
        let key: Vec<_> = key.split_whitespace().take(2).collect();
        format!("[{host}]:{} {}\n", self.port, key.join(" "))
    }

    /// A file of its directory.
    pub(super) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// The temporary directory of those who are logged in.
    pub(super) fn temporary(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Who runs the tests.
pub(super) fn me() -> String {
    User::from_uid(geteuid()).expect("users").expect("everybody has a name").name
}

/// A user that only processes at the place have, and that place: the file of users is another one
/// there.
pub(super) fn with_visitor(dir: &Path) -> Place {
    assert!(geteuid().is_root(), "this test needs root to make a mount namespace");
    let users = fs::read_to_string("/etc/passwd").expect("users");
    let home = dir.join("tmp");
    let visitor = format!("{VISITOR}:*:54321:54321::{}:/bin/sh\n", home.display());
    let passwd = dir.join("passwd");
    fs::write(&passwd, format!("{}\n{visitor}", users.trim_end())).expect("it is written");
    let enter = "mount --bind \"$0\" /etc/passwd && exec \"$@\"";
    let passwd = passwd.to_str().expect("UTF-8");
    Place::behind(&["unshare", "--mount", "sh", "-c", enter, passwd])
}

/// The user of such a place.
pub(super) const VISITOR: &str = "visitor";

/// Makes a key, and the public one beside it.
pub(super) fn make_key(path: &Path, passphrase: &str) {
    let mut make = Command::new("ssh-keygen");
    make.args(["-q", "-t", "ed25519", "-a", "1", "-N", passphrase, "-f"]).arg(path);
    let made = make.status().expect("this test needs ssh-keygen: apt-get install openssh-client");
    assert!(made.success(), "ssh-keygen: {made}");
}

fn permit(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

async fn serve(listener: TcpListener, place: Place, config: PathBuf) {
    while let Ok((socket, _)) = listener.accept().await {
        let socket = socket.into_std().expect("a socket");
        socket.set_nonblocking(false).expect("a socket");
        let socket = OwnedFd::from(socket);
        let mut command = place.command(Path::new(PROGRAM));
        command.args(["-i", "-f"]).arg(&config);
        command.stdin(socket.try_clone().expect("a socket")).stdout(socket).stderr(Stdio::null());
        let mut command = tokio::process::Command::from(command);
        let mut child = command.kill_on_drop(true).spawn().expect("sshd starts");
        // It closes its copies of the socket with the command.
        drop(command);
        tokio::spawn(async move { child.wait().await });
    }
}
