//! HTTP requests.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use remuda_model::{
    Failure,
    run::{DEFAULT_BODY, Http, Keep, MAX_BODY, Payload, Secrets},
};

use super::{
    PollPlan, TlsPlan,
    field::{bad, is_token, secret_template, size, template, within},
    fill::{self, FillError},
};
use crate::{HttpUrl, StatusSet, Template, Values};

/// The most headers of a request, and of those to be kept.
const MAX_HEADERS: usize = 64;
/// The longest name of a header, and of a method, in bytes.
const MAX_TOKEN: usize = 256;
/// The longest value of a header, in bytes.
const MAX_VALUE: usize = 32 << 10;
/// The most redirects.
const MAX_REDIRECTS: u8 = 3;
/// What says where a message ends or whom a connection belongs to; the worker writes it itself.
const OWN_HEADERS: [&str; 7] =
    ["connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"];

const URL: &str = "command.http.url";

/// HTTP requests, checked.
#[derive(Debug)]
pub struct HttpPlan {
    /// The method.
    pub method: String,
    /// Which statuses are as expected.
    pub expect: StatusSet,
    /// How many redirects are followed.
    pub redirects: u8,
    /// How `https` is done.
    pub tls: TlsPlan,
    /// How much of a body is kept, in bytes.
    pub keep_body: usize,
    /// Which headers are kept.
    pub keep_headers: Keep,
    /// Questions after the first answer.
    pub poll: Option<PollPlan>,
    url: Template,
    headers: Vec<(String, Template)>,
    body: Option<Body>,
}

#[derive(Debug)]
enum Body {
    Text(Template),
    Bytes(Vec<u8>),
}

/// The request to one target. `Debug` shows neither headers nor body: they may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpCall<'a> {
    /// The method.
    pub method: &'a str,
    /// The URL.
    pub url: HttpUrl,
    /// Names and values, in the order of the spec.
    pub headers: Vec<(&'a str, Cow<'a, str>)>,
    /// The body.
    pub body: Option<Cow<'a, [u8]>>,
    /// The name that the certificate must have, if it is another than the host.
    pub tls_name: Option<Cow<'a, str>>,
}

impl HttpPlan {
    pub(super) fn check(http: &Http, secrets: &Secrets) -> Result<Self, Failure> {
        check_method(&http.method)?;
        let url = template(URL, &http.url)?;
        check_start(&url)?;
        if http.headers.len() > MAX_HEADERS {
            return Err(bad("command.http.headers", format_args!("at most {MAX_HEADERS}")));
        }
        let headers = http.headers.iter().enumerate().map(|(at, header)| {
            let field = format!("command.http.headers[{at}]");
            check_name(&format!("{field}.name"), &header.name)?;
            let field = format!("{field}.value");
            let value = secret_template(&field, &header.value, secrets)?;
            if header.value.len() > MAX_VALUE || !is_value(&header.value) {
                return Err(bad(&field, NO_VALUE));
            }
            Ok((header.name.clone(), value))
        });
        let headers = headers.collect::<Result<_, _>>()?;
        let expect = http.expect.as_deref().map(StatusSet::parse).transpose();
        let expect = expect.map_err(|error| bad("command.http.expect", error))?;
        let keep = http.capture.body.unwrap_or(DEFAULT_BODY);
        within("command.http.capture.body", keep, 0..=MAX_BODY)?;
        check_keep(&http.capture.headers)?;
        Ok(Self {
            method: http.method.clone(),
            expect: expect.unwrap_or_default(),
            redirects: within("command.http.redirects", http.redirects, 0..=MAX_REDIRECTS)?,
            tls: TlsPlan::check("command.http.tls", &http.tls)?,
            keep_body: keep as usize,
            keep_headers: http.capture.headers.clone(),
            poll: http.poll.as_ref().map(PollPlan::check).transpose()?,
            url,
            headers,
            body: http.body.as_ref().map(|body| Body::check(body, secrets)).transpose()?,
        })
    }

