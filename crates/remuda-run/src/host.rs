//! Names and addresses of hosts, in the one way in which a run writes them.

use std::{
    borrow::Cow,
    net::{Ipv4Addr, Ipv6Addr},
};

/// The longest name, in bytes, as in DNS.
pub const MAX_NAME: usize = 253;
/// The longest part of a name between dots, in bytes.
const MAX_LABEL: usize = 63;

/// The text is no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing.
    #[error("a host is missing")]
    Empty,
    /// `user@host`.
    #[error("a target has no user: give the user in the command, or as a variable of the target")]
    User,
    /// `host:port`.
    #[error(
        "a target has no port: give the port in the command, or as a variable, \
         such as `{{\"host\":\"…\",\"vars\":{{\"port\":\"8443\"}}}}` and `{{{{vars.port}}}}`"
    )]
    Port,
    /// `https://host`.
    #[error("a target is a host, not a URL: the URL belongs to the command")]
    Url,
    /// `fe80::1%eth0`.
    #[error("an address with a zone means another host on each worker")]
    Zone,
    /// A name in another alphabet.
    #[error("a name in other letters than a-z is written in its `xn--` form")]
    Letters,
    /// Too long.
    #[error("a name has at most 253 characters, and 63 between two dots")]
    Long,
    /// It looks like an address and is none.
    #[error("not an IPv4 address: four decimal numbers up to 255, without leading zeros")]
    Ipv4,
    /// It looks like an address and is none.
    #[error("not an IPv6 address")]
    Ipv6,
    /// Anything else.
    #[error("not a host name: it has {0:?}")]
    Character(char),
    /// Parts that are empty, or begin or end with a hyphen.
    #[error("not a host name: each part between dots begins and ends with a letter or digit")]
    Label,
}

/// Checks a host and gives the one way to write it: names in lower case and without a dot at the
/// end, IPv6 addresses short and without brackets.
///
/// # Errors
///
/// Says what it is instead of a host. What programs of old take for an address (`010.0.0.1`,
/// `127.1`, `0x7f000001`) is refused, since a policy would judge another host than is contacted.
pub fn canonical(text: &str) -> Result<Cow<'_, str>, HostError> {
    if text.is_empty() {
        return Err(HostError::Empty);
    }
    if text.contains("//") {
        return Err(HostError::Url);
    }
    if text.contains('@') {
        return Err(HostError::User);
    }
    if text.contains(':') {
        return ipv6(text).map(Cow::Owned);
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    check_name(name)?;
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Ok(Cow::Owned(name.to_ascii_lowercase()))
    } else {
        Ok(Cow::Borrowed(name))
    }
}

/// Whether a canonical host is an IPv6 address, which stands in brackets in a URL.
pub fn is_ipv6(host: &str) -> bool {
    host.contains(':')
}

fn ipv6(text: &str) -> Result<String, HostError> {
    let inner = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((inner, "")) => inner,
            Some((_, after)) if after.starts_with(':') => return Err(HostError::Port),
            _ => return Err(HostError::Ipv6),
        },
        None => text,
    };
    if inner.contains('%') {
        return Err(HostError::Zone);
    }
    if let Ok(address) = inner.parse::<Ipv6Addr>() {
        return Ok(address.to_string());
    }
    let one_colon = inner.split_once(':').filter(|(_, after)| !after.contains(':'));
    match one_colon {
        Some((_, after)) if after.bytes().all(|byte| byte.is_ascii_digit()) => Err(HostError::Port),
        _ => Err(HostError::Ipv6),
    }
}

fn check_name(name: &str) -> Result<(), HostError> {
    if name.len() > MAX_NAME {
        return Err(HostError::Long);
    }
    if let Some(bad) = name.chars().find(|&character| {
        !(character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_'))
    }) {
        return Err(if bad.is_ascii() { HostError::Character(bad) } else { HostError::Letters });
    }
    for label in name.split('.') {
        if label.len() > MAX_LABEL {
            return Err(HostError::Long);
        }
        if label.is_empty() || label.starts_with('-') || label.ends_with('-') {
            return Err(HostError::Label);
        }
    }
    // No top-level domain is a number, so this is an address or nothing.
    let last = name.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last
        .strip_prefix("0x")
        .or_else(|| last.strip_prefix("0X"))
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let number = last.bytes().all(|byte| byte.is_ascii_digit()) || hexadecimal;
    if number && name.parse::<Ipv4Addr>().is_err() {
        return Err(HostError::Ipv4);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_written_in_one_way() {
        for (text, host) in [
            ("web1", "web1"),
            ("Web1.Example.COM.", "web1.example.com"),
            ("_service.a-b.c", "_service.a-b.c"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("10.0.0.1", "10.0.0.1"),
            ("1password.com", "1password.com"),
            ("::1", "::1"),
            ("[2001:DB8:0:0::1]", "2001:db8::1"),
        ] {
            assert_eq!(canonical(text).expect(text), host);
        }
    }

    #[test]
    fn what_is_no_host_says_why() {
        for (text, error) in [
            ("", HostError::Empty),
            ("root@web1", HostError::User),
            ("web1:8443", HostError::Port),
            ("10.0.0.1:22", HostError::Port),
            ("[::1]:22", HostError::Port),
            ("https://web1/", HostError::Url),
            ("fe80::1%eth0", HostError::Zone),
            ("bücher.example", HostError::Letters),
            ("web1/x", HostError::Character('/')),
            ("a b", HostError::Character(' ')),
            ("a\u{1b}[2J", HostError::Character('\u{1b}')),
            (".", HostError::Label),
            ("a..b", HostError::Label),
            ("-a", HostError::Label),
            ("a-.b", HostError::Label),
            ("1.2.3", HostError::Ipv4),
            ("010.0.0.1", HostError::Ipv4),
            ("0x7f000001", HostError::Ipv4),
            ("2130706433", HostError::Ipv4),
            ("10.0.0.256", HostError::Ipv4),
            ("1::2::3", HostError::Ipv6),
            ("[::1", HostError::Ipv6),
        ] {
            assert_eq!(canonical(text), Err(error), "{text}");
        }
        assert_eq!(canonical(&"a".repeat(64)), Err(HostError::Long));
        assert_eq!(canonical(&["a"; 200].join(".")), Err(HostError::Long));
    }

    proptest! {
        #[test]
        fn a_host_stays_what_it_is(text in "\\PC{0,40}|[a-zA-Z0-9.:\\[\\]-]{0,40}") {
            if let Ok(host) = canonical(&text) {
                prop_assert_eq!(canonical(&host), Ok(Cow::Borrowed(&*host)).map(|same: Cow<'_, str>| same));
            }
        }
    }
}
