//! Command lines over SSH, each over a connection of its own and without a terminal.

mod known;
mod leash;
mod line;
mod login;
mod rsa;

use std::{
    borrow::Cow,
    fs, io,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use remuda_model::{
    Failure, VERSION,
    run::{HostKeys, Secret, Secrets, TroubleKind},
};
use remuda_run::check::SshPlan;
use russh::{
    Channel, ChannelMsg, ChannelWriteHalf, Preferred, Sig, SshId,
    client::{self, Config, Handler, Msg},
    keys::{Algorithm, EcdsaCurve, PublicKeyOrCertificate},
};
use tokio::{
    task::unconstrained,
    time::{Instant, timeout, timeout_at},
};

use self::{known::Known, leash::Leash, login::Proof};
use super::{Draft, Kept, Stop, Visit, connect};

/// How much a target may send before it is read.
const WINDOW: u32 = 256 << 10;
/// How many messages wait to be read.
const BUFFERED: usize = 16;
/// After so long without a word a target is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// The standard error in the protocol.
const STDERR: u32 = 1;
/// The kinds of keys of hosts. Without RSA: russh checks its signatures with the crate `rsa` only,
/// which is refused (RUSTSEC-2023-0071).
const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
];

/// What the user of the worker has for SSH.
#[derive(Clone, Debug, Default)]
pub(super) struct User {
    /// The socket of an agent.
    pub(super) agent: Option<PathBuf>,
    /// The file of known hosts.
    pub(super) known_hosts: Option<PathBuf>,
}

impl User {
    /// What the environment says.
    pub(super) fn from_environment() -> Self {
        let agent = std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty());
        Self {
            agent: agent.map(PathBuf::from),
            known_hosts: std::env::home_dir().map(|home| home.join(".ssh/known_hosts")),
        }
    }
}

/// What all targets of a run have in common.
pub(super) struct Common {
    known: Arc<Known>,
    proof: Proof,
    password: Option<Secret>,
}

impl Common {
    /// Reads the command of a run, which has been checked, and its secrets.
    ///
    /// # Errors
    /// The key or the known hosts are malformed.
    pub(super) fn new(plan: &SshPlan, secrets: &Secrets, user: &User) -> Result<Self, Failure> {
        Ok(Self {
            known: Arc::new(known_hosts(plan, user.known_hosts.as_deref())?),
            proof: Proof::new(plan.login, secrets, user.agent.as_deref())?,
            password: secrets.password.clone(),
        })
    }
}

fn known_hosts(plan: &SshPlan, path: Option<&Path>) -> Result<Known, Failure> {
    if let Some(text) = &plan.known_hosts {
        let (known, bad) = Known::read(plan.host_keys, text);
        return match bad.first() {
            None => Ok(known),
            Some(bad) => Err(Failure::invalid(format!("command.ssh.known_hosts: {bad}"))),
        };
    }
    let text = match path {
        Some(path) if plan.host_keys != HostKeys::Off => match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                let message = format!("the worker cannot read {}: {error}", path.display());
                return Err(Failure::invalid(message));
            }
        },
        _ => String::new(),
    };
    let (known, bad) = Known::read(plan.host_keys, &text);
    for bad in bad {
        tracing::debug!(%bad, "a line of the worker's known hosts is left out");
    }
    Ok(known)
}

