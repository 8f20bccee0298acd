//! The side that dialled.

use bytes::Bytes;
use remuda_model::{ClusterId, ErrorKind, Generation, LinkUrl, NodeId, Role, Transport};

use super::{
    Claim, Established, SKEW_LIMIT_MS, SKEW_WARNING_MS, Warning,
    message::{
        AuthInit, Bearer, Credential, FromClient, FromServer, Hello, Method, Opening, Refusal,
        framed, framed_hello, read,
    },
    proof::{Transcript, equal},
    secret::{Kdf, KdfError, Key, Secret},
    skew_ms, version,
};
use crate::VERSIONS;

/// What the dialling side brings along.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// What carries the bytes.
    pub transport: Transport,
    /// What the TLS channel exports; zeros without TLS.
    pub binding: [u8; 32],
    /// The cluster it means; `None` for a client with an API token.
    pub cluster: Option<ClusterId>,
    /// Its name.
    pub node: NodeId,
    /// The role it claims.
    pub role: Role,
    /// Its boot counter.
    pub generation: Generation,
    /// The version of its build.
    pub build: String,
    /// Where it can be dialled.
    pub addresses: Vec<LinkUrl>,
    /// Its wall clock, in milliseconds since 1970.
    pub wall_ms: u64,
    /// 32 fresh random bytes.
    pub nonce: [u8; 32],
    /// How it proves itself.
    pub proof: Proof,
    /// Who the server's certificate says it is; `None` without TLS.
    pub server: Option<Claim>,
    /// Whether the server dialled, because this side waited to be invited.
    pub invited: bool,
}

/// How the dialling side proves itself.
#[derive(Clone, Debug)]
pub enum Proof {
    /// By the certificate that it shows in the TLS handshake.
    Certificate,
    /// By the join secret or password.
    Secret(Secret),
    /// By an API token.
    Bearer(Bearer),
}

/// What the driver has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEffect {
    /// Send this frame.
    Send(Bytes),
    /// Tell somebody.
    Warn(Warning),
    /// The link is open; nothing follows.
    Done(Box<Established>),
    /// Close the connection; nothing follows.
    Fail(ClientError),
}

/// Why the dialling side gives up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The server said no.
    #[error("the other side refused: {0}")]
    Refused(Refusal),
    /// What came was no message of the handshake, or not the one that was due.
    #[error("the other side does not speak the remuda handshake")]
    Malformed,
    /// The server chose a version that was not offered.
    #[error("the other side chose version {0}, which was not offered")]
    Version(u16),
    /// The server speaks a better version that was offered, so the offer was changed on its way.
    #[error("somebody between the two sides changed the offered versions; {chosen} was chosen")]
    Downgraded {
        /// What was chosen.
        chosen: u16,
    },
    /// It belongs to another cluster.
    #[error("it belongs to cluster {theirs}, not {ours}")]
    ClusterMismatch {
        /// The one meant.
        ours: ClusterId,
        /// The server's.
        theirs: ClusterId,
    },
    /// Its certificate names somebody else than it says.
    #[error("the certificate of {node} names another node, role or cluster")]
    Impostor {
        /// Who it said it is.
        node: NodeId,
    },
    /// It has the name of this node.
    #[error("the other side has the name of this node, `{0}`")]
    SameNode(NodeId),
    /// It sent this side's own bytes back.
    #[error("the other side sent this node's own challenge back")]
    Reflected,
    /// It wants a password stretched beyond the bounds.
    #[error("the other side asks for unacceptable password stretching")]
    Kdf(#[source] KdfError),
    /// The secret was made in another way than the server's.
    #[error("the other side uses `{theirs}` with another salt or another number of rounds")]
    OtherKdf {
        /// The server's way.
        theirs: &'static str,
    },
    /// It did not prove that it knows the secret.
    #[error("the other side does not know the secret")]
    NotProved,
    /// The clocks are too far apart for a certificate.
    #[error("the clocks differ by {} s", skew_ms.div_ceil(1_000))]
    ClockSkew {
        /// By how much, in milliseconds.
        skew_ms: u64,
    },
}

