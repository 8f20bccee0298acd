//! From arguments to what a run does.

use std::path::Path;

use remuda_model::{
    ErrorKind, Failure, Span,
    run::{
        Capture, Command, Header, HostKeys, Http, Keep, Login, Payload, Ping, PingMode, Poll,
        Secret, Secrets, Ssh, Sudo, Tcp, Tls, Until,
    },
};

use crate::{
    args::{HttpArgs, PingArgs, SshArgs, TcpArgs, TlsArgs},
    environment::Environment,
    error::{Report, Stop},
};

/// What a run does, and what it needs for that.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) command: Command,
    pub(super) secrets: Secrets,
}

pub(super) async fn http(args: &HttpArgs) -> Result<Prepared, Stop> {
    let mut headers = Vec::new();
    for text in &args.headers {
        let (name, value) = text.split_once(':').ok_or_else(|| {
            let report =
                Report::new(ErrorKind::Invalid, format!("--header: `{text}` has no colon"));
            report.hint("write NAME: VALUE")
        })?;
        headers.push(Header { name: name.trim().to_owned(), value: value.trim().to_owned() });
    }
    let body = match (&args.data, &args.body_file) {
        (Some(text), _) => Some(Payload::Text(text.clone())),
        (None, Some(path)) => Some(payload(bytes(path).await?)),
        (None, None) => None,
    };
    let poll = match (&args.poll, &args.done) {
        (Some(url), Some(done)) => Some(Poll {
            url: url.clone(),
            job: args.job.clone(),
            done: done.clone(),
            success: args.success.clone(),
            failure: args.failure.clone(),
            interval_ms: args.poll_every.map(milliseconds),
            stuck_ms: args.stuck_after.map(milliseconds),
            max_errors: args.poll_errors,
            total_ms: args.done_within.map(milliseconds),
        }),
        _ => None,
    };
    let keep = match args.keep_headers.as_deref() {
        None => Keep::None,
        Some("all") => Keep::All,
        Some(names) => Keep::Only(names.split(',').map(|name| name.trim().to_owned()).collect()),
    };
    let mut secrets = Secrets::default();
    for (name, path) in &args.secrets {
        secrets.values.insert(name.clone(), secret(path).await?);
    }
    let command = Command::Http(Http {
        method: args.method.to_ascii_uppercase(),
        url: args.url.clone(),
        headers,
        body,
        expect: args.expect.clone(),
        redirects: args.redirects,
        tls: tls(&args.tls).await?,
        capture: Capture { body: args.keep_body, headers: keep },
        poll,
    });
    Ok(Prepared { command, secrets })
}

pub(super) async fn ssh(args: &SshArgs, environment: &Environment) -> Result<Prepared, Stop> {
    let mut secrets = Secrets::default();
    let login = if let Some(path) = &args.key {
        secrets.key = Some(text(path).await?.into());
        Login::Key
    } else if let Some(path) = &args.password_file {
        secrets.password = Some(secret(path).await?);
        Login::Password
    } else {
        Login::Agent
    };
    if let Some(path) = &args.passphrase_file {
        secrets.passphrase = Some(secret(path).await?);
    }
    if let Some(path) = &args.sudo_password_file {
        secrets.password = Some(secret(path).await?);
    }
    let host_keys = match args.host_keys.as_str() {
        "accept-new" => HostKeys::AcceptNew,
        "off" => HostKeys::Off,
        _ => HostKeys::Strict,
    };
    let known_hosts = match &args.known_hosts {
        Some(path) => Some(text(path).await?),
        None => own_known_hosts(environment).await,
    };
    let script = match &args.script {
        Some(path) => Some(text(path).await?),
        None => None,
    };
    let sudo = args.sudo.clone().map(|user| Sudo {
        user: Some(user),
        password: args.sudo_password_file.is_some() || secrets.password.is_some(),
    });
    let command = Command::Ssh(Ssh {
        command: args.command.join(" "),
        script,
        user: args.user.clone(),
        port: args.port.clone(),
        login,
        host_keys,
        known_hosts,
        sudo,
        output: args.keep_output,
    });
    Ok(Prepared { command, secrets })
}

