//! Sends requests: connects, reuses connections, and tells what a failure means.

use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT},
    http::request,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use remuda_model::{Chain, ErrorKind, Failure};
use remuda_runtime::trace;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    ClientConfig, body,
    config::Address,
    connection::{self, Sender},
    dto::ErrorBody,
    tls,
};

/// Idle connections kept for the next call.
const MAX_IDLE: usize = 4;
/// How long they are kept: shorter than the API keeps them.
const MAX_IDLE_TIME: Duration = Duration::from_secs(30);

/// One call before it is sent.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Option<Bytes>,
    pub(super) headers: Vec<(&'static str, String)>,
    /// What the call may take longer than others.
    pub(super) patience: Duration,
}

impl Call {
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            body: None,
            headers: Vec::new(),
            patience: Duration::ZERO,
        }
    }

    /// With a query, when there is anything in it.
    pub(super) fn query(mut self, pairs: &[(&str, Option<String>)]) -> Self {
        let mut separator = '?';
        for (key, value) in pairs {
            if let Some(value) = value {
                self.path.push(separator);
                self.path.push_str(key);
                self.path.push('=');
                self.path.push_str(value);
                separator = '&';
            }
        }
        self
    }

    pub(super) fn body(mut self, body: &impl Serialize) -> Result<Self, Failure> {
        let json = serde_json::to_vec(body).map_err(|error| Failure::internal(&error))?;
        self.body = Some(json.into());
        Ok(self)
    }
}

/// Where calls go.
pub(super) struct Transport {
    address: Address,
    authorization: HeaderValue,
    tls: Option<Arc<rustls::ClientConfig>>,
    timeout: Duration,
    /// With the time since when they are.
    idle: Mutex<Vec<(Sender, Instant)>>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Transport {
    pub(super) fn new(config: &ClientConfig) -> Result<Self, Failure> {
        let address: Address = config.address.parse()?;
        let tls = match (&config.ca, address.tls) {
            (_, false) => None,
            (Some(ca), true) => Some(Arc::new(tls::client_config(ca)?)),
            (None, true) => {
                return Err(Failure::invalid("`https` needs a certificate authority to trust")
                    .hint("give the cluster's authority, for example by REMUDA_CA"));
            }
        };
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", config.token))
            .map_err(|_not_text| {
                Failure::invalid("the API token has characters that no token has")
            })?;
        authorization.set_sensitive(true);
        Ok(Self { address, authorization, tls, timeout: config.timeout, idle: Mutex::default() })
    }

    pub(super) fn address(&self) -> String {
        let scheme = if self.address.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address.authority())
    }

    /// Makes a call and reads its answer.
    pub(super) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, Failure> {
        read_json(&self.whole(call).await?)
    }

    /// Makes a call whose answer says nothing.
    pub(super) async fn nothing(&self, call: Call) -> Result<(), Failure> {
        self.whole(call).await.map(drop)
    }

    /// Makes a call whose answer goes on and on.
    pub(super) async fn stream(&self, call: Call) -> Result<Incoming, Failure> {
        let deadline = self.deadline(&call);
        let method = call.method.clone();
        let (_sender, response) = self.in_time(deadline, &method, self.exchange(call)).await?;
        if response.status().is_success() {
            Ok(response.into_body())
        } else {
            let status = response.status();
            let read = body::read_all(response.into_body());
            Err(failure(status, &self.in_time(deadline, &Method::GET, read).await?))
        }
    }