impl ClientError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused(refusal) => refusal.kind(),
            Self::Malformed | Self::Version(_) | Self::Kdf(_) => ErrorKind::Invalid,
            Self::ClusterMismatch { .. } => ErrorKind::Forbidden,
            Self::SameNode(_) => ErrorKind::Exists,
            Self::Downgraded { .. }
            | Self::Impostor { .. }
            | Self::Reflected
            | Self::OtherKdf { .. }
            | Self::NotProved => ErrorKind::Unauthenticated,
            Self::ClockSkew { .. } => ErrorKind::Conflict,
        }
    }

    /// Its stable word.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Malformed => "malformed",
            Self::Version(_) => "version_unsupported",
            Self::Downgraded { .. } => "downgraded",
            Self::ClusterMismatch { .. } => "cluster_mismatch",
            Self::SameNode(_) => "node_id_in_use",
            Self::ClockSkew { .. } => "clock_skew",
            Self::Impostor { .. }
            | Self::Reflected
            | Self::Kdf(_)
            | Self::OtherKdf { .. }
            | Self::NotProved => "auth_failed",
        }
    }

    /// What to try.
    pub fn hint(&self) -> Option<String> {
        let refusal = match self {
            Self::Refused(refusal) => refusal.clone(),
            Self::Malformed => Refusal::Malformed,
            Self::ClusterMismatch { .. } => Refusal::ClusterMismatch,
            Self::SameNode(_) => Refusal::NodeIdInUse,
            Self::ClockSkew { skew_ms } => Refusal::ClockSkew { skew_ms: *skew_ms },
            Self::OtherKdf { .. } => {
                return Some(
                    "use the same kind of secret, cluster name and version on both sides".into(),
                );
            }
            Self::NotProved => Refusal::AuthFailed,
            Self::Downgraded { .. } => {
                return Some("use an encrypted transport; nobody in between can change it".into());
            }
            Self::Version(_) | Self::Impostor { .. } | Self::Reflected | Self::Kdf(_) => {
                return None;
            }
        };
        refusal.hint()
    }
}

#[derive(Debug)]
enum State {
    /// The hello is out.
    Greeted,
    /// The proof is out; this is what the server must show, and who it then is.
    Proved { expected: [u8; 32], server: Box<Established>, is_secret: bool },
    /// Done or failed.
    Over,
}

/// The dialling side of one handshake.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    versions: Vec<u16>,
    state: State,
}

impl Client {
    /// Starts; the bytes are the first frame to send.
    pub fn start(config: ClientConfig) -> (Self, Bytes) {
        Self::offering(config, VERSIONS.to_vec())
    }

    /// Starts as a side that speaks only these protocol versions, best first.
    pub fn offering(config: ClientConfig, versions: Vec<u16>) -> (Self, Bytes) {
        let opening = Opening::new(&versions, &config.build);
        let hello = Hello {
            cluster: config.cluster.clone(),
            node: config.node.clone(),
            role: config.role,
            generation: config.generation,
            addresses: config.addresses.clone(),
            capabilities: 0,
            wall_ms: config.wall_ms,
            nonce: config.nonce,
            credential: match &config.proof {
                Proof::Certificate => Credential::Certificate,
                Proof::Secret(_) => Credential::Secret,
                Proof::Bearer(bearer) => Credential::Bearer(bearer.clone()),
            },
        };
        let first = framed_hello(&opening, &hello);
        (Self { config, versions, state: State::Greeted }, first)
    }

