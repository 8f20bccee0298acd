//! What links of each version carry besides.

use std::time::Duration;

use bytes::Bytes;
use remuda_model::{Release, Role, TraceContext};
use remuda_runtime::trace;

use super::support::{Cluster, ECHO, TestNode, soon};
use crate::{Incoming, Link, Priority};

/// Calls over each transport, within a trace; gives what the other side saw of it.
async fn called(
    dialler: Release,
    listener: Release,
    transport: &str,
    context: Option<TraceContext>,
) -> (u16, String, Option<TraceContext>) {
    let cluster = Cluster::new();
    let mut control = cluster.control("ctl-1");
    let worker = cluster.worker("w-1");
    control.endpoint.set_release(listener);
    worker.endpoint.set_release(dialler);
    let at = control.listen(transport).await;
    let (near, far) = worker.link_to(&mut control, &at).await;
    assert_eq!(near.peer().protocol, far.peer().protocol);
    assert_eq!(near.peer().version, listener.version);
    assert_eq!(far.peer().version, dialler.version);
    let call = call(&near, context);
    let answer = async {
        let Incoming { protocol, trace, mut stream, .. } = far.accept().await.expect("a stream");
        let body = stream.read_to_end(100).await.expect("a call");
        stream.finish_with(body).await.expect("an answer");
        (protocol, trace)
    };
    let ((), (protocol, trace)) = soon(async { tokio::join!(call, answer) }).await;
    (far.peer().protocol, protocol, trace)
}

async fn call(link: &Link, context: Option<TraceContext>) {
    let body = Bytes::from_static(b"hello");
    let call = link.call(ECHO, Priority::Calls, body.clone(), Duration::from_secs(5));
    let answer = match context {
        Some(context) => trace::within(context, call).await,
        None => call.await,
    };
    assert_eq!(answer.expect("an answer"), body);
}

#[tokio::test]
async fn a_trace_goes_over_links_of_version_2_only() {
    let context = TraceContext::root(true);
    let (now, before) = (Release::CURRENT, Release::PREVIOUS);
    for transport in ["tls", "quic", "wss", "tcp"] {
        let seen = called(now, now, transport, Some(context)).await;
        assert_eq!(seen, (2, ECHO.to_owned(), Some(context)), "{transport}");
        assert_eq!(called(now, now, transport, None).await, (2, ECHO.to_owned(), None));
        for (dialler, listener) in [(before, now), (now, before), (before, before)] {
            let seen = called(dialler, listener, transport, Some(context)).await;
            assert_eq!(seen, (1, ECHO.to_owned(), None), "{transport}");
        }
    }
}

#[tokio::test]
async fn a_handler_works_within_the_trace_of_its_caller() {
    let cluster = Cluster::new();
    let control = cluster.control("ctl-1");
    let at = control.listen("tls").await;
    let TestNode { mut links, supervisor, .. } = control;
    let mut router = crate::Router::new();
    router.route(ECHO, &[Role::Worker], |_link, mut stream| async move {
        let inside = trace::current().map_or_else(String::new, |context| context.to_string());
        // The caller may have gone.
        let _gone = stream.finish_with(inside.into()).await;
    });
    let routes = supervisor.clone();
    supervisor.spawn("serve", async move {
        while let Some(link) = links.recv().await {
            router.serve(link, &routes).await;
        }
    });
    let worker = cluster.worker("w-1");
    let link = soon(worker.endpoint.dial(&at)).await.expect("a link");
    let ask = || link.call(ECHO, Priority::Calls, Bytes::new(), Duration::from_secs(5));
    assert_eq!(ask().await.expect("an answer"), "", "nothing is traced by itself");
    let context = TraceContext::root(false);
    let inside = trace::within(context, ask()).await.expect("an answer");
    let inside: TraceContext =
        std::str::from_utf8(&inside).expect("text").parse().expect("a context");
    assert_eq!((inside.trace, inside.flags), (context.trace, context.flags));
    assert_ne!(inside.span, context.span, "a span of its own");
    supervisor.token().cancel();
}