/// One attempt at one target.
pub(super) async fn run(
    plan: &SshPlan,
    common: &Common,
    visit: &Visit<'_>,
    draft: &mut Draft,
) -> Result<(), Stop> {
    let call = visit.fill(|values| plan.fill(values))?;
    let password = common.password.as_ref().map(Secret::reveal);
    let line = line::line(&call.command, plan.script.as_deref(), plan.sudo.as_ref(), password);
    draft.body = Kept::up_to(plan.keep);
    draft.stderr = Kept::up_to(plan.keep);

    let limit = visit.connect_limit();
    let end = Instant::now() + limit;
    let stream = connect::tcp(visit.gate(), (visit.host(), call.port), end, draft).await?;
    let (leash, stream) = leash::leash(stream);
    let guard =
        Guard { known: common.known.clone(), host: visit.host().to_owned(), port: call.port };
    let config = Arc::new(config(&common.known.algorithms(visit.host(), call.port)));
    let session = timeout_at(end, client::connect_stream(config, stream, guard)).await;
    let mut session = match session {
        Ok(session) => session.map_err(Refusal::into_stop)?,
        Err(_late) => {
            let message = format!("no SSH in {} ms", limit.as_millis());
            return Err(Stop::passing(TroubleKind::ConnectTimeout, message));
        }
    };
    let limit = visit.first_byte();
    let login = timeout(limit, login::log_in(&mut session, &call.user, &common.proof)).await;
    login.unwrap_or_else(|_late| {
        let message = format!("no answer to the login in {} ms", limit.as_millis());
        Err(Stop::passing(TroubleKind::Timeout, message))
    })?;
    let channel = session.channel_open_session().await.map_err(|error| stop(&error))?;
    draft.sends(false);
    execute(channel, line, leash, draft).await
}

/// Runs a line and takes what it says until it has ended. More than is kept is read and dropped: the
/// command goes on.
async fn execute(
    channel: Channel<Msg>,
    line: line::Line,
    leash: Leash,
    draft: &mut Draft,
) -> Result<(), Stop> {
    let (mut from, to) = channel.split();
    let mut running = Running { to: &to, leash: Some(leash) };
    to.exec(true, line.command).await.map_err(|error| stop(&error))?;
    // A command that does not read its input ends all the same, so this is never waited for.
    let mut feed = pin!(async {
        if !line.input.is_empty() {
            to.data_bytes(line.input).await?;
        }
        to.eof().await
    });
    let (mut is_accepted, mut is_fed, mut exit) = (false, false, None);
    loop {
        let message = tokio::select! {
            fed = &mut feed, if is_accepted && !is_fed => {
                is_fed = true;
                if let Err(error) = fed {
                    tracing::debug!(%error, "a command takes no input");
                }
                continue;
            }
            message = from.wait() => message,
        };
        match message {
            Some(ChannelMsg::Success) => is_accepted = true,
            Some(ChannelMsg::Failure) => {
                return Err(Stop::new(TroubleKind::Protocol, "it refuses to run commands"));
            }
            Some(ChannelMsg::Data { data }) => _ = draft.body.push(&data),
            Some(ChannelMsg::ExtendedData { data, ext: STDERR }) => _ = draft.stderr.push(&data),
            Some(ChannelMsg::ExitStatus { exit_status }) => exit = Some(Exit::Code(exit_status)),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                exit = Some(Exit::Signal(signal_name));
            }
            Some(ChannelMsg::Close) | None => {
                running.has_ended();
                break;
            }
            Some(_) => {}
        }
    }
    let Some(exit) = exit else {
        let message = "the connection ended before the command";
        return Err(Stop::passing(TroubleKind::Closed, message));
    };
    draft.status = Some(exit.code());
    match exit {
        Exit::Code(0) => Ok(()),
        Exit::Code(code) => {
            Err(Stop::new(TroubleKind::Exit, format!("the command ended with the code {code}")))
        }
        Exit::Signal(signal) => {
            let message = format!("the command was ended by the signal {signal:?}");
            Err(Stop::new(TroubleKind::Exit, message))
        }
    }
}

/// A command that is told to end when nobody waits for it any more. The end of the connection alone
/// does not end it: it has no terminal.
struct Running<'a> {
    to: &'a ChannelWriteHalf<Msg>,
    leash: Option<Leash>,
}

