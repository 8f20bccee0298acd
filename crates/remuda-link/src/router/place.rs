//! Where the handling of one stream is, before it is known whether it needs a task.

use std::task::{Context, Poll};

use tokio::task::coop::unconstrained;
use tokio_util::sync::ReusableBoxFuture;

/// Memory for one handler, used again by the next one while handlers end at their first step
/// and streams come one after the other.
#[derive(Default)]
pub(super) struct Place(Option<ReusableBoxFuture<'static, ()>>);

impl Place {
    /// Puts a handler in, whatever was there.
    pub(super) fn put(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        match &mut self.0 {
            Some(place) => place.set(work),
            None => self.0 = Some(ReusableBoxFuture::new(work)),
        }
    }

    /// Takes the first step. It is not measured by what other handlers have done in this task: one
    /// that could go on must not wait only for that.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(work) = &mut self.0 else { return Poll::Ready(()) };
        let mut step = unconstrained(std::future::poll_fn(|context| work.poll(context)));
        std::pin::Pin::new(&mut step).poll(context)
    }

    /// Whether there is memory for a handler, used or not.
    pub(super) fn holds_memory(&self) -> bool {
        self.0.is_some()
    }

    /// Takes the handler out, to be run elsewhere.
    pub(super) fn take(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let work = self.0.take();
        async move {
            if let Some(work) = work {
                work.await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use remuda_runtime::contained;
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn what_ends_at_once_leaves_the_place_to_the_next() {
        let mut place = Place::default();
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            let (done, mut seen) = oneshot::channel();
            place.put(async move { done.send(()).unwrap() });
            assert!(place.poll(&mut context).is_ready());
            assert_eq!(seen.try_recv(), Ok(()));
        }
    }

    #[tokio::test]
    async fn what_waits_goes_on_elsewhere() {
        let mut place = Place::default();
        let (go, gone) = oneshot::channel::<()>();
        let (done, seen) = oneshot::channel();
        place.put(async move {
            gone.await.unwrap();
            done.send(()).unwrap();
        });
        assert!(place.poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let elsewhere = tokio::spawn(place.take());
        // Nothing of the first one is left for the second.
        place.put(async {});
        assert!(place.poll(&mut Context::from_waker(Waker::noop())).is_ready());
        go.send(()).unwrap();
        seen.await.unwrap();
        elsewhere.await.unwrap();
    }

    #[test]
    fn a_panic_at_the_first_step_is_the_end_of_that_handler_only() {
        let mut place = Place::default();
        let mut context = Context::from_waker(Waker::noop());
        place.put(contained("bad", async { panic!("on purpose") }));
        assert!(place.poll(&mut context).is_ready());
        place.put(async {});
        assert!(place.poll(&mut context).is_ready());
    }
}
