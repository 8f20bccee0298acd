//! Passing one stream on into another.

use super::{RecvHalf, SendHalf, Stream, StreamError};
use crate::code;

/// Passes bytes on in both directions until both have finished. Ends and resets travel.
///
/// # Errors
///
/// The first error of either direction; both streams have ended by then.
///
/// # Cancel safety
///
/// Dropping the future drops, and so resets, both streams.
pub async fn splice(a: Stream, b: Stream) -> Result<(), StreamError> {
    let (mut a_send, mut a_recv) = a.split();
    let (mut b_send, mut b_recv) = b.split();
    let (there, back) =
        tokio::join!(pass(&mut a_recv, &mut b_send), pass(&mut b_recv, &mut a_send));
    there.and(back)
}

async fn pass(from: &mut RecvHalf, to: &mut SendHalf) -> Result<(), StreamError> {
    let result = copy(from, to).await;
    if let Err(error) = &result {
        let (code, message) = match error {
            StreamError::Reset { code, message } => (*code, message.as_str()),
            _ => (code::CANCELLED, "the link on the other side is closed"),
        };
        from.stop(code, message);
        to.reset(code, message);
    }
    result
}

async fn copy(from: &mut RecvHalf, to: &mut SendHalf) -> Result<(), StreamError> {
    loop {
        let chunk = tokio::select! {
            chunk = from.read_chunk() => chunk?,
            error = to.stopped() => return Err(error),
        };
        match chunk {
            Some(bytes) => to.write(bytes).await?,
            None => return to.finish(),
        }
    }
}
