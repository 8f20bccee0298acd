//! A small cluster to test with.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use remuda_model::{ClusterId, ErrorKind, Failure, Generation, LinkUrl, NodeId, Role};
use remuda_runtime::Supervisor;
use remuda_wire::{
    decode, encode,
    handshake::Secret,
    message::{JOIN, join},
};
use tokio::sync::mpsc;

use crate::{
    Admission, Authority, DialError, Endpoint, EndpointConfig, Identity, Limits, Link,
    NodeCertificate, Peer, Priority, Router, answer_join,
};

/// The protocol that every test node answers with what it was sent.
pub(super) const ECHO: &str = "test/echo/1";
/// The API token of [`Door`].
pub(super) const TOKEN: &str = "rmt1.token-1.secret";

pub(super) fn url(text: &str) -> LinkUrl {
    text.parse().expect("a URL")
}

/// This machine, any free port.
pub(super) fn local(transport: &str) -> LinkUrl {
    url(&format!("remuda://127.0.0.1:0;transport={transport}"))
}

pub(super) fn node(text: &str) -> NodeId {
    text.parse().expect("a node name")
}

/// Everything within this time, so that no test hangs.
pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("in time")
}

/// Strangers are cut off fast, refusals come at once.
pub(super) fn limits() -> Limits {
    Limits { refusal_delay: Duration::from_millis(1), ..Limits::default() }
}

/// An admission whose decisions a test can change.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) authority: Authority,
    pub(super) secret: Option<Secret>,
    pub(super) revoked: Mutex<BTreeSet<Vec<u8>>>,
    pub(super) unwelcome: Mutex<BTreeSet<NodeId>>,
}

impl Admission for Door {
    fn join_secret(&self, role: Role) -> Option<Secret> {
        self.secret.clone().or_else(|| self.authority.join_secret(role))
    }

    fn is_revoked(&self, _node: &NodeId, serial: &[u8]) -> bool {
        self.revoked.lock().expect("not poisoned").contains(serial)
    }

    fn client(&self, bearer: &str) -> Result<NodeId, Failure> {
        let unknown = || Failure::new(ErrorKind::Unauthenticated, "unknown token");
        (bearer == TOKEN).then(|| node("token-1")).ok_or_else(unknown)
    }

    fn admit(&self, peer: &Peer) -> Result<(), Failure> {
        if self.unwelcome.lock().expect("not poisoned").contains(&peer.node) {
            return Err(Failure::new(ErrorKind::Exists, "a node of this name is connected")
                .code("node_id_in_use"));
        }
        Ok(())
    }
}

/// A cluster's authority and what its nodes are made of.
pub(super) struct Cluster {
    pub(super) id: ClusterId,
    pub(super) authority: Authority,
}

impl Cluster {
    pub(super) fn new() -> Self {
        let id = ClusterId::random();
        Self { authority: Authority::generate(&id).expect("a CA"), id }
    }

    pub(super) fn identity(&self, name: &str, role: Role) -> Identity {
        let certificate = self.authority.certify(&node(name), role).expect("signed");
        self.identity_with(name, role, Some(certificate))
    }

    pub(super) fn identity_with(
        &self,
        name: &str,
        role: Role,
        certificate: Option<NodeCertificate>,
    ) -> Identity {
        let cluster = self.id.clone();
        Identity { node: node(name), cluster, role, generation: Generation(4), certificate }
    }

    pub(super) fn config(&self, name: &str, role: Role) -> (EndpointConfig, Arc<Door>) {
        let door = Arc::new(Door {
            authority: self.authority.clone(),
            secret: None,
            revoked: Mutex::default(),
            unwelcome: Mutex::default(),
        });
        let config = EndpointConfig {
            identity: self.identity(name, role),
            advertise: vec![url("remuda://10.0.0.1:1973")],
            allow_plaintext: false,
            admission: Arc::clone(&door) as Arc<dyn Admission>,
            secret: self.authority.join_secret(role),
            limits: limits(),
        };
        (config, door)
    }

