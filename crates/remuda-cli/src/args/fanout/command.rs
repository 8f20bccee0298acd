//! What a run does to its targets.

use std::path::PathBuf;

use clap::Args;
use remuda_model::Span;

use super::options::{RunArgs, TargetArgs, file_pair};

#[derive(Debug, Args)]
#[command(after_help = "\
URL, headers and body may contain {{host}}, {{vars.NAME}} and {{secrets.NAME}}.

Examples:
  remuda fanout http GET 'https://{{host}}:8443/health' --targets hosts.txt
  remuda fanout http POST 'http://{{host}}/deploy?build={{vars.build}}' --targets hosts.csv \\
    --body-file request.json -H 'Authorization: Bearer {{secrets.token}}' --secret token=token.txt
  remuda fanout http POST 'http://{{host}}:12020/job' -t 'web[01-20].example' --poll '/status/{{job}}' \\
    --job /status --done /progress --success 100")]
pub(crate) struct HttpArgs {
    /// The method
    pub(crate) method: String,
    /// The URL
    pub(crate) url: String,
    /// A header; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// The body
    #[arg(long, value_name = "TEXT", conflicts_with = "body_file")]
    pub(crate) data: Option<String>,
    /// The body, from a file; sent as it is when it is no text
    #[arg(long, value_name = "FILE")]
    pub(crate) body_file: Option<PathBuf>,
    /// Which statuses are as expected; 200-399 unless given
    #[arg(long, value_name = "STATUSES")]
    pub(crate) expect: Option<String>,
    /// How many redirects to follow, at most 3
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) redirects: u8,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// How much of each body to keep, in bytes
    #[arg(long, value_name = "BYTES")]
    pub(crate) keep_body: Option<u32>,
    /// Which headers to keep: `all`, or names with commas between
    #[arg(long, value_name = "NAMES")]
    pub(crate) keep_headers: Option<String>,
    /// Ask here, again and again, until the target says that it is done
    #[arg(long, value_name = "URL", requires_all = ["done", "success"])]
    pub(crate) poll: Option<String>,
    /// Where the first answer has the {{job}}, a JSON pointer
    #[arg(long, value_name = "POINTER", requires = "poll")]
    pub(crate) job: Option<String>,
    /// Where an answer says how far it is, a JSON pointer
    #[arg(long, value_name = "POINTER", requires = "poll")]
    pub(crate) done: Option<String>,
    /// What it says there after success; may be repeated
    #[arg(long, value_name = "VALUE", requires = "poll", allow_negative_numbers = true)]
    pub(crate) success: Vec<String>,
    /// What it says there after failure; may be repeated
    #[arg(long, value_name = "VALUE", requires = "poll", allow_negative_numbers = true)]
    pub(crate) failure: Vec<String>,
    /// How often to ask
    #[arg(long, value_name = "TIME", requires = "poll")]
    pub(crate) poll_every: Option<Span>,
    /// How long it may make no progress
    #[arg(long, value_name = "TIME", requires = "poll")]
    pub(crate) stuck_after: Option<Span>,
    /// How many questions in a row may go wrong
    #[arg(long, value_name = "N", requires = "poll")]
    pub(crate) poll_errors: Option<u32>,
    /// How long it may take to be done
    #[arg(long, value_name = "TIME", requires = "poll")]
    pub(crate) done_within: Option<Span>,
    /// A value of {{secrets.NAME}}, from a file; may be repeated
    #[arg(long = "secret", value_name = "NAME=FILE", value_parser = file_pair)]
    pub(crate) secrets: Vec<(String, PathBuf)>,
    #[command(flatten)]
    pub(crate) targets: TargetArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// How TLS is done.
