//! HTTP requests: one after another as redirects and polling have it, each over a connection of its
//! own.

mod exchange;
mod join;
mod poll;
mod redirect;

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use remuda_model::{
    Failure, VERSION,
    run::{Http, Keep, MAX_HEADERS, Payload, TroubleKind},
};
use remuda_run::{
    HttpUrl, Template, Values,
    check::{HttpCall, HttpPlan},
    template::Scope,
};

use self::redirect::Step;
use super::{
    Draft, Kept, Stop, Visit,
    connect::{self, Stream},
    tls::Judge,
};

/// What is said to a TLS server about what follows.
const ALPN: Option<&[u8]> = Some(b"http/1.1");

/// What headers and bodies may name.
const SECRETS: Scope = Scope { secrets: true, job: false };

/// What all requests of a run have in common.
pub(super) struct Common {
    method: Method,
    /// The names of the headers in the order of the plan, and whether each goes to no other server
    /// than the one it was meant for.
    headers: Vec<(HeaderName, bool)>,
    /// The body, if it is the same for all targets: many of them share its memory then.
    body: Option<Bytes>,
    judge: Judge,
}

impl Common {
    /// Reads the command of a run, which has been checked.
    ///
    /// # Errors
    /// Something of it is malformed.
    pub(super) fn new(http: &Http, plan: &HttpPlan) -> Result<Self, Failure> {
        let method = Method::from_bytes(http.method.as_bytes());
        let method = method.map_err(|error| Failure::invalid(format!("method: {error}")))?;
        let headers = http.headers.iter().map(|line| {
            let name = HeaderName::from_bytes(line.name.as_bytes());
            let name = name.map_err(|error| Failure::invalid(format!("headers: {error}")))?;
            let secret = has_secrets(&line.value);
            Ok((name.clone(), secret || is_credential(&name)))
        });
        let headers = headers.collect::<Result<_, Failure>>()?;
        Ok(Self {
            method,
            headers,
            body: constant(http.body.as_ref()),
            judge: Judge::new(&plan.tls, ALPN)?,
        })
    }
}

fn is_credential(name: &HeaderName) -> bool {
    [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION].contains(name)
}

/// A body in which nothing is filled in.
fn constant(body: Option<&Payload>) -> Option<Bytes> {
    match body? {
        Payload::Base64(text) => STANDARD.decode(text).ok().map(Bytes::from),
        Payload::Text(text) => {
            let template = Template::parse(text, SECRETS).ok()?;
            let text = template.is_constant().then(|| template.fill(&Values::default()).ok());
            text.flatten().map(|text| text.into_owned().into())
        }
    }
}

fn has_secrets(text: &str) -> bool {
    let template = Template::parse(text, SECRETS);
    template.is_ok_and(|template| template.secrets().next().is_some())
}

/// What one target is asked.
struct Ask {
    url: HttpUrl,
    method: Method,
    headers: Vec<(HeaderName, HeaderValue, bool)>,
    body: Bytes,
    /// The name that the certificate must have, if it is another than the host.
    tls_name: Option<String>,
}

/// One attempt at one target.
pub(super) async fn run(
    plan: &HttpPlan,
    common: &Common,
    visit: &Visit<'_>,
    draft: &mut Draft,
) -> Result<(), Stop> {
    let call = visit.fill(|values| plan.fill(values))?;
    let ask = Ask::new(call, common)?;
    let talk = Talk { plan, common, visit };
    match &plan.poll {
        None => {
            let status = talk.send(&ask, draft).await?;
            talk.judge(&ask.method, status)
        }
        Some(poll) => poll::run(poll, &talk, &ask, draft).await,
    }
}

/// What a target is asked with.
struct Talk<'a> {
    plan: &'a HttpPlan,
    common: &'a Common,
    visit: &'a Visit<'a>,
}