    pub(super) fn control(&self, name: &str) -> TestNode {
        let (config, door) = self.config(name, Role::Control);
        TestNode::new(config, door)
    }

    pub(super) fn worker(&self, name: &str) -> TestNode {
        let (config, door) = self.config(name, Role::Worker);
        TestNode::new(config, door)
    }
}

/// One node; ends when dropped.
pub(super) struct TestNode {
    pub(super) endpoint: Endpoint,
    pub(super) links: mpsc::Receiver<Link>,
    pub(super) door: Arc<Door>,
    pub(super) supervisor: Supervisor,
}

impl TestNode {
    pub(super) fn new(config: EndpointConfig, door: Arc<Door>) -> Self {
        let supervisor = Supervisor::new();
        let (endpoint, links) =
            Endpoint::new(config, supervisor.clone()).expect("a usable certificate");
        Self { endpoint, links, door, supervisor }
    }

    pub(super) async fn listen(&self, transport: &str) -> LinkUrl {
        self.endpoint.listen(&local(transport)).await.expect("a free port")
    }

    /// Dials and gives both ends.
    pub(super) async fn link_to(&self, other: &mut Self, at: &LinkUrl) -> (Link, Link) {
        let dialled = soon(self.endpoint.dial(at)).await.expect("a link");
        let accepted = soon(other.links.recv()).await.expect("its other end");
        (dialled, accepted)
    }

    /// Answers [`ECHO`] and [`JOIN`] on every link that comes in.
    pub(super) fn serve(self) -> Server {
        let Self { endpoint, mut links, door, supervisor } = self;
        let authority = door.authority.clone();
        let mut router = Router::new();
        let everybody: &[Role] = &[Role::Worker, Role::Control, Role::Client];
        router.route(ECHO, everybody, |_link, mut stream| async move {
            let Ok(body) = stream.read_to_end(1 << 20).await else { return };
            // The caller may have gone.
            let _gone = stream.finish_with(body).await;
        });
        router.route(JOIN, everybody, move |link, mut stream| {
            let authority = authority.clone();
            async move {
                let Ok(body) = stream.read_to_end(1 << 20).await else { return };
                let Ok(request) = decode::<join::Request>(&body) else { return };
                let answer = answer_join(&authority, link.peer(), request, Vec::new());
                let _gone = stream.finish_with(encode(&answer)).await;
            }
        });
        let (routes, serving) = (supervisor.clone(), router.clone());
        supervisor.spawn("serve", async move {
            while let Some(link) = links.recv().await {
                let (router, supervisor) = (serving.clone(), routes.clone());
                routes.spawn("link", async move { router.serve(link, &supervisor).await });
            }
        });
        Server { endpoint, router, supervisor }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.supervisor.token().cancel();
    }
}

/// A node that answers calls.
pub(super) struct Server {
    pub(super) endpoint: Endpoint,
    router: Router,
    supervisor: Supervisor,
}

impl Server {
    /// Invites whoever waits there, and answers it.
    pub(super) async fn invite(&self, at: &LinkUrl) -> Result<Link, DialError> {
        let link = soon(self.endpoint.invite(at)).await?;
        let (router, supervisor, its) =
            (self.router.clone(), self.supervisor.clone(), link.clone());
        self.supervisor.spawn("link", async move { router.serve(its, &supervisor).await });
        Ok(link)
    }

    pub(super) async fn listen(&self, transport: &str) -> LinkUrl {
        self.endpoint.listen(&local(transport)).await.expect("a free port")
    }
}

/// Calls [`ECHO`].
pub(super) async fn echo(link: &Link, text: &'static str) -> Result<Bytes, crate::CallError> {
    link.call(ECHO, Priority::Calls, Bytes::from_static(text.as_bytes()), Duration::from_secs(5))
        .await
}

/// The code with which dialling failed.
pub(super) fn code_of(outcome: Result<Link, DialError>) -> String {
    outcome.expect_err("no link").code().to_owned()
}
