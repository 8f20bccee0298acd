//! How a run proves to a target who it is.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use remuda_model::{
    Failure,
    run::{Login, Secret, Secrets, TroubleKind},
};
use russh::{
    MethodKind, MethodSet,
    client::{AuthResult, Handle, KeyboardInteractiveAuthResponse},
    keys::{
        HashAlg, PrivateKey, PrivateKeyWithHashAlg,
        agent::{AgentIdentity, client::AgentClient},
        decode_secret_key,
        ssh_key::private::KeypairData,
    },
};

use super::{
    Guard,
    rsa::{self, RsaKey, SignError},
    stop,
};
use crate::contact::Stop;

/// How many keys of an agent are shown; servers close the connection after six.
const MAX_IDENTITIES: usize = 5;
/// How many rounds of questions are answered with the password.
const MAX_ROUNDS: usize = 4;
/// What PKCS#8 calls RSA.
const RSA: &str = "1.2.840.113549.1.1.1";

/// What proves who a run is.
pub(super) enum Proof {
    Key(Arc<PrivateKey>),
    Rsa(RsaKey),
    Password(Secret),
    /// The agent that listens here.
    Agent(PathBuf),
}

impl Proof {
    /// Reads what the secrets of a run have. Opening a key with a passphrase takes a tenth of a second
    /// or so of one core.
    ///
    /// # Errors
    /// The key cannot be used, or the worker has no agent.
    pub(super) fn new(
        login: Login,
        secrets: &Secrets,
        agent: Option<&Path>,
    ) -> Result<Self, Failure> {
        let missing =
            |what: &str| Failure::invalid(format!("command.ssh.login: no {what} was given"));
        match login {
            Login::Key => {
                let key = secrets.key.as_ref().ok_or_else(|| missing("key"))?;
                read_key(key.reveal(), secrets.passphrase.as_ref().map(Secret::reveal))
            }
            Login::Password => {
                let password = secrets.password.clone();
                password.map(Self::Password).ok_or_else(|| missing("password"))
            }
            Login::Agent => match agent {
                Some(path) => Ok(Self::Agent(path.to_owned())),
                None => Err(Failure::invalid("command.ssh.login: the worker has no SSH agent")
                    .hint("start the worker with SSH_AUTH_SOCK in its environment, or give a key")),
            },
        }
    }
}

fn read_key(text: &str, passphrase: Option<&str>) -> Result<Proof, Failure> {
    use russh::keys::Error as E;
    let error = match decode_secret_key(text, passphrase) {
        Ok(key) => {
            return match key.key_data() {
                KeypairData::Rsa(pair) => RsaKey::from_openssh(pair).map(Proof::Rsa),
                _ => Ok(Proof::Key(Arc::new(key))),
            };
        }
        Err(error) => error,
    };
    match error {
        // How russh says that it knows RSA in these forms, but not without the crate `rsa`.
        E::UnsupportedKeyType { .. } => RsaKey::from_pem(text, passphrase).map(Proof::Rsa),
        E::UnknownAlgorithm(id) if id.to_string() == RSA => {
            RsaKey::from_pem(text, passphrase).map(Proof::Rsa)
        }
        E::KeyIsEncrypted => Err(Failure::invalid("secrets.key: the key needs a passphrase")),
        _ if passphrase.is_none() && text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") => {
            Err(Failure::invalid("secrets.key: the key needs a passphrase"))
        }
        _ => Err(Failure::invalid(format!("secrets.key: the key cannot be read: {error}")).hint(
            format!(
                "Ed25519, ECDSA and RSA keys are supported; {}; with a passphrase, check that it \
                 opens the key",
                rsa::CONVERT
            ),
        )),
    }
}

/// Logs in. Without a deadline of its own.
pub(super) async fn log_in(
    session: &mut Handle<Guard>,
    user: &str,
    proof: &Proof,
) -> Result<(), Stop> {
    match proof {
        Proof::Key(key) => {
            let key = PrivateKeyWithHashAlg::new(key.clone(), None);
            let result = session.authenticate_publickey(user, key).await;
            judge(session, user, result.map_err(|error| stop(&error))?)
        }
        Proof::Rsa(key) => by_rsa(session, user, key).await,
        Proof::Password(password) => by_password(session, user, password).await,
        Proof::Agent(path) => by_agent(session, user, path).await,
    }
}

