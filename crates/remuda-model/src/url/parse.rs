//! From text to address: the part of NkCLUSTER's SIP-like grammar that addresses of nodes need.
//!
//! ```text
//! list  = url *( "," url )
//! url   = addr | "<" addr ">" options
//! addr  = [ scheme ":" [ "//" ] ] host [ ":" port ] [ "/" path ] options
//! options = *( ";" key "=" value ) [ "?" key "=" value *( "&" key "=" value ) ]
//! ```

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{JoinUrl, MAX_TEXT, MAX_URLS, Transport};
use crate::cursor::{Cursor, is_space};

pub(super) fn list(text: &str) -> Result<Vec<JoinUrl>, String> {
    check_length(text)?;
    let mut urls = Vec::new();
    let mut cursor = Cursor::new(text);
    cursor.skip_space();
    if cursor.is_at_end() {
        return Ok(urls);
    }
    loop {
        if urls.len() == MAX_URLS {
            return Err(format!("more than {MAX_URLS} addresses"));
        }
        urls.push(url(&mut cursor)?);
        if cursor.is_at_end() {
            return Ok(urls);
        }
        expect(&mut cursor, ",")?;
    }
}

pub(super) fn single(text: &str) -> Result<JoinUrl, String> {
    check_length(text)?;
    let mut cursor = Cursor::new(text);
    let url = url(&mut cursor)?;
    if cursor.is_at_end() { Ok(url) } else { Err(unexpected(&cursor)) }
}

fn check_length(text: &str) -> Result<(), String> {
    if text.len() > MAX_TEXT { Err("longer than 16 KiB".to_owned()) } else { Ok(()) }
}

/// One address with the white space around it.
fn url(cursor: &mut Cursor<'_>) -> Result<JoinUrl, String> {
    cursor.skip_space();
    let bracketed = cursor.eat("<");
    scheme(cursor)?;
    let host = host(cursor)?;
    let port = port(cursor)?;
    let path = path(cursor);
    let mut options = Options::default();
    options.read(cursor)?;
    if bracketed {
        expect(cursor, ">")?;
        cursor.skip_space();
        options.read(cursor)?;
    }
    let transport = options.transport;
    if path.is_some() && !matches!(transport, Some(Transport::Ws | Transport::Wss)) {
        return Err("a path needs `;transport=wss` or `;transport=ws`".to_owned());
    }
    Ok(JoinUrl { host, port, transport, path })
}

fn scheme(cursor: &mut Cursor<'_>) -> Result<(), String> {
    cursor.skip_space();
    let mut ahead = cursor.clone();
    let word = ahead.take_while(|char| char.is_ascii_alphanumeric() || "+-.".contains(char));
    ahead.skip_space();
    if word.is_empty() || !ahead.eat(":") {
        return Ok(());
    }
    ahead.skip_space();
    let slashes = ahead.eat("//");
    if !["remuda", "nkcluster"].iter().any(|known| word.eq_ignore_ascii_case(known)) {
        if slashes {
            return Err(format!("unknown scheme `{word}`: expected `remuda`"));
        }
        return Ok(());
    }
    // A host may be called like a scheme: `remuda:1973`.
    if slashes || !ahead.peek().is_some_and(|char| char.is_ascii_digit()) || is_host_after(&ahead) {
        *cursor = ahead;
        cursor.skip_space();
    }
    Ok(())
}

/// Whether the digits that come next begin a host rather than being a port.
fn is_host_after(cursor: &Cursor<'_>) -> bool {
    let mut ahead = cursor.clone();
    ahead.take_while(|char| char.is_ascii_digit());
    ahead.peek().is_some_and(is_name)
}

