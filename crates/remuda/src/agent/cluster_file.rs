//! A cluster made here: its identity, its secrets and its first tokens, until they are replicated.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use remuda_control::ApiToken;
use remuda_link::{Authority, JoinToken};
use remuda_model::{ClusterId, Role};
use remuda_runtime::wall_ms;
use remuda_state::{ClusterRecord, Scope, TokenRecord};
use remuda_wire::message::join;
use serde::{Deserialize, Serialize};

use super::{
    AgentError,
    data_dir::{read_json, write, write_json},
};

/// What `remuda cluster init` made.
#[derive(Clone, Debug)]
pub struct InitReport {
    /// The new identity.
    pub cluster: ClusterId,
    /// Lets control nodes join.
    pub join_token_control: JoinToken,
    /// Lets workers join.
    pub join_token_worker: JoinToken,
    /// The first API token, of scope `admin`.
    pub admin_token: ApiToken,
}

/// The content of `cluster.json`: for the eyes of its owner only.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    cluster: ClusterId,
    name: String,
    created_ms: u64,
    ca: String,
    ca_key: String,
    worker_secret: String,
    control_secret: String,
    admin_token: String,
}

/// The secrets of a cluster made in this directory.
pub(crate) struct ClusterFile {
    pub(crate) record: ClusterRecord,
    pub(crate) authority: Authority,
    pub(crate) admin_token: ApiToken,
}

impl ClusterFile {
    /// The secrets made here before, if any.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, AgentError> {
        let path = dir.join("cluster.json");
        let Some(stored) = read_json::<Stored>(&path)? else { return Ok(None) };
        stored.open().map(Some).ok_or(AgentError::ClusterFile { path })
    }

    /// Makes the secrets of a new cluster and keeps them.
    pub(crate) fn create(
        dir: &Path,
        name: &str,
        admin_token: Option<ApiToken>,
    ) -> Result<Self, AgentError> {
        let cluster = ClusterId::random();
        let authority = Authority::generate(&cluster).map_err(AgentError::authority)?;
        let record = ClusterRecord { id: cluster, name: name.to_owned(), created_ms: wall_ms() };
        let admin_token = admin_token.unwrap_or_else(ApiToken::random);
        let made = Self { record, authority, admin_token };
        write_json(&dir.join("cluster.json"), &made.stored())?;
        made.write_for_people(dir)?;
        Ok(made)
    }

    /// The same content where a person or a script looks for it.
    fn write_for_people(&self, dir: &Path) -> Result<(), AgentError> {
        let lines = [
            ("join-token-control", self.join_token(Role::Control).to_string()),
            ("join-token-worker", self.join_token(Role::Worker).to_string()),
            ("admin-token", self.admin_token.reveal()),
        ];
        for (file, line) in lines {
            write(&dir.join(file), format!("{line}\n").as_bytes())?;
        }
        write(&dir.join("tls/ca.der"), self.authority.ca_der())?;
        Ok(())
    }

    fn join_token(&self, role: Role) -> JoinToken {
        self.authority.join_token(role).expect("nodes of both roles may join")
    }

    pub(crate) fn report(&self) -> InitReport {
        InitReport {
            cluster: self.record.id.clone(),
            join_token_control: self.join_token(Role::Control),
            join_token_worker: self.join_token(Role::Worker),
            admin_token: self.admin_token.clone(),
        }
    }

    /// The first token as the cluster keeps it.
    pub(crate) fn admin_record(&self) -> TokenRecord {
        let record = self.admin_token.record("admin", Scope::Admin, None);
        // The same record at every attempt to bootstrap.
        TokenRecord { created_ms: self.record.created_ms, ..record }
    }

    fn stored(&self) -> Stored {
        let wire = self.authority.to_wire();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Stored {
            cluster: self.record.id.clone(),
            name: self.record.name.clone(),
            created_ms: self.record.created_ms,
            ca: text(self.authority.ca_der()),
            ca_key: text(&wire.ca_key),
            worker_secret: text(&wire.worker_secret),
            control_secret: text(&wire.control_secret),
            admin_token: self.admin_token.reveal(),
        }
    }
}

impl Stored {
    fn open(self) -> Option<ClusterFile> {
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let wire = join::Authority {
            ca_key: bytes(&self.ca_key)?,
            worker_secret: bytes(&self.worker_secret)?.try_into().ok()?,
            control_secret: bytes(&self.control_secret)?.try_into().ok()?,
        };
        let authority = Authority::from_wire(&self.cluster, &bytes(&self.ca)?, wire).ok()?;
        let record =
            ClusterRecord { id: self.cluster, name: self.name, created_ms: self.created_ms };
        Some(ClusterFile { record, authority, admin_token: self.admin_token.parse().ok()? })
    }
}
