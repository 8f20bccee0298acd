//! One call: a frame there, a frame back, and as few locks as possible between.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use remuda_wire::mux::{Key, Priority, Read, code};

use super::state::{Direction, Shared, State};
use crate::{CallError, LinkError};

pub(super) async fn call(
    shared: &Shared,
    protocol: &str,
    priority: Priority,
    body: Bytes,
    max: usize,
) -> Result<Bytes, CallError> {
    let mut call = Call { shared, key: None, answer: BytesMut::new(), max };
    let mut body = Some(body);
    poll_fn(|context| {
        shared.with(|state| match body.take() {
            Some(body) => call.start(state, protocol, priority, body, context),
            None => call.go_on(state, context),
        })
    })
    .await
}

struct Call<'a> {
    shared: &'a Shared,
    /// While the stream is ours.
    key: Option<Key>,
    /// What came so far.
    answer: BytesMut,
    max: usize,
}

impl Call<'_> {
    fn start(
        &mut self,
        state: &mut State,
        protocol: &str,
        priority: Priority,
        body: Bytes,
        context: &Context<'_>,
    ) -> Poll<Result<Bytes, CallError>> {
        let key = state.open(protocol, priority).map_err(CallError::NotSent)?;
        self.key = Some(key);
        state.mux.enqueue(key, body).expect("it was just opened");
        state.mux.finish(key).expect("it was just opened");
        state.mux.release_send(key);
        state.wait(key, Direction::Read, context)
    }

    fn go_on(
        &mut self,
        state: &mut State,
        context: &Context<'_>,
    ) -> Poll<Result<Bytes, CallError>> {
        let key = self.key.expect("polled only until it is ready");
        let result = loop {
            match state.mux.read(key) {
                Read::Chunk { bytes, .. } if self.answer.len() + bytes.len() > self.max => {
                    break Err(CallError::TooLarge);
                }
                Read::Chunk { bytes, last: true } if self.answer.is_empty() => break Ok(bytes),
                Read::Chunk { bytes, .. } => self.answer.extend_from_slice(&bytes),
                Read::End => break Ok(std::mem::take(&mut self.answer).freeze()),
                Read::Reset(reason) => {
                    break Err(CallError::Reset { code: reason.code, message: reason.text });
                }
                Read::Pending | Read::Stopped => match state.close_reason() {
                    None => return state.wait(key, Direction::Read, context),
                    Some(_) if state.mux.was_sent(key) => break Err(CallError::Lost),
                    Some(reason) => {
                        break Err(CallError::NotSent(LinkError::Closed(reason.clone())));
                    }
                },
            }
        };
        state.mux.release_recv(key);
        state.forget(key, Direction::Read);
        self.key = None;
        Poll::Ready(result)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.with(|state| {
                state.mux.give_up(key, code::CANCELLED, "the caller waits no more");
                state.forget(key, Direction::Read);
            });
        }
    }
}