pub(super) async fn tcp(args: &TcpArgs) -> Result<Prepared, Stop> {
    let options = tls(&args.tls_options).await?;
    let wants_tls = args.tls || options != Tls::default();
    let command = Command::Tcp(Tcp {
        port: args.port.clone(),
        send: args.send.as_deref().map(unescaped),
        until: until(&args.until)?,
        expect: args.expect.clone(),
        tls: wants_tls.then_some(options),
        output: args.keep_output,
    });
    Ok(Prepared { command, secrets: Secrets::default() })
}

pub(super) fn ping(args: &PingArgs) -> Prepared {
    let mode = match args.mode.as_str() {
        "icmp" => PingMode::Icmp,
        "tcp" => PingMode::Tcp,
        _ => PingMode::Auto,
    };
    let command = Command::Ping(Ping { mode, port: args.port.clone(), tries: args.tries });
    Prepared { command, secrets: Secrets::default() }
}

async fn tls(args: &TlsArgs) -> Result<Tls, Stop> {
    let ca = match &args.target_ca {
        Some(path) => Some(text(path).await?),
        None => None,
    };
    Ok(Tls { insecure: args.insecure, ca, name: args.tls_name.clone() })
}

/// `closed`, `connected`, `line`, `bytes:N`, `text:TEXT`, `idle:TIME`.
fn until(text: &str) -> Result<Until, Failure> {
    let wrong = |what: &str| {
        Failure::invalid(format!("--until: {what}"))
            .hint("closed, connected, line, bytes:N, text:TEXT or idle:TIME")
    };
    match text.split_once(':') {
        None if text == "closed" => Ok(Until::Closed),
        None if text == "connected" => Ok(Until::Connected),
        None if text == "line" => Ok(Until::Line),
        Some(("bytes", number)) => {
            number.parse().map(Until::Bytes).map_err(|error| wrong(&format!("`{number}`: {error}")))
        }
        Some(("text", text)) => Ok(Until::Text(unescaped(text))),
        Some(("idle", span)) => {
            let span: Span = span.parse().map_err(|error| wrong(&format!("`{span}`: {error}")))?;
            Ok(Until::Idle(milliseconds(span)))
        }
        _ => Err(wrong(&format!("`{text}` is none"))),
    }
}

/// With `\r`, `\n`, `\t` and `\\` as what they mean.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('r') => plain.push('\r'),
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('\\') | None => plain.push('\\'),
            Some(other) => plain.extend(['\\', other]),
        }
    }
    plain
}

pub(super) fn milliseconds(span: Span) -> u64 {
    u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX)
}

/// Text as a template, other bytes as they are.
fn payload(bytes: Vec<u8>) -> Payload {
    match String::from_utf8(bytes) {
        Ok(text) => Payload::Text(text),
        Err(error) => Payload::Base64(data_encoding(error.as_bytes())),
    }
}

fn data_encoding(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

async fn own_known_hosts(environment: &Environment) -> Option<String> {
    let home = environment.get("HOME")?;
    tokio::fs::read_to_string(Path::new(&home).join(".ssh/known_hosts")).await.ok()
}

async fn bytes(path: &Path) -> Result<Vec<u8>, Stop> {
    tokio::fs::read(path).await.map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Failed,
        };
        Report::new(kind, format!("{}: {error}", path.display())).into()
    })
}

async fn text(path: &Path) -> Result<String, Stop> {
    String::from_utf8(bytes(path).await?).map_err(|_error| {
        Report::new(ErrorKind::Invalid, format!("{}: is no text", path.display())).into()
    })
}

/// The text of a file without the line feed at its end.
async fn secret(path: &Path) -> Result<Secret, Stop> {
    let text = text(path).await?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_mean_what_they_say() {
        assert_eq!(unescaped(r"PING\r\n"), "PING\r\n");
        assert_eq!(unescaped(r"\\n\x\"), "\\n\\x\\");
    }

    #[test]
    fn ends_of_answers_have_words() {
        assert_eq!(until("bytes:12"), Ok(Until::Bytes(12)));
        assert_eq!(until(r"text:END\r\n"), Ok(Until::Text("END\r\n".to_owned())));
        assert_eq!(until("idle:2s"), Ok(Until::Idle(2000)));
        for bad in ["", "bytes:", "bytes:x", "never", "idle:soon"] {
            assert_eq!(until(bad).expect_err(bad).kind, ErrorKind::Invalid);
        }
    }
}