    /// Makes a call whose body goes on and on, on a connection of its own, and reads its answer.
    /// The time of the call begins anew whenever some of the body was sent.
    pub(super) async fn upload<T, B>(&self, call: Call, body: B) -> Result<T, Failure>
    where
        T: DeserializeOwned,
        B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let method = call.method.clone();
        let connecting = connection::connect(&self.address, self.tls.as_ref());
        let mut sender = self.in_time(self.deadline(&call), &method, connecting).await?;
        let (watched, moved) = watched(body);
        let patience = self.timeout + call.patience;
        let request = self.head(call).body(watched).map_err(|error| Failure::internal(&error))?;
        let answered = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(|error| self.broken(ErrorKind::OutcomeUnknown, &error))?;
            let status = response.status();
            Ok::<_, Failure>((status, body::read_all(response.into_body()).await?))
        };
        let (status, bytes) = tokio::select! {
            biased;
            answered = answered => answered?,
            () = stalled(moved, patience) => {
                let text = format!("{} takes no more", self.address.authority());
                return Err(Failure::new(ErrorKind::OutcomeUnknown, text));
            }
        };
        if status.is_success() { read_json(&bytes) } else { Err(failure(status, &bytes)) }
    }

    /// The status and the body of a call, whatever the status is.
    pub(super) async fn raw(&self, call: Call) -> Result<(StatusCode, Bytes), Failure> {
        let deadline = self.deadline(&call);
        let method = call.method.clone();
        let work = async {
            let (sender, response) = self.exchange(call).await?;
            let status = response.status();
            let bytes = body::read_all(response.into_body()).await?;
            self.keep(sender);
            Ok((status, bytes))
        };
        self.in_time(deadline, &method, work).await
    }

    /// Makes a call whose answer is no JSON.
    pub(super) async fn bytes(&self, call: Call) -> Result<Bytes, Failure> {
        self.whole(call).await
    }

    async fn whole(&self, call: Call) -> Result<Bytes, Failure> {
        let (status, bytes) = self.raw(call).await?;
        if status.is_success() { Ok(bytes) } else { Err(failure(status, &bytes)) }
    }

    fn deadline(&self, call: &Call) -> Instant {
        Instant::now() + self.timeout + call.patience
    }

    async fn in_time<T>(
        &self,
        deadline: Instant,
        method: &Method,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        timeout_at(deadline, work).await.unwrap_or_else(|_elapsed| {
            let kind =
                if *method == Method::GET { ErrorKind::Unavailable } else { ErrorKind::TimedOut };
            Err(Failure::new(kind, format!("no answer from {} in time", self.address.authority())))
        })
    }

    /// Sends on an idle connection or a new one and awaits the head of the answer.
    async fn exchange(&self, call: Call) -> Result<(Sender, Response<Incoming>), Failure> {
        let request = self.request(call)?;
        let is_read = *request.method() == Method::GET;
        while let Some(mut sender) = self.take() {
            // Its last answer was read to the end, so that it is ready at once or closed.
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request.clone()).await {
                Ok(response) => return Ok((sender, response)),
                Err(mut error) => {
                    // The server may have closed the idle connection in the same moment: going on
                    // with another is harmless when nothing was sent, or for a read.
                    let harmless = is_read || error.take_message().is_some();
                    if !harmless {
                        return Err(self.broken(ErrorKind::OutcomeUnknown, &error.into_error()));
                    }
                }
            }
        }
        let mut sender = connection::connect(&self.address, self.tls.as_ref()).await?;
        match sender.try_send_request(request).await {
            Ok(response) => Ok((sender, response)),
            Err(mut error) => {
                let harmless = is_read || error.take_message().is_some();
                let kind =
                    if harmless { ErrorKind::Unavailable } else { ErrorKind::OutcomeUnknown };
                Err(self.broken(kind, &error.into_error()))
            }
        }
    }

    fn request(&self, mut call: Call) -> Result<Request<Full<Bytes>>, Failure> {
        let body = call.body.take();
        let mut head = self.head(call);
        if body.is_some() {
            head = head.header(CONTENT_TYPE, "application/json");
        }
        head.body(Full::new(body.unwrap_or_default())).map_err(|error| Failure::internal(&error))
    }

    /// A request without its body.
    fn head(&self, call: Call) -> request::Builder {
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .header(HOST, self.address.authority())
            .header(USER_AGENT, concat!("remuda/", env!("CARGO_PKG_VERSION")))
            .header(AUTHORIZATION, self.authorization.clone());
        if let Some(context) = trace::current() {
            request = request.header("traceparent", context.to_string());
        }
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        request
    }

    /// A call on a connection that broke.
    fn broken(&self, kind: ErrorKind, error: &hyper::Error) -> Failure {
        let cause =
            error.source().map_or_else(|| error.to_string(), |cause| Chain(cause).to_string());
        let failure = Failure::new(
            kind,
            format!("the connection to {} broke: {cause}", self.address.authority()),
        );
        if self.tls.is_some() {
            failure
        } else {
            failure.hint("when the API speaks TLS, write its address with `https://`")
        }
    }

    fn take(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < MAX_IDLE_TIME);
        idle.pop().map(|(sender, _since)| sender)
    }

    fn keep(&self, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !sender.is_closed() && idle.len() < MAX_IDLE {
            idle.push((sender, Instant::now()));
        }
    }
}

fn read_json<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        Failure::new(ErrorKind::Internal, format!("the API's answer cannot be read: {error}"))
            .hint("client and cluster may be of different versions")
    })
}

/// The body, and what changes whenever some of it is taken.
fn watched<B>(body: B) -> (impl Body<Data = B::Data, Error = B::Error> + Send, watch::Receiver<()>)
where
    B: Body + Send + 'static,
{
    let (taken, moved) = watch::channel(());
    let watched = body.map_frame(move |frame| {
        taken.send_replace(());
        frame
    });
    (watched, moved)
}

/// Text as a value of a query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Waits until nothing has moved for so long.
async fn stalled(mut moved: watch::Receiver<()>, patience: Duration) {
    loop {
        match timeout(patience, moved.changed()).await {
            Ok(Ok(())) => {}
            // All of the body is sent.
            Ok(Err(_)) => return sleep(patience).await,
            Err(_elapsed) => return,
        }
    }
}

/// The failure that an answer carries.
fn failure(status: StatusCode, bytes: &[u8]) -> Failure {
    match serde_json::from_slice::<ErrorBody>(bytes) {
        Ok(body) => body::tame(body.error),
        Err(_no_failure) => {
            let text: String = String::from_utf8_lossy(bytes).chars().take(200).collect();
            Failure::new(
                ErrorKind::Unavailable,
                format!("unexpected answer {status}: {}", text.trim().escape_debug()),
            )
            .hint("is this the address of a remuda API?")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_remuda_answer_is_shown_without_control_characters() {
        let failure = failure(StatusCode::BAD_GATEWAY, b"\x1b[31mproxy\n");
        assert_eq!(failure.kind, ErrorKind::Unavailable);
        assert!(!failure.message.contains('\x1b'), "{failure}");
        assert!(failure.message.contains("proxy"), "{failure}");
    }

    #[test]
    fn queries_hold_what_is_given() {
        let call = Call::new(Method::GET, "/v1/tasks").query(&[
            ("node", Some("a".to_owned())),
            ("class", None),
            ("running", Some("true".into())),
        ]);
        assert_eq!(call.path, "/v1/tasks?node=a&running=true");
    }
}
