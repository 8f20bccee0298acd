//! The side that was dialled.

use bytes::Bytes;
use remuda_model::{ClusterId, Generation, LinkUrl, NodeId, Role, Transport};

use super::{
    Claim, Established, SKEW_LIMIT_MS, SKEW_WARNING_MS, Warning,
    message::{
        AuthInit, FromClient, FromServer, Hello, Method, Refusal, framed, read, read_opening,
    },
    proof::{Transcript, equal},
    secret::{Kdf, Key, Secret},
    skew_ms, version,
};
use crate::VERSIONS;

/// What the dialled side brings along.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// What carries the bytes.
    pub transport: Transport,
    /// What the TLS channel exports; zeros without TLS.
    pub binding: [u8; 32],
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its name.
    pub node: NodeId,
    /// Its role.
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
    /// Who the client's certificate says it is; `None` when it showed none.
    pub client: Option<Claim>,
    /// Whether API tokens may travel on this connection: encrypted, or on loopback.
    pub accepts_bearer: bool,
    /// Whether this side dialled, to invite a node that waits: it may join and nothing else.
    pub invites: bool,
}

/// What happens to the dialled side.
#[derive(Clone, Debug)]
pub enum ServerInput<'a> {
    /// The body of one frame from the client.
    Frame(&'a [u8]),
    /// The answer to [`ServerEffect::Authorize`].
    Authorized(Result<Grant, Refusal>),
    /// The answer to [`ServerEffect::Admit`].
    Admitted(Result<(), Refusal>),
}

/// What the claimed credential is worth.
#[derive(Clone, Debug)]
pub enum Grant {
    /// The certificate is not revoked.
    Certificate,
    /// The secret that the client must prove to know.
    Secret(Secret),
    /// The token is good, and this is its holder.
    Bearer(NodeId),
}

/// What the driver has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEffect {
    /// Look up the credential and answer [`ServerInput::Authorized`].
    Authorize(Box<Hello>),
    /// Send this frame.
    Send(Bytes),
    /// Tell somebody.
    Warn(Warning),
    /// The client has proved itself: ask whether it may stay, answer [`ServerInput::Admitted`].
    Admit(Box<Established>),
    /// The link is open; nothing follows.
    Done(Box<Established>),
    /// After a constant delay, send this frame and close; nothing follows.
    Refuse(Refusal, Bytes),
}

#[derive(Debug)]
enum State {
    /// Nothing was received.
    New,
    /// Waits for the credential's worth.
    Asked { version: u16, build: String, hello: Box<Hello> },
    /// Waits for this proof; then shows this one.
    Challenged { expected: [u8; 32], shown: [u8; 32], client: Box<Established> },
    /// Waits for the admission.
    Proved { shown: [u8; 32], client: Box<Established> },
    /// Done or refused.
    Over,
}

/// The dialled side of one handshake.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    versions: Vec<u16>,
    state: State,
}

impl Server {
    /// Waits for the first frame.
    pub fn new(config: ServerConfig) -> Self {
        Self::speaking(config, VERSIONS.to_vec())
    }

    /// The same, speaking only these protocol versions.
    pub fn speaking(config: ServerConfig, versions: Vec<u16>) -> Self {
        Self { config, versions, state: State::New }
    }

    /// Takes one input.
    #[must_use]
    pub fn handle(&mut self, input: ServerInput<'_>) -> Vec<ServerEffect> {
        let mut effects = Vec::new();
        let state = std::mem::replace(&mut self.state, State::Over);
        let outcome = match (state, input) {
            (State::New, ServerInput::Frame(body)) => self.greeted(body, &mut effects),
            (State::Asked { version, build, hello }, ServerInput::Authorized(grant)) => {
                version::mark(&mut self.config.nonce, version, &self.versions);
                grant.and_then(|grant| self.challenge(version, build, *hello, grant, &mut effects))
            }
            (State::Challenged { expected, shown, client }, ServerInput::Frame(body)) => {
                match read(body) {
                    Ok(FromClient::Proof { mac }) if equal(&expected, &mac) => {
                        effects.push(ServerEffect::Admit(client.clone()));
                        Ok(State::Proved { shown, client })
                    }
                    Ok(FromClient::Proof { .. }) => Err(Refusal::AuthFailed),
                    Err(_unreadable) => Err(Refusal::Malformed),
                }
            }
            (State::Proved { shown, client }, ServerInput::Admitted(admitted)) => {
                admitted.map(|()| {
                    effects.push(ServerEffect::Send(framed(&FromServer::Ok { mac: shown })));
                    effects.push(ServerEffect::Done(client));
                    State::Over
                })
            }
            (State::Over, _) => return effects,
            (_, _) => Err(Refusal::Malformed),
        };
        match outcome {
            Ok(state) => self.state = state,
            Err(refusal) => {
                let frame = framed(&FromServer::Refused(refusal.clone()));
                effects.push(ServerEffect::Refuse(refusal, frame));
            }
        }
        effects
    }

