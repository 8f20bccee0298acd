//! What links must do, over every transport between real endpoints.

mod conformance;

use std::sync::Arc;

use remuda_link::{
    Admission, Authority, Endpoint, EndpointConfig, Identity, Limits, Link, Peer, Secret,
};
use remuda_model::{ClusterId, Failure, Generation, NodeId, Role};
use remuda_runtime::Supervisor;
use tokio::sync::mpsc;

struct OpenDoor(Authority);

impl Admission for OpenDoor {
    fn join_secret(&self, role: Role) -> Option<Secret> {
        self.0.join_secret(role)
    }

    fn is_revoked(&self, _node: &NodeId, _serial: &[u8]) -> bool {
        false
    }

    fn client(&self, _bearer: &str) -> Result<NodeId, Failure> {
        Err(Failure::not_found("no clients here"))
    }

    fn admit(&self, _peer: &Peer) -> Result<(), Failure> {
        Ok(())
    }
}

fn endpoint(authority: &Authority, role: Role) -> (Endpoint, mpsc::Receiver<Link>) {
    let node = NodeId::random();
    let certificate = authority.certify(&node, role).expect("signed");
    let identity = Identity {
        node,
        cluster: authority.cluster().clone(),
        role,
        generation: Generation(1),
        certificate: Some(certificate),
    };
    let config = EndpointConfig {
        identity,
        advertise: Vec::new(),
        allow_plaintext: false,
        admission: Arc::new(OpenDoor(authority.clone())),
        secret: authority.join_secret(role),
        limits: Limits::default(),
    };
    Endpoint::new(config, Supervisor::new()).expect("a usable certificate")
}

/// A worker dials a control node.
async fn pair(transport: &str) -> (Link, Link) {
    let authority = Authority::generate(&ClusterId::random()).expect("a CA");
    let (control, mut links) = endpoint(&authority, Role::Control);
    let (worker, _) = endpoint(&authority, Role::Worker);
    let here = format!("remuda://127.0.0.1:0;transport={transport}");
    let at = control.listen(&here.parse().expect("a URL")).await.expect("a free port");
    let dialled = worker.dial(&at).await.expect("a link");
    (dialled, links.recv().await.expect("its other end"))
}

mod tls {
    crate::conformance::suite!(super::pair("tls"));
}

mod quic {
    crate::conformance::suite!(super::pair("quic"));
}

mod wss {
    crate::conformance::suite!(super::pair("wss"));
}

mod ws {
    crate::conformance::suite!(super::pair("ws"));
}

mod tcp {
    crate::conformance::suite!(super::pair("tcp"));
}

mod sctp {
    crate::conformance::suite!(super::pair("sctp"));
}

mod mem {
    crate::conformance::suite!(super::pair("mem"));
}