impl Talk<'_> {
    /// Whether a status is as expected.
    fn judge(&self, method: &Method, status: StatusCode) -> Result<(), Stop> {
        if self.plan.expect.contains(status.as_u16()) {
            return Ok(());
        }
        // Too many requests, and a server behind it that is away for a while.
        let passes = method.is_idempotent() && matches!(status.as_u16(), 429 | 502 | 503 | 504);
        Err(Stop { passes, ..Stop::new(TroubleKind::Status, format!("it answered {status}")) })
    }

    /// Sends a request, follows where it is redirected to, and keeps the last answer.
    async fn send(&self, ask: &Ask, draft: &mut Draft) -> Result<StatusCode, Stop> {
        let mut step = Step::first(ask.url.clone(), ask.method.clone());
        loop {
            let stream = self.connect(ask, &step, draft).await?;
            draft.sends(ask.method.is_idempotent());
            let request = ask.request(&step)?;
            let draft = &mut *draft;
            let read = async |answer: http::Response<Incoming>| {
                let (head, body) = answer.into_parts();
                draft.status = Some(head.status.as_u16().into());
                let location = head.headers.get(header::LOCATION).map(HeaderValue::as_bytes);
                let next = step.next(head.status, location, self.plan.redirects)?;
                if next.is_none() {
                    draft.headers = kept_headers(&head.headers, &self.plan.keep_headers);
                    draft.body = Kept::up_to(self.plan.keep_body);
                    exchange::body(body, &mut draft.body).await?;
                }
                Ok((head.status, next))
            };
            let answer = exchange::exchange(stream, request, self.visit.first_byte(), read);
            match answer.await? {
                (status, None) => return Ok(status),
                (_, Some(next)) => step = next,
            }
        }
    }

    async fn connect(&self, ask: &Ask, step: &Step, draft: &mut Draft) -> Result<Stream, Stop> {
        let Self { common, visit, .. } = self;
        let url = &step.url;
        let secure = if url.tls {
            let name = ask.tls_name.as_deref().filter(|_| step.trusted).unwrap_or(&url.host);
            Some(common.judge.secure(name, visit.roots()).await?)
        } else {
            None
        };
        let to = (&*url.host, url.port);
        connect::connect(visit.gate(), to, secure, visit.connect_limit(), draft).await
    }
}

fn kept_headers(headers: &HeaderMap, keep: &Keep) -> Vec<(String, String)> {
    let wanted = |name: &HeaderName| match keep {
        Keep::None => false,
        Keep::All => true,
        Keep::Only(names) => names.iter().any(|only| only.eq_ignore_ascii_case(name.as_str())),
    };
    let kept = headers.iter().filter(|(name, _)| wanted(name)).map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    // What is no UTF-8 grows in between.
    let mut left = MAX_HEADERS;
    kept.take_while(|(name, value)| {
        let size = name.len() + value.len();
        let fits = size <= left;
        left = left.saturating_sub(size);
        fits
    })
    .collect()
}

impl Ask {
    fn new(call: HttpCall<'_>, common: &Common) -> Result<Self, Stop> {
        let headers = common.headers.iter().zip(&call.headers).map(|((name, own), (_, value))| {
            let value = HeaderValue::from_bytes(value.as_bytes());
            let mut value = value.map_err(|_invalid| {
                let message = format!("the value of the header `{name}` has control characters");
                Stop::new(TroubleKind::Template, message)
            })?;
            value.set_sensitive(*own);
            Ok((name.clone(), value, *own))
        });
        let body = match (&common.body, call.body) {
            (Some(body), _) => body.clone(),
            (None, Some(body)) => body.into_owned().into(),
            (None, None) => Bytes::new(),
        };
        Ok(Self {
            url: call.url,
            method: common.method.clone(),
            headers: headers.collect::<Result<_, Stop>>()?,
            body,
            tls_name: call.tls_name.map(Cow::into_owned),
        })
    }

    fn request(&self, step: &Step) -> Result<Request<Full<Bytes>>, Stop> {
        let body = if step.body { self.body.clone() } else { Bytes::new() };
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 5);
        for (name, value, own) in &self.headers {
            // The name of the first server says nothing at another.
            let belongs = step.trusted || !(*own || *name == header::HOST);
            if belongs && (step.body || !speaks_of_body(name)) {
                headers.append(name, value.clone());
            }
        }
        if !headers.contains_key(header::HOST) {
            let host = HeaderValue::try_from(step.url.authority());
            let host = host.map_err(|error| Stop::new(TroubleKind::Internal, error.to_string()))?;
            headers.insert(header::HOST, host);
        }
        let usual = [
            (header::USER_AGENT, HeaderValue::from_static(user_agent())),
            (header::ACCEPT, HeaderValue::from_static("*/*")),
        ];
        for (name, value) in usual {
            if !headers.contains_key(&name) {
                headers.insert(name, value);
            }
        }
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let expects_body = [Method::POST, Method::PUT, Method::PATCH].contains(&step.method);
        if !body.is_empty() || expects_body {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = step.method.clone();
        *request.headers_mut() = headers;
        let path = step.url.path_and_query.parse();
        *request.uri_mut() = path.map_err(|error: http::uri::InvalidUri| {
            Stop::new(TroubleKind::Template, format!("`{}`: {error}", step.url.path_and_query))
        })?;
        Ok(request)
    }
}

/// Whether a header says something of the body that goes with it.
fn speaks_of_body(name: &HeaderName) -> bool {
    [header::CONTENT_TYPE, header::CONTENT_ENCODING].contains(name)
}

fn user_agent() -> &'static str {
    static AGENT: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| format!("remuda/{VERSION}"));
    &AGENT
}