    /// Takes the body of one frame from the server.
    #[must_use]
    pub fn handle(&mut self, body: &[u8]) -> Vec<ClientEffect> {
        let mut effects = Vec::new();
        let state = std::mem::replace(&mut self.state, State::Over);
        let outcome = match (state, read(body)) {
            (State::Greeted, Ok(FromServer::Init(init))) => self.prove(*init, &mut effects),
            (State::Proved { expected, server, is_secret }, Ok(FromServer::Ok { mac })) => {
                if equal(&expected, &mac) {
                    effects.push(ClientEffect::Done(server));
                    Ok(State::Over)
                } else if is_secret {
                    Err(ClientError::NotProved)
                } else {
                    Err(ClientError::Malformed)
                }
            }
            (State::Greeted | State::Proved { .. }, Ok(FromServer::Refused(refusal))) => {
                Err(ClientError::Refused(refusal))
            }
            (State::Over, _) => return effects,
            (_, _) => Err(ClientError::Malformed),
        };
        match outcome {
            Ok(state) => self.state = state,
            Err(error) => effects.push(ClientEffect::Fail(error)),
        }
        effects
    }

    fn prove(&self, init: AuthInit, effects: &mut Vec<ClientEffect>) -> Result<State, ClientError> {
        let config = &self.config;
        if !self.versions.contains(&init.version) {
            return Err(ClientError::Version(init.version));
        }
        if version::is_downgraded(&init.nonce, init.version, &self.versions) {
            return Err(ClientError::Downgraded { chosen: init.version });
        }
        if let Some(ours) = &config.cluster
            && *ours != init.cluster
        {
            return Err(ClientError::ClusterMismatch { ours: ours.clone(), theirs: init.cluster });
        }
        if init.node == config.node && config.transport != Transport::Mem {
            return Err(ClientError::SameNode(init.node));
        }
        if init.nonce == config.nonce {
            return Err(ClientError::Reflected);
        }
        let says =
            Claim { cluster: init.cluster.clone(), role: init.role, node: init.node.clone() };
        if config.transport.is_encrypted() && config.server.as_ref() != Some(&says) {
            return Err(ClientError::Impostor { node: init.node });
        }
        // Credentials are taken from control nodes only.
        if config.invited && init.role != Role::Control {
            return Err(ClientError::Impostor { node: init.node });
        }
        init.kdf.check().map_err(ClientError::Kdf)?;
        let (key, kdf) = match &config.proof {
            Proof::Secret(secret) => (secret.key().clone(), secret.kdf().clone()),
            // Here the channel or the token proves; the transcript only confirms what was said.
            Proof::Certificate | Proof::Bearer(_) => (Key::new([0; 32]), Kdf::None),
        };
        if kdf != init.kdf {
            return Err(ClientError::OtherKdf { theirs: init.kdf.name() });
        }
        let is_secret = matches!(config.proof, Proof::Secret(_));
        let skew_ms = skew_ms(config.wall_ms, init.wall_ms);
        if is_secret && config.transport.is_encrypted() && skew_ms > SKEW_LIMIT_MS {
            return Err(ClientError::ClockSkew { skew_ms });
        }
        if skew_ms > SKEW_WARNING_MS {
            let node = init.node.clone();
            effects.push(ClientEffect::Warn(Warning::ClockSkew { node, skew_ms }));
        }
        let transcript = Transcript {
            invited: config.invited,
            version: init.version,
            transport: config.transport,
            cluster: init.cluster.as_str(),
            role: config.role,
            client: config.node.as_str(),
            server: init.node.as_str(),
            client_nonce: &config.nonce,
            server_nonce: &init.nonce,
            kdf: &kdf,
            binding: &config.binding,
        };
        let mac = transcript.client_proof(&key);
        let expected = transcript.server_proof(&key);
        effects.push(ClientEffect::Send(framed(&FromClient::Proof { mac })));
        let server = Box::new(Established {
            version: init.version,
            cluster: init.cluster,
            node: init.node,
            role: init.role,
            generation: init.generation,
            build: init.build,
            addresses: init.addresses,
            method: match config.proof {
                Proof::Certificate => Method::Certificate,
                Proof::Secret(_) => Method::Secret,
                Proof::Bearer(_) => Method::Bearer,
            },
        });
        Ok(State::Proved { expected, server, is_secret })
    }
}