fn host(cursor: &mut Cursor<'_>) -> Result<String, String> {
    if cursor.eat("[") {
        let text = cursor.take_while(|char| char != ']' && !is_space(char));
        let address: Ipv6Addr =
            text.parse().map_err(|_bad| format!("`{}` is no IPv6 address", short(text)))?;
        expect(cursor, "]")?;
        return Ok(address.to_string());
    }
    let text = cursor.take_while(is_name);
    let next = cursor.rest().trim_start_matches(is_space);
    // Not in what follows: paths may have such a sign.
    let next = next.split(['/', ';', '?', '<', '>', ',']).next().unwrap_or_default();
    if next.starts_with('@') || (next.starts_with(':') && next.contains('@')) {
        return Err("user and password in addresses are not supported: use a join token".to_owned());
    }
    match text {
        "" => Err("the host is missing".to_owned()),
        "all" => Ok(Ipv4Addr::UNSPECIFIED.to_string()),
        "all6" => Ok(Ipv6Addr::UNSPECIFIED.to_string()),
        _ if text.len() > 253 => Err("the host name is longer than 253 characters".to_owned()),
        _ if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => {
            let address: Ipv4Addr =
                text.parse().map_err(|_bad| format!("`{text}` is no IPv4 address"))?;
            Ok(address.to_string())
        }
        _ if text.starts_with(['.', '-']) || text.contains("..") => {
            Err(format!("`{text}` is no host name"))
        }
        _ => Ok(text.to_ascii_lowercase()),
    }
}

fn port(cursor: &mut Cursor<'_>) -> Result<Option<u16>, String> {
    cursor.skip_space();
    if !cursor.eat(":") {
        return Ok(None);
    }
    cursor.skip_space();
    let text = cursor.take_while(|char| char.is_ascii_alphanumeric());
    if cursor.peek() == Some(':') {
        return Err("an IPv6 address stands in brackets, as in [::1]:1973".to_owned());
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits => Ok(Some(port)),
        _ => Err(format!("bad port `{}`: expected a number from 0 to 65535", short(text))),
    }
}

fn path(cursor: &mut Cursor<'_>) -> Option<String> {
    cursor.skip_space();
    if cursor.peek() != Some('/') {
        return None;
    }
    let path = cursor.take_while(|char| char.is_ascii_graphic() && !";?<>,\"\\".contains(char));
    let path = path.trim_end_matches('/');
    cursor.skip_space();
    Some(path.to_owned()).filter(|path| !path.is_empty())
}

#[derive(Default)]
struct Options {
    transport: Option<Transport>,
}

impl Options {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), String> {
        cursor.skip_space();
        while cursor.eat(";") {
            self.one(cursor)?;
        }
        if cursor.eat("?") {
            self.one(cursor)?;
            while cursor.eat("&") {
                self.one(cursor)?;
            }
        }
        Ok(())
    }

    /// One option with the white space around it.
    fn one(&mut self, cursor: &mut Cursor<'_>) -> Result<(), String> {
        cursor.skip_space();
        let key = cursor.take_while(|char| is_name(char) || char == '_').to_owned();
        cursor.skip_space();
        let value = if cursor.eat("=") {
            cursor.skip_space();
            if cursor.peek() == Some('"') {
                Some(cursor.quoted().map_err(|(_, reason)| format!("option `{key}`: {reason}"))?)
            } else {
                Some(cursor.take_while(|char| !is_space(char) && !";?&<>,".contains(char)).into())
            }
        } else {
            None
        };
        cursor.skip_space();
        self.set(&short(&key), value.as_deref())
    }

    fn set(&mut self, key: &str, value: Option<&str>) -> Result<(), String> {
        match (key, value) {
            ("", _) => Err("the name of an option is missing after `;`".to_owned()),
            ("transport", None | Some("")) => Err("option `transport` needs a value".to_owned()),
            ("transport", Some(_)) if self.transport.is_some() => {
                Err("option `transport` is given twice".to_owned())
            }
            ("transport", Some(value)) => {
                let transport = value.parse().map_err(|error| format!("option `{key}`: {error}"));
                self.transport = Some(transport?);
                Ok(())
            }
            ("password", _) => {
                Err("option `password` is not supported: join with a token instead".to_owned())
            }
            _ => Err(format!("unknown option `{key}`")),
        }
    }
}

fn expect(cursor: &mut Cursor<'_>, word: &str) -> Result<(), String> {
    if cursor.eat(word) { Ok(()) } else { Err(unexpected(cursor)) }
}

fn unexpected(cursor: &Cursor<'_>) -> String {
    match cursor.peek() {
        Some(char) => format!("unexpected {char:?} at character {}", cursor.at()),
        None => "it ends too early".to_owned(),
    }
}

fn is_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | '.' | '_')
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
