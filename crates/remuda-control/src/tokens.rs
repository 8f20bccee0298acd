//! API tokens: made, listed, revoked, checked.

use std::{fmt, str::FromStr, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use remuda_link::Peer;
use remuda_model::{ErrorKind, Failure, NodeId, Role, TokenId};
use remuda_runtime::wall_ms;
use remuda_state::{Change, ClusterState, Scope, TokenRecord};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{Control, proposals::CHANGE};

/// How token texts start; the number is that of the form.
const PREFIX: &str = "rmt1";
/// How often the clock is asked whether a token has expired.
const CLOCK: Duration = Duration::from_secs(5);
/// The longest text that is looked at.
const MAX_TEXT: usize = 256;

/// Who a bearer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The token's public half.
    pub token: TokenId,
    /// What people call it.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
}

/// The whole of an API token, with its secret half.
///
/// As text: `rmt1.<token id>.<32 random bytes in base64url>`. Only [`reveal`](Self::reveal) shows
/// the secret, and nobody keeps it but its bearer.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken {
    id: TokenId,
    secret: [u8; 32],
}

/// The text is no API token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an API token: expected `rmt1.<id>.<secret>` as `remuda token create` prints it")]
pub struct ParseApiTokenError;

impl ApiToken {
    /// A fresh token.
    ///
    /// # Panics
    ///
    /// When the operating system has no randomness to give, which no supported system does.
    pub fn random() -> Self {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).expect("the operating system gives randomness");
        Self { id: TokenId::random(), secret }
    }

    /// The public half.
    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// SHA-256 of the secret half, which is all that the state keeps of it.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }

    /// The text that its bearer presents.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}.{}.{}", self.id, BASE64_URL_SAFE_NO_PAD.encode(self.secret))
    }

    /// The record for the state. `ttl` counts from now; without it the token does not expire.
    pub fn record(&self, name: &str, scope: Scope, ttl: Option<Duration>) -> TokenRecord {
        let ttl_ms = |ttl: Duration| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let created_ms = wall_ms();
        TokenRecord {
            id: self.id.clone(),
            name: name.to_owned(),
            scope,
            hash: self.hash(),
            created_ms,
            expires_ms: ttl.map(|ttl| created_ms.saturating_add(ttl_ms(ttl))),
        }
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiToken({}, ***)", self.id)
    }
}

impl FromStr for ApiToken {
    type Err = ParseApiTokenError;

    fn from_str(text: &str) -> Result<Self, ParseApiTokenError> {
        parse(text.trim()).ok_or(ParseApiTokenError)
    }
}

fn parse(text: &str) -> Option<ApiToken> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let (id, secret) = text.strip_prefix(PREFIX)?.strip_prefix('.')?.rsplit_once('.')?;
    let secret = BASE64_URL_SAFE_NO_PAD.decode(secret).ok()?;
    Some(ApiToken { id: id.parse().ok()?, secret: secret.try_into().ok()? })
}

/// Who the bearer of this text is, by this state.
///
/// Takes the same time for an unknown token as for a wrong secret.
pub(crate) fn check(state: &ClusterState, bearer: &str, now_ms: u64) -> Result<Principal, Failure> {
    let token = parse(bearer).ok_or_else(invalid)?;
    let record = state.token(&token.id);
    let expected = record.map_or([0; 32], |record| record.hash);
    let matches = bool::from(token.hash().ct_eq(&expected));
    let record = record.filter(|_| matches).ok_or_else(invalid)?;
    if record.is_expired(now_ms) {
        return Err(Failure::new(ErrorKind::Unauthenticated, "the token has expired")
            .code("expired_token")
            .hint("have an administrator make another with `remuda token create`"));
    }
    Ok(Principal { token: record.id.clone(), name: record.name.clone(), scope: record.scope })
}

fn invalid() -> Failure {
    Failure::new(ErrorKind::Unauthenticated, "the token is not valid in this cluster")
        .code("invalid_token")
        .hint("check REMUDA_TOKEN or the context; tokens are made with `remuda token create`")
}

impl Control {
    /// Makes an API token. The text is shown here and never again.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for an empty name; when the change cannot be committed.
    pub async fn create_token(
        &self,
        name: &str,
        scope: Scope,
        ttl: Option<Duration>,
    ) -> Result<(TokenRecord, String), Failure> {
        if name.trim().is_empty() {
            return Err(Failure::invalid("a token needs a name")
                .hint("name who will use it, so that it can be revoked with a good conscience"));
        }
        let token = ApiToken::random();
        let record = token.record(name, scope, ttl);
        self.propose(Change::CreateToken(record.clone()), CHANGE).await?;
        Ok((record, token.reveal()))
    }

    /// All tokens by id, without their secrets.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) without a leader.
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>, Failure> {
        self.freshen(crate::Consistency::Linearizable).await?;
        Ok(self.known_tokens())
    }

    /// The tokens that this control node knows of, even without a leader.
    pub fn known_tokens(&self) -> Vec<TokenRecord> {
        self.shared.replica.state().tokens().cloned().collect()
    }

    /// Ends a token.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound); when the change cannot be committed.
    pub async fn revoke_token(&self, token: &TokenId) -> Result<(), Failure> {
        self.propose(Change::RevokeToken(token.clone()), CHANGE).await.map(drop)
    }

