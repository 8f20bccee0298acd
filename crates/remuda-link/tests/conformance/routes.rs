//! Streams find their handlers.

use bytes::Bytes;
use remuda_link::{CallError, Link, Priority, Router, Stream, code};
use remuda_model::{ErrorKind, Role};
use remuda_runtime::Supervisor;

use super::SOON;

const EVERYBODY: &[Role] = &[Role::Control, Role::Worker, Role::Client];

async fn shout(_: Link, mut stream: Stream) {
    let said = stream.read_to_end(1000).await.expect("a call");
    stream.finish_with(said.to_ascii_uppercase().into()).await.expect("the caller waits");
}

/// Serves on the listening side, whose peer is a worker.
fn serve(listener: Link) -> Supervisor {
    let mut router = Router::new();
    router.route("shout", EVERYBODY, shout);
    router.route("secret", &[Role::Control], shout);
    router.route("panic", EVERYBODY, |_, stream| async move {
        let _stream = stream;
        panic!("on purpose");
    });
    let supervisor = Supervisor::new();
    let inner = supervisor.clone();
    supervisor.spawn("serve", async move { router.serve(listener, &inner).await });
    supervisor
}

async fn call(link: &Link, protocol: &str) -> Result<Bytes, CallError> {
    link.call(protocol, Priority::Calls, Bytes::from_static(b"hi"), SOON).await
}

fn code_of(answer: Result<Bytes, CallError>) -> (u32, ErrorKind) {
    let error = answer.expect_err("refused");
    let CallError::Reset { code, .. } = error else { panic!("not reset: {error:?}") };
    (code, error.into_failure("node `w1`").kind)
}

pub(crate) async fn unknown_protocols_are_refused(dialler: Link, listener: Link) {
    let supervisor = serve(listener);
    let answer = call(&dialler, "whisper").await;
    assert_eq!(code_of(answer), (code::UNKNOWN_PROTOCOL, ErrorKind::Unavailable));
    assert_eq!(call(&dialler, "shout").await.expect("an answer"), "HI");
    assert!(supervisor.shutdown(SOON).await);
}

pub(crate) async fn other_roles_are_refused(dialler: Link, listener: Link) {
    let supervisor = serve(listener);
    let answer = call(&dialler, "secret").await;
    assert_eq!(code_of(answer), (code::FORBIDDEN, ErrorKind::Forbidden));
    assert!(supervisor.shutdown(SOON).await);
}

pub(crate) async fn a_panic_ends_one_call_only(dialler: Link, listener: Link) {
    let supervisor = serve(listener);
    let answer = call(&dialler, "panic").await;
    assert_eq!(code_of(answer), (code::CANCELLED, ErrorKind::OutcomeUnknown));
    assert_eq!(call(&dialler, "shout").await.expect("an answer"), "HI");
    assert!(supervisor.shutdown(SOON).await);
}
