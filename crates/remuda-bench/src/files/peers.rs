//! The other ways of copying a file on this machine.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep},
};

/// A server of OpenSSH on loopback, with keys of its own.
pub(crate) struct Ssh {
    port: u16,
    key: PathBuf,
    _server: Child,
}

impl Ssh {
    pub(crate) async fn start(dir: &Path, listen: Ipv4Addr) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let (host_key, key) = (dir.join("host_key"), dir.join("user_key"));
        for path in [&host_key, &key] {
            let mut make = Command::new("ssh-keygen");
            make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path);
            let made = make.status().await.context("this needs openssh-client")?;
            ensure!(made.success(), "ssh-keygen: {made}");
        }
        let allowed = dir.join("authorized_keys");
        fs::copy(key.with_extension("pub"), &allowed)?;
        let config = dir.join("sshd_config");
        let text = format!(
            "Port {port}\nListenAddress {listen}\nMaxStartups 10000\nHostKey {}\nAuthorizedKeysFile {}\n\
             StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n\
             Subsystem sftp internal-sftp\n",
            host_key.display(),
            allowed.display()
        );
        fs::write(&config, text)?;
        fs::create_dir_all("/run/sshd")?;
        let mut serve = Command::new("/usr/sbin/sshd");
        serve.arg("-D").arg("-f").arg(&config).kill_on_drop(true);
        serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = serve.spawn().context("this needs openssh-server")?;
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            ensure!(Instant::now() < end, "sshd does not start");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { port, key, _server: server })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The private key that it lets in.
    pub(crate) fn key(&self) -> &Path {
        &self.key
    }

    /// What `ssh` and `scp` need to know, but for the port.
    fn options(&self) -> Vec<String> {
        let key = self.key.display().to_string();
        let words = ["-q", "-i", &key, "-o", "StrictHostKeyChecking=no", "-o"];
        let words = words.into_iter().chain(["UserKnownHostsFile=/dev/null", "-F", "/dev/null"]);
        words.map(str::to_owned).collect()
    }

    pub(super) async fn scp(&self, source: &Path, targets: &[PathBuf]) -> Result<()> {
        all(targets.iter().map(|target| {
            let mut copy = Command::new("scp");
            copy.args(self.options()).args(["-P", &self.port.to_string()]);
            copy.arg(source).arg(remote(target));
            copy
        }))
        .await
    }

    pub(super) async fn rsync(&self, source: &Path, targets: &[PathBuf]) -> Result<()> {
        let shell = format!("ssh {} -p {}", self.options().join(" "), self.port);
        all(targets.iter().map(|target| {
            let mut copy = Command::new("rsync");
            copy.args(["--whole-file", "--rsh", &shell]).arg(source).arg(remote(target));
            copy
        }))
        .await
    }
}

fn remote(target: &Path) -> String {
    format!("root@127.0.0.1:{}", target.display())
}

/// Runs programs side by side to their ends.
async fn all(commands: impl Iterator<Item = Command>) -> Result<()> {
    let mut children = Vec::new();
    for mut command in commands {
        command.stdin(Stdio::null()).kill_on_drop(true);
        let child = command.spawn();
        children.push(child.with_context(|| command.as_std().get_program().display().to_string())?);
    }
    for mut child in children {
        let ended = child.wait().await?;
        ensure!(ended.success(), "a copy failed: {ended}");
    }
    Ok(())
}

/// Sends a file over a socket to a thread that writes it: nothing is hashed or encrypted.
pub(super) async fn socket(source: &Path, targets: &[PathBuf]) -> Result<()> {
    let copies = targets.iter().map(|target| async move {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let target = target.clone();
        let receiver = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let mut file = tokio::fs::File::create(target).await?;
            pump(&mut stream, &mut file).await
        });
        let mut file = tokio::fs::File::open(source).await?;
        let mut stream = TcpStream::connect(address).await?;
        pump(&mut file, &mut stream).await?;
        stream.shutdown().await?;
        receiver.await??;
        Ok(())
    });
    futures_util::future::try_join_all(copies).await.map(drop)
}

async fn pump(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.flush().await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}
