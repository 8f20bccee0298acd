//! Bytes over TCP, and whether a target is there.

use std::{borrow::Cow, fmt};

use remuda_model::{
    Failure,
    run::{DEFAULT_BODY, MAX_BODY, MAX_TOTAL_MS, Ping, PingMode, Secrets, Tcp, Until},
};

use super::{
    TlsPlan,
    field::{bad, port, secret_template, size, within},
    fill::{self, FillError},
};
use crate::{Template, Values};

const TCP_PORT: &str = "command.tcp.port";
const SEND: &str = "command.tcp.send";
const PING_PORT: &str = "command.ping.port";
/// The most echoes.
const MAX_TRIES: u8 = 10;

/// Bytes over TCP, checked.
#[derive(Debug)]
pub struct TcpPlan {
    /// When the answer is whole.
    pub until: Until,
    /// A text that must be in the answer.
    pub expect: Option<String>,
    /// How TLS is done, if it is.
    pub tls: Option<TlsPlan>,
    /// How much of the answer is kept, in bytes.
    pub keep: usize,
    port: Template,
    send: Option<Template>,
}

/// What one target gets. `Debug` does not show it: it may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct TcpCall<'a> {
    /// The port.
    pub port: u16,
    /// What is sent; may be nothing.
    pub send: Cow<'a, str>,
    /// The name that the certificate must have, if it is another than the host.
    pub tls_name: Option<Cow<'a, str>>,
}

impl TcpPlan {
    pub(super) fn check(tcp: &Tcp, secrets: &Secrets) -> Result<Self, Failure> {
        let until = "command.tcp.until";
        match &tcp.until {
            Until::Bytes(bytes) => drop(within(until, *bytes, 1..=MAX_BODY)?),
            Until::Idle(ms) => drop(within(until, *ms, 1..=MAX_TOTAL_MS)?),
            Until::Text(text) if text.is_empty() => return Err(bad(until, "the text is empty")),
            Until::Text(text) => size(until, text)?,
            Until::Connected | Until::Closed | Until::Line => {}
        }
        let expect = "command.tcp.expect";
        match &tcp.expect {
            Some(_) if tcp.until == Until::Connected => {
                return Err(bad(expect, "no answer is read when `until` is `connected`"));
            }
            Some(text) if text.is_empty() => return Err(bad(expect, "the text is empty")),
            Some(text) => size(expect, text)?,
            None => {}
        }
        let keep = tcp.output.unwrap_or(DEFAULT_BODY);
        let tls = tcp.tls.as_ref().map(|tls| TlsPlan::check("command.tcp.tls", tls));
        let send = tcp.send.as_deref().map(|text| secret_template(SEND, text, secrets));
        Ok(Self {
            until: tcp.until.clone(),
            expect: tcp.expect.clone(),
            tls: tls.transpose()?,
            keep: within("command.tcp.output", keep, 0..=MAX_BODY)? as usize,
            port: port(TCP_PORT, &tcp.port)?,
            send: send.transpose()?,
        })
    }

    /// What a target gets.
    ///
    /// # Errors
    ///
    /// When a value is missing, or does not belong where it stands.
    pub fn fill<'a>(&'a self, values: &Values<'a>) -> Result<TcpCall<'a>, FillError> {
        let send = self.send.as_ref().map(|template| fill::text(SEND, template, values));
        let name = self.tls.as_ref().map(|tls| tls.name("command.tcp.tls.name", values));
        Ok(TcpCall {
            port: fill::port(TCP_PORT, Some(&self.port), 0, values)?,
            send: send.transpose()?.unwrap_or_default(),
            tls_name: name.transpose()?.flatten(),
        })
    }
}

impl fmt::Debug for TcpCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpCall").field("port", &self.port).finish_non_exhaustive()
    }
}

/// Whether a target is there, checked.
#[derive(Debug)]
pub struct PingPlan {
    /// How it is found out.
    pub mode: PingMode,
    /// How many echoes are asked for at most.
    pub tries: u8,
    port: Option<Template>,
}

/// How one target is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingCall {
    /// The port for TCP.
    pub port: u16,
}

impl PingPlan {
    pub(super) fn check(ping: &Ping, at_most_once: bool) -> Result<Self, Failure> {
        let tries = ping.tries.unwrap_or(if at_most_once { 1 } else { 2 });
        within("command.ping.tries", tries, 1..=MAX_TRIES)?;
        if at_most_once && tries > 1 {
            let reason = "a run that contacts no target twice asks for one echo";
            return Err(bad("command.ping.tries", reason));
        }
        let port = ping.port.as_deref().map(|text| port(PING_PORT, text)).transpose()?;
        Ok(Self { mode: ping.mode, tries, port })
    }

    /// How a target is looked for.
    ///
    /// # Errors
    ///
    /// When a value is missing, or is no port.
    pub fn fill(&self, values: &Values<'_>) -> Result<PingCall, FillError> {
        Ok(PingCall { port: fill::port(PING_PORT, self.port.as_ref(), 22, values)? })
    }
}