impl Running<'_> {
    fn has_ended(&mut self) {
        self.leash = None;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Some(leash) = self.leash.take() else { return };
        // It has a place in the queue at once, unless the target takes nothing any more.
        if let Some(Ok(())) = unconstrained(self.to.signal(Sig::TERM)).now_or_never() {
            leash.after_last_words();
        }
    }
}

/// How a command ended.
#[derive(Debug)]
enum Exit {
    Code(u32),
    Signal(Sig),
}

impl Exit {
    /// As a shell says it: 128 and the number of the signal, 128 if that is unknown.
    fn code(&self) -> i32 {
        let signal = match self {
            Self::Code(code) => return i32::try_from(*code).unwrap_or(i32::MAX),
            Self::Signal(signal) => signal,
        };
        128 + match signal {
            Sig::HUP => 1,
            Sig::INT => 2,
            Sig::QUIT => 3,
            Sig::ILL => 4,
            Sig::ABRT => 6,
            Sig::FPE => 8,
            Sig::KILL => 9,
            Sig::USR1 => 10,
            Sig::SEGV => 11,
            Sig::PIPE => 13,
            Sig::ALRM => 14,
            Sig::TERM => 15,
            Sig::Custom(name) => match name.as_str() {
                "TRAP" => 5,
                "BUS" => 7,
                "USR2" => 12,
                "XCPU" => 24,
                "XFSZ" => 25,
                "SYS" => 31,
                _ => 0,
            },
        }
    }
}

/// How SSH is spoken. A host is asked first for the kinds of keys that are known of it.
fn config(known: &[Algorithm]) -> Config {
    let mut algorithms = ALGORITHMS.to_vec();
    algorithms.sort_by_key(|algorithm| !known.contains(algorithm));
    Config {
        client_id: SshId::Standard(Cow::Owned(format!("SSH-2.0-remuda_{VERSION}"))),
        window_size: WINDOW,
        channel_buffer_size: BUFFERED,
        preferred: Preferred { key: Cow::Owned(algorithms), ..Preferred::DEFAULT },
        keepalive_interval: Some(KEEPALIVE),
        nodelay: true,
        ..Config::default()
    }
}

/// Judges the key of a host.
struct Guard {
    known: Arc<Known>,
    host: String,
    port: u16,
}

/// Why there is no session.
#[derive(Debug)]
enum Refusal {
    Ssh(russh::Error),
    HostKey(String),
}

impl From<russh::Error> for Refusal {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl Refusal {
    fn into_stop(self) -> Stop {
        match self {
            Self::Ssh(error) => stop(&error),
            Self::HostKey(message) => Stop::new(TroubleKind::HostKey, message),
        }
    }
}

impl Handler for Guard {
    type Error = Refusal;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Refusal> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else {
            return Err(Refusal::HostKey(
                "it shows a certificate that nobody asked for".to_owned(),
            ));
        };
        let checked = self.known.check(&self.host, self.port, key);
        checked.map_err(|why| Refusal::HostKey(why.to_string()))?;
        Ok(true)
    }
}

/// What russh says.
fn stop(error: &russh::Error) -> Stop {
    use russh::Error as E;
    match error {
        E::IO(error) => Stop::broken(error),
        E::Disconnect | E::HUP | E::SendError | E::RecvError => {
            Stop::passing(TroubleKind::Closed, "it closed the connection")
        }
        E::ConnectionTimeout | E::KeepaliveTimeout | E::InactivityTimeout => {
            Stop::passing(TroubleKind::Timeout, "it says nothing any more")
        }
        E::NoCommonAlgo { kind, theirs, .. } => {
            let message = format!("no common {kind:?} algorithm; it has {theirs:?}");
            Stop::new(TroubleKind::Protocol, message)
        }
        E::ChannelOpenFailure(why) => {
            Stop::new(TroubleKind::Protocol, format!("it opens no session: {why:?}"))
        }
        other => {
            Stop::new(TroubleKind::Protocol, format!("it does not speak SSH as expected: {other}"))
        }
    }
}