async fn by_rsa(session: &mut Handle<Guard>, user: &str, key: &RsaKey) -> Result<(), Stop> {
    let best = session.best_supported_rsa_hash().await.map_err(|error| stop(&error))?;
    let (first, second) = match best {
        Some(Some(best)) => (best, None),
        Some(None) => {
            let message = "it takes RSA keys with SHA-1 only, which is not safe";
            return Err(Stop::new(TroubleKind::Auth, message));
        }
        // It does not say what it takes.
        None => (HashAlg::Sha512, Some(HashAlg::Sha256)),
    };
    let mut result = offer(session, user, key, first).await?;
    if let Some(hash) = second
        && let AuthResult::Failure { partial_success: false, .. } = result
        && !session.is_closed()
    {
        result = offer(session, user, key, hash).await?;
    }
    judge(session, user, result).map_err(|mut stop| {
        if best.is_none() && stop.trouble.kind == TroubleKind::Auth {
            // Those that know SHA-1 only do not say it either.
            stop.trouble.message.push_str("; it does not say that it takes RSA keys with SHA-2");
        }
        stop
    })
}

async fn offer(
    session: &mut Handle<Guard>,
    user: &str,
    mut key: &RsaKey,
    hash: HashAlg,
) -> Result<AuthResult, Stop> {
    let public = key.public().clone();
    let result = session.authenticate_publickey_with(user, public, Some(hash), &mut key).await;
    result.map_err(|error| match error {
        SignError::Gone => Stop::passing(TroubleKind::Closed, error.to_string()),
        _ => Stop::new(TroubleKind::Internal, error.to_string()),
    })
}

async fn by_password(
    session: &mut Handle<Guard>,
    user: &str,
    password: &Secret,
) -> Result<(), Stop> {
    let result = session.authenticate_password(user, password.reveal()).await;
    let result = result.map_err(|error| stop(&error))?;
    let AuthResult::Failure { remaining_methods, .. } = &result else { return Ok(()) };
    if !remaining_methods.contains(&MethodKind::KeyboardInteractive)
        || remaining_methods.contains(&MethodKind::Password)
    {
        return judge(session, user, result);
    }
    // Servers that ask for the password as one of several questions do not take it otherwise.
    let mut answer = session.authenticate_keyboard_interactive_start(user, None).await;
    for _ in 0..MAX_ROUNDS {
        match answer.map_err(|error| stop(&error))? {
            KeyboardInteractiveAuthResponse::Success => return Ok(()),
            KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success } => {
                let result = AuthResult::Failure { remaining_methods, partial_success };
                return judge(session, user, result);
            }
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                // What is shown while it is typed is no password.
                if prompts.iter().any(|prompt| prompt.echo) {
                    break;
                }
                let answers = vec![password.reveal().to_owned(); prompts.len()];
                answer = session.authenticate_keyboard_interactive_respond(answers).await;
            }
        }
    }
    Err(Stop::new(TroubleKind::Auth, "it asks for more than a password"))
}

async fn by_agent(session: &mut Handle<Guard>, user: &str, path: &Path) -> Result<(), Stop> {
    let lacks = |error: &dyn ToString| {
        let message = format!("the SSH agent of the worker does not help: {}", error.to_string());
        Stop::passing(TroubleKind::Internal, message)
    };
    let agent = AgentClient::connect_uds(path).await;
    let mut agent = agent.map_err(|error| lacks(&error))?;
    let identities = agent.request_identities().await.map_err(|error| lacks(&error))?;
    let keys = identities.into_iter().filter_map(|identity| match identity {
        AgentIdentity::PublicKey { key, .. } => Some(key),
        AgentIdentity::Certificate { .. } => None,
    });
    let mut last = None;
    for key in keys.take(MAX_IDENTITIES) {
        let hash = if key.algorithm().is_rsa() {
            let best = session.best_supported_rsa_hash().await.map_err(|error| stop(&error))?;
            best.flatten()
        } else {
            None
        };
        match session.authenticate_publickey_with(user, key, hash, &mut agent).await {
            Ok(result) if result.success() => return Ok(()),
            Ok(result) => last = Some(result),
            Err(error) => return Err(lacks(&error)),
        }
        if session.is_closed() {
            break;
        }
    }
    match last {
        Some(result) => judge(session, user, result),
        None => Err(lacks(&"it has no keys")),
    }
}

fn judge(session: &Handle<Guard>, user: &str, result: AuthResult) -> Result<(), Stop> {
    let AuthResult::Failure { remaining_methods, partial_success } = result else { return Ok(()) };
    if remaining_methods.is_empty() && session.is_closed() {
        let message = "it closed the connection during the login";
        return Err(Stop::passing(TroubleKind::Closed, message));
    }
    let offers = shown(&remaining_methods);
    let message = if partial_success {
        format!("it wants more than one proof of `{user}`, {offers} too")
    } else {
        format!("it does not let `{user}` in; it offers {offers}")
    };
    Err(Stop::new(TroubleKind::Auth, message))
}

fn shown(methods: &MethodSet) -> String {
    let names: Vec<&str> = methods.iter().map(<&str>::from).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