    /// Who the bearer of an API token is, as this control node knows.
    ///
    /// # Errors
    ///
    /// [`Unauthenticated`](ErrorKind::Unauthenticated).
    pub fn authenticate(&self, bearer: &str) -> Result<Principal, Failure> {
        check(&self.shared.replica.state(), bearer, wall_ms())
    }

    /// Resolves when a token has been revoked, as this control node knows, or has expired: whatever
    /// was opened with it ends then. At once when there is no such token.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn token_ended(&self, token: &TokenId) {
        let mut states = self.shared.replica.watch_state();
        loop {
            let record = states.borrow_and_update().token(token).cloned();
            let now_ms = wall_ms();
            let Some(record) = record.filter(|record| !record.is_expired(now_ms)) else { return };
            let left = record.expires_ms.map(|end| Duration::from_millis(end - now_ms));
            tokio::select! {
                // A node that stops has no state any more to decide by; its streams end with it.
                changed = states.changed() => if changed.is_err() { return },
                // The clock may be set meanwhile.
                () = tokio::time::sleep(left.unwrap_or(CLOCK).min(CLOCK)) => (),
            }
        }
    }

    /// What a new node of this role needs to join, as text. It is a secret.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) when this control node has no authority,
    /// [`Invalid`](ErrorKind::Invalid) for clients, which do not join.
    pub fn join_token(&self, role: Role) -> Result<String, Failure> {
        let authority = self.shared.authority()?;
        let token = authority.join_token(role).ok_or_else(|| {
            Failure::invalid("clients do not join")
                .hint("make an API token with `remuda token create`")
        })?;
        Ok(token.to_string())
    }

    /// Refuses a client whose token has been revoked, has expired or does not reach.
    pub(crate) fn client_may(&self, peer: &Peer, needed: Scope) -> Result<(), Failure> {
        let state = self.shared.replica.state();
        let id = token_of(peer);
        let record = id.as_ref().and_then(|id| state.token(id));
        let record = record.filter(|record| !record.is_expired(wall_ms())).ok_or_else(invalid)?;
        if record.scope < needed {
            return Err(Failure::new(ErrorKind::Forbidden, "the token does not allow this")
                .code("forbidden_scope"));
        }
        Ok(())
    }
}

/// The token of a client, by its name on its links.
pub(crate) fn token_of(client: &Peer) -> Option<TokenId> {
    client.node.as_str().parse().ok()
}

/// The name of a client on its links.
pub(crate) fn client_name(token: &TokenId) -> Result<NodeId, Failure> {
    token.as_str().parse().map_err(|_not_a_name| invalid())
}

#[cfg(test)]
mod tests {
    use remuda_state::Command;

    use super::*;

    fn made(scope: Scope, ttl: Option<Duration>) -> (TokenRecord, String) {
        let token = ApiToken::random();
        (token.record("ci", scope, ttl), token.reveal())
    }

    fn with(record: &TokenRecord) -> ClusterState {
        let mut state = ClusterState::new();
        let applied = state.apply(1, &Command::once(Change::CreateToken(record.clone())));
        applied.outcome.expect("created");
        state
    }

    fn code(result: Result<Principal, Failure>) -> String {
        result.expect_err("refused").code
    }

    #[test]
    fn the_bearer_of_a_token_is_known_by_its_text_alone() {
        let (record, text) = made(Scope::Operate, None);
        let state = with(&record);
        let principal = check(&state, &text, 0).expect("valid");
        assert_eq!((principal.token, principal.scope), (record.id.clone(), Scope::Operate));
        let (_, other) = made(Scope::Operate, None);
        assert_eq!(code(check(&state, &other, 0)), "invalid_token");
        let secret = other.rsplit('.').next().unwrap();
        let forged = format!("rmt1.{}.{secret}", record.id);
        assert_eq!(code(check(&state, &forged, 0)), "invalid_token");
    }

    #[test]
    fn texts_of_another_form_are_refused() {
        let (record, text) = made(Scope::Admin, None);
        let state = with(&record);
        let long = format!("{text}{}", "A".repeat(300));
        let other_form = text.replace("rmt1", "rmt2");
        for bad in ["", "rmt1", "rmt1..", &text[..text.len() - 4], &long, &other_form] {
            assert_eq!(code(check(&state, bad, 0)), "invalid_token", "{bad}");
        }
    }

    #[test]
    fn a_token_ends_at_its_time() {
        let (record, text) = made(Scope::Read, Some(Duration::from_mins(1)));
        let state = with(&record);
        let end = record.expires_ms.expect("an end");
        assert!(check(&state, &text, end - 1).is_ok());
        assert_eq!(code(check(&state, &text, end)), "expired_token");
    }

    #[test]
    fn a_token_is_its_text_and_shows_its_secret_only_when_asked() {
        let token = ApiToken::random();
        let text = token.reveal();
        assert_eq!(format!("{text}\n").parse(), Ok(token.clone()));
        assert_eq!("rmt1.x".parse::<ApiToken>(), Err(ParseApiTokenError));
        let secret = text.rsplit('.').next().unwrap();
        let record = token.record("ci", Scope::Read, None);
        assert!(!format!("{record:?} {token:?}").contains(secret));
    }
}
