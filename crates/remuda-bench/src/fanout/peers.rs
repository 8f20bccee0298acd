//! The other ways of asking very many hosts.

use std::{fmt::Write as _, fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tokio::{process::Command, time::Instant};

use super::hosts;
use crate::files::Ssh;

const AIOHTTP: &str = include_str!("aiohttp.py");

/// `curl --parallel` with a file of URLs.
pub(super) async fn curl(port: u16, targets: usize) -> Result<Duration> {
    let file = tempfile::NamedTempFile::new()?;
    let mut text = String::new();
    for host in hosts(targets) {
        writeln!(text, "url = \"http://{host}:{port}/\"\noutput = \"/dev/null\"")?;
    }
    fs::write(file.path(), text)?;
    let mut command = Command::new("curl");
    command.args(["--silent", "--parallel", "--parallel-max", "300", "--config"]).arg(file.path());
    timed(command).await
}

/// The usual asynchronous client of Python.
pub(super) async fn aiohttp(port: u16, targets: usize) -> Result<Duration> {
    let mut command = Command::new("python3");
    command.args(["-c", AIOHTTP, &port.to_string(), &targets.to_string()]);
    timed(command).await.context("this needs python3-aiohttp")
}

/// What runs `true` on all hosts by the client of OpenSSH, 64 at a time.
pub(super) async fn over_ssh(
    ssh: &Ssh,
    dir: &Path,
    targets: usize,
) -> Result<Vec<(&'static str, Duration)>> {
    let list = dir.join("hosts");
    let lines: Vec<String> = hosts(targets).map(|host| host.to_string()).collect();
    fs::write(&list, lines.join("\n") + "\n")?;
    let port = ssh.port().to_string();
    let key = ssh.key().to_str().context("a path in UTF-8")?.to_owned();
    let options = format!(
        "-i {key} -p {port} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
         -o LogLevel=ERROR"
    );
    let mut taken = Vec::new();

    let mut pssh = Command::new("parallel-ssh");
    pssh.args(["-p", "64", "-l", "root", "-x", &options, "-h"]).arg(&list).arg("true");
    taken.push(("pssh -p 64", timed(pssh).await.context("this needs pssh")?));

    let mut clush = Command::new("clush");
    clush.args(["-f", "64", "-l", "root", "-o", &options, "--hostfile"]).arg(&list).arg("true");
    taken.push(("clush -f 64", timed(clush).await.context("this needs clustershell")?));

    let mut ansible = Command::new("ansible");
    ansible.args(["all", "-f", "64", "-u", "root", "-m", "raw", "-a", "true", "-i"]).arg(&list);
    // In one word: the value begins as an option does.
    ansible.arg(format!("--ssh-extra-args={options}")).env("ANSIBLE_HOST_KEY_CHECKING", "false");
    ansible.env("ANSIBLE_PYTHON_INTERPRETER", "/usr/bin/python3");
    taken.push(("ansible raw -f 64", timed(ansible).await.context("this needs ansible")?));
    Ok(taken)
}

async fn timed(mut command: Command) -> Result<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let begun = Instant::now();
    let output = command.output().await?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {text}", output.status);
    Ok(begun.elapsed())
}