#[derive(Debug, Args)]
pub(crate) struct TlsArgs {
    /// Accept every certificate
    #[arg(long, short = 'k')]
    pub(crate) insecure: bool,
    /// Certificate authorities (PEM) that count instead of those of the worker
    #[arg(long, value_name = "FILE")]
    pub(crate) target_ca: Option<PathBuf>,
    /// The name that certificates must have instead of the host's
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_name: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
COMMAND, the user and the port may contain {{host}} and {{vars.NAME}}. Host keys are believed when they
are in your known_hosts.

Examples:
  remuda fanout ssh --targets hosts.txt --key ~/.ssh/id_ed25519 -- uptime
  remuda fanout ssh --targets hosts.csv --user '{{vars.login}}' --agent --sudo -- systemctl restart web
  remuda fanout ssh -t 'db[1-3].example' --key id --script ./check.sh -- --verbose")]
pub(crate) struct SshArgs {
    /// Who logs in
    #[arg(long, short, default_value = "root")]
    pub(crate) user: String,
    /// The port
    #[arg(long, short)]
    pub(crate) port: Option<String>,
    /// Log in with this private key
    #[arg(long, value_name = "FILE", required_unless_present_any = ["agent", "password_file"])]
    pub(crate) key: Option<PathBuf>,
    /// What opens the key, from a file
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Log in with the password in this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "agent"])]
    pub(crate) password_file: Option<PathBuf>,
    /// Log in with the SSH agent of the worker
    #[arg(long, conflicts_with = "key")]
    pub(crate) agent: bool,
    /// Which targets are believed: strict, accept-new, off
    #[arg(long, default_value = "strict", value_parser = ["strict", "accept-new", "off"])]
    pub(crate) host_keys: String,
    /// The host keys that are known; yours unless given
    #[arg(long, value_name = "FILE")]
    pub(crate) known_hosts: Option<PathBuf>,
    /// Send this script over and run it, with COMMAND as its arguments
    #[arg(long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,
    /// Run it by way of sudo, as root or as this user
    #[arg(long, value_name = "USER", num_args = 0..=1, require_equals = true, default_missing_value = "root")]
    pub(crate) sudo: Option<String>,
    /// What sudo asks for, from a file
    #[arg(long, value_name = "FILE", requires = "sudo", conflicts_with = "password_file")]
    pub(crate) sudo_password_file: Option<PathBuf>,
    /// How much of each output to keep, in bytes
    #[arg(long, value_name = "BYTES")]
    pub(crate) keep_output: Option<u32>,
    /// The command line
    #[arg(value_name = "COMMAND", last = true, required_unless_present = "script")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) targets: TargetArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What is sent may contain {{host}} and {{vars.NAME}}, and \\r, \\n, \\t and \\\\.

Examples:
  remuda fanout tcp 6379 --send 'PING\\r\\n' --until line --expect PONG --targets redis.txt
  remuda fanout tcp 443 --tls --until connected --targets hosts.txt")]
pub(crate) struct TcpArgs {
    /// The port
    pub(crate) port: String,
    /// What is sent
    #[arg(long, value_name = "TEXT")]
    pub(crate) send: Option<String>,
    /// When the answer is whole: closed, connected, line, bytes:N, text:TEXT, idle:TIME
    #[arg(long, default_value = "closed")]
    pub(crate) until: String,
    /// A text that must be in the answer
    #[arg(long, value_name = "TEXT")]
    pub(crate) expect: Option<String>,
    /// Speak TLS
    #[arg(long)]
    pub(crate) tls: bool,
    #[command(flatten)]
    pub(crate) tls_options: TlsArgs,
    /// How much of each answer to keep, in bytes
    #[arg(long, value_name = "BYTES")]
    pub(crate) keep_output: Option<u32>,
    #[command(flatten)]
    pub(crate) targets: TargetArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  remuda fanout ping --targets hosts.txt --timeout 2s
  remuda fanout ping -t '10.1.0.0/22' --mode tcp --port 443 --all")]
pub(crate) struct PingArgs {
    /// How: auto, icmp, tcp
    #[arg(long, default_value = "auto", value_parser = ["auto", "icmp", "tcp"])]
    pub(crate) mode: String,
    /// The port for TCP; a refusal proves presence, too
    #[arg(long)]
    pub(crate) port: Option<String>,
    /// How many echoes to ask for at most
    #[arg(long, value_name = "N")]
    pub(crate) tries: Option<u8>,
    #[command(flatten)]
    pub(crate) targets: TargetArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}
