//! Join tokens: what a new node needs to know of its cluster.

use std::{fmt, str::FromStr};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use remuda_model::ClusterId;
use zeroize::Zeroize as _;

/// What a new node needs to join: which cluster, which CA to believe, and the secret to prove.
///
/// As text: `rmd1.<cluster>.<pin>.<secret>`, the latter two in base64url. `Display` shows the secret
/// and `Debug` does not.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// The cluster.
    pub cluster: ClusterId,
    /// The SHA-256 of the public key of the cluster's CA.
    pub pin: [u8; 32],
    /// The secret; which one it is decides the role of the new node.
    pub secret: [u8; 32],
}

/// The text is no join token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a join token: expected `rmd1.<cluster>.<pin>.<secret>` as `remuda cluster join-token` prints it"
)]
pub struct ParseTokenError;

impl FromStr for JoinToken {
    type Err = ParseTokenError;

    fn from_str(text: &str) -> Result<Self, ParseTokenError> {
        let parse = || {
            let mut parts = text.trim().strip_prefix("rmd1.")?.split('.');
            let cluster = parts.next()?.parse().ok()?;
            let pin = bytes(parts.next()?)?;
            let secret = bytes(parts.next()?)?;
            parts.next().is_none().then_some(Self { cluster, pin, secret })
        };
        parse().ok_or(ParseTokenError)
    }
}

fn bytes(text: &str) -> Option<[u8; 32]> {
    // 43 characters make 32 bytes.
    let decoded = (text.len() == 43).then(|| BASE64_URL_SAFE_NO_PAD.decode(text))?.ok()?;
    decoded.try_into().ok()
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encode = |bytes: &[u8; 32]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        write!(f, "rmd1.{}.{}.{}", self.cluster, encode(&self.pin), encode(&self.secret))
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({}, ***)", self.cluster)
    }
}

impl Drop for JoinToken {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_its_text() {
        let token = JoinToken {
            cluster: "00000000000000000000000001".parse().expect("a cluster id"),
            pin: [0xfb; 32],
            secret: [0xff; 32],
        };
        let text = token.to_string();
        assert_eq!(
            text,
            "rmd1.00000000000000000000000001.-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s\
             .__________________________________________8"
        );
        assert_eq!(text.parse(), Ok(token.clone()));
        assert_eq!(format!(" {text}\n").parse(), Ok(token.clone()));
        assert!(!format!("{token:?}").contains("____"));
    }

    #[test]
    fn other_texts_are_refused() {
        let good = "rmd1.00000000000000000000000001.-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s\
                    .__________________________________________8";
        assert!(good.parse::<JoinToken>().is_ok());
        let short = &good[..good.len() - 4];
        let long = format!("{good}AAAA");
        let padded = format!("{good}=");
        let more = format!("{good}.x");
        let version = good.replace("rmd1", "rmd2");
        for bad in ["", "rmd1", "rmd1...", short, &long, &padded, &more, &version] {
            assert_eq!(bad.parse::<JoinToken>(), Err(ParseTokenError), "{bad}");
        }
    }
}
