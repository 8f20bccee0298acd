//! Programs with an API token.

use remuda_model::Role;

use super::support::{Cluster, TOKEN, code_of, echo, local, node, soon};
use crate::{Method, connect_client};

#[tokio::test]
async fn a_token_opens_a_link_for_its_holder() {
    let cluster = Cluster::new();
    let pin = cluster.authority.pin();
    for transport in ["tls", "wss", "quic", "tcp", "ws", "sctp", "mem"] {
        // Each counts its own failures.
        let server = cluster.control("ctl-1").serve();
        let at = server.listen(transport).await;
        let link = soon(connect_client(&at, Some(pin), TOKEN)).await.expect("a link");
        assert_eq!(link.peer().node, node("ctl-1"));
        assert_eq!(soon(echo(&link, "hi")).await.expect("an answer"), "hi", "{transport}");
        let wrong = soon(connect_client(&at, Some(pin), "rmt1.token-1.guess")).await;
        assert_eq!(code_of(wrong), "auth_failed", "{transport}");
    }
    let mut control = cluster.control("ctl-2");
    let at = control.listen("tls").await;
    let link = soon(connect_client(&at, Some(pin), TOKEN)).await.expect("a link");
    let peer = soon(control.links.recv()).await.expect("its other end").peer().clone();
    assert_eq!((&peer.node, peer.role), (&node("token-1"), Role::Client));
    assert_eq!(peer.authenticated_by, Method::Bearer);
    drop(link);
}

#[tokio::test]
async fn a_token_is_shown_to_control_nodes_of_the_right_cluster_only() {
    let (cluster, other) = (Cluster::new(), Cluster::new());
    let pin = cluster.authority.pin();
    let foreign = other.control("ctl-1").serve();
    let worker = cluster.worker("w-1").serve();
    for transport in ["tls", "wss", "quic"] {
        let at = foreign.listen(transport).await;
        assert_eq!(code_of(soon(connect_client(&at, Some(pin), TOKEN)).await), "tls");
        let at = worker.listen(transport).await;
        assert_eq!(code_of(soon(connect_client(&at, Some(pin), TOKEN)).await), "tls");
        assert_eq!(code_of(connect_client(&local(transport), None, TOKEN).await), "no_pin");
    }
}