    /// The request to a target.
    ///
    /// # Errors
    ///
    /// When a value is missing, or does not belong where it stands.
    pub fn fill<'a>(&'a self, values: &Values<'a>) -> Result<HttpCall<'a>, FillError> {
        let url = self.url.fill_url(values).map_err(|error| FillError::new(URL, error))?;
        let url = HttpUrl::parse(&url).map_err(|error| FillError::new(URL, error))?;
        let headers = self.headers.iter().enumerate().map(|(at, (name, value))| {
            let wrong = |reason: &dyn fmt::Display| {
                FillError::new(format!("command.http.headers[{at}].value"), reason)
            };
            let value = value.fill(values).map_err(|error| wrong(&error))?;
            // It must not be said what the value is: it may be a secret.
            if value.len() > MAX_VALUE || !is_value(&value) {
                return Err(wrong(&NO_VALUE));
            }
            Ok((&**name, value))
        });
        let headers = headers.collect::<Result<_, _>>()?;
        let body = self.body.as_ref().map(|body| body.fill(values)).transpose()?;
        let tls_name = self.tls.name("command.http.tls.name", values)?;
        Ok(HttpCall { method: &self.method, url, headers, body, tls_name })
    }

    pub(super) fn check_target(&self, values: &Values<'_>) -> Result<(), FillError> {
        let call = self.fill(values)?;
        match &self.poll {
            Some(poll) => poll.url(&call.url, values, "1").map(drop),
            None => Ok(()),
        }
    }
}

impl Body {
    fn check(body: &Payload, secrets: &Secrets) -> Result<Self, Failure> {
        match body {
            Payload::Text(text) => {
                secret_template("command.http.body.text", text, secrets).map(Self::Text)
            }
            Payload::Base64(text) => {
                size("command.http.body.base64", text)?;
                let bytes = STANDARD.decode(text);
                bytes.map(Self::Bytes).map_err(|error| bad("command.http.body.base64", error))
            }
        }
    }

    fn fill<'a>(&'a self, values: &Values<'a>) -> Result<Cow<'a, [u8]>, FillError> {
        match self {
            Self::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Self::Text(template) => {
                Ok(match fill::text("command.http.body.text", template, values)? {
                    Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                    Cow::Owned(text) => Cow::Owned(text.into_bytes()),
                })
            }
        }
    }
}

impl fmt::Debug for HttpCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCall")
            .field("method", &self.method)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

const NO_VALUE: &str = "a value of a header is one line of at most 32 KiB";

fn is_value(value: &str) -> bool {
    !value.contains(|character: char| character.is_ascii_control() && character != '\t')
}

fn check_method(method: &str) -> Result<(), Failure> {
    if !is_token(method) || method.len() > MAX_TOKEN {
        return Err(bad("command.http.method", "not a method, such as `GET`"));
    }
    if method.eq_ignore_ascii_case("CONNECT") {
        return Err(bad("command.http.method", "CONNECT makes tunnels and is not supported"));
    }
    if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
        let upper = method.to_ascii_uppercase();
        return Err(bad("command.http.method", format_args!("methods are written `{upper}`")));
    }
    Ok(())
}

/// What is written out at the beginning must be a scheme.
fn check_start(url: &Template) -> Result<(), Failure> {
    let start = url.start();
    let lower = start.to_ascii_lowercase();
    let could_be = |scheme: &str| {
        lower.starts_with(scheme) || (!url.is_constant() && scheme.starts_with(&*lower))
    };
    if could_be("http://") || could_be("https://") {
        Ok(())
    } else {
        Err(bad(URL, "a URL begins with `http://` or `https://`"))
    }
}

fn check_name(field: &str, name: &str) -> Result<(), Failure> {
    if !is_token(name) || name.len() > MAX_TOKEN {
        return Err(bad(field, "not a name of a header"));
    }
    if OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return Err(bad(field, format_args!("`{name}` is set by the worker itself")));
    }
    Ok(())
}

fn check_keep(keep: &Keep) -> Result<(), Failure> {
    let field = "command.http.capture.headers";
    let Keep::Only(names) = keep else { return Ok(()) };
    if names.is_empty() || names.len() > MAX_HEADERS {
        return Err(bad(field, format_args!("1 to {MAX_HEADERS} names")));
    }
    match names.iter().find(|name| !is_token(name) || name.len() > MAX_TOKEN) {
        Some(_) => Err(bad(field, "not a name of a header")),
        None => Ok(()),
    }
}