    fn greeted(&self, body: &[u8], effects: &mut Vec<ServerEffect>) -> Result<State, Refusal> {
        let config = &self.config;
        let (opening, rest) = read_opening(body).ok_or(Refusal::Malformed)?;
        let version = version::choose(&opening.versions, &self.versions);
        let version = version.ok_or_else(|| Refusal::VersionUnsupported {
            spoken: self.versions.clone(),
            build: config.build.clone(),
        })?;
        let hello: Hello = read(rest).map_err(|_unreadable| Refusal::Malformed)?;
        let method = hello.credential.method();
        if (method == Method::Bearer) != (hello.role == Role::Client) {
            return Err(Refusal::AuthFailed);
        }
        if config.invites && method != Method::Secret {
            return Err(Refusal::AuthFailed);
        }
        if hello.cluster.is_none() && method != Method::Bearer {
            return Err(Refusal::ClusterMismatch);
        }
        if hello.cluster.as_ref().is_some_and(|cluster| *cluster != config.cluster) {
            return Err(Refusal::ClusterMismatch);
        }
        // A node's own worker part comes through memory, with the node's own name.
        if hello.node == config.node && config.transport != Transport::Mem {
            return Err(Refusal::NodeIdInUse);
        }
        if hello.nonce == config.nonce {
            return Err(Refusal::AuthFailed);
        }
        let skew_ms = skew_ms(config.wall_ms, hello.wall_ms);
        match method {
            Method::Certificate => {
                let says = Claim {
                    cluster: config.cluster.clone(),
                    role: hello.role,
                    node: hello.node.clone(),
                };
                if config.client.as_ref() != Some(&says) {
                    return Err(Refusal::AuthFailed);
                }
            }
            Method::Bearer if !config.accepts_bearer => return Err(Refusal::AuthFailed),
            Method::Secret if config.transport.is_encrypted() && skew_ms > SKEW_LIMIT_MS => {
                return Err(Refusal::ClockSkew { skew_ms });
            }
            Method::Bearer | Method::Secret => (),
        }
        if skew_ms > SKEW_WARNING_MS {
            let node = hello.node.clone();
            effects.push(ServerEffect::Warn(Warning::ClockSkew { node, skew_ms }));
        }
        let hello = Box::new(hello);
        effects.push(ServerEffect::Authorize(hello.clone()));
        Ok(State::Asked { version, build: opening.build, hello })
    }

    fn challenge(
        &self,
        version: u16,
        build: String,
        hello: Hello,
        grant: Grant,
        effects: &mut Vec<ServerEffect>,
    ) -> Result<State, Refusal> {
        let config = &self.config;
        let method = hello.credential.method();
        let (key, kdf, node) = match (method, grant) {
            (Method::Secret, Grant::Secret(secret)) => {
                (secret.key().clone(), secret.kdf().clone(), hello.node.clone())
            }
            // Here the channel or the token proves; the transcript only confirms what was said.
            (Method::Certificate, Grant::Certificate) => {
                (Key::new([0; 32]), Kdf::None, hello.node.clone())
            }
            (Method::Bearer, Grant::Bearer(node)) => (Key::new([0; 32]), Kdf::None, node),
            (_, _) => return Err(Refusal::AuthFailed),
        };
        let transcript = Transcript {
            invited: config.invites,
            version,
            transport: config.transport,
            cluster: config.cluster.as_str(),
            role: hello.role,
            client: hello.node.as_str(),
            server: config.node.as_str(),
            client_nonce: &hello.nonce,
            server_nonce: &config.nonce,
            kdf: &kdf,
            binding: &config.binding,
        };
        let expected = transcript.client_proof(&key);
        let shown = transcript.server_proof(&key);
        effects.push(ServerEffect::Send(framed(&FromServer::Init(Box::new(AuthInit {
            version,
            build: config.build.clone(),
            cluster: config.cluster.clone(),
            node: config.node.clone(),
            role: config.role,
            generation: config.generation,
            addresses: config.addresses.clone(),
            capabilities: 0,
            wall_ms: config.wall_ms,
            nonce: config.nonce,
            kdf,
        })))));
        let client = Box::new(Established {
            version,
            cluster: config.cluster.clone(),
            node,
            role: hello.role,
            generation: hello.generation,
            build,
            addresses: hello.addresses,
            method,
        });
        Ok(State::Challenged { expected, shown, client })
    }
}
