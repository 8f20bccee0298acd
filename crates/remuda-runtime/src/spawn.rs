//! Where tasks run: on Tokio, unless a simulator has taken over the thread.

use std::{
    cell::RefCell,
    fmt,
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::{sync::oneshot, task::JoinHandle};

/// A task as a simulator gets it.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
type Simulator = Rc<dyn Fn(Task)>;

thread_local! {
    static SIMULATOR: RefCell<Option<Simulator>> = const { RefCell::new(None) };
}

fn simulator() -> Option<Simulator> {
    SIMULATOR.with_borrow(Clone::clone)
}

/// Gives the tasks of this thread to `run` instead of Tokio, and does blocking work on the spot,
/// until the guard is dropped. For deterministic simulation.
pub fn simulate(run: impl Fn(Task) + 'static) -> Simulated {
    let before = SIMULATOR.replace(Some(Rc::new(run)));
    Simulated { before, _on_this_thread: PhantomData }
}

/// The time of a simulation on this thread.
pub struct Simulated {
    before: Option<Simulator>,
    _on_this_thread: PhantomData<Rc<()>>,
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulated").finish_non_exhaustive()
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        SIMULATOR.set(self.before.take());
    }
}

/// The task has no result: it panicked, or its runtime has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task ended without a result")]
pub struct Ended {
    /// Whether it panicked.
    pub panicked: bool,
}

/// Waits for the result of a task. Dropping it leaves the task running.
pub struct Handle<T>(Inner<T>);

enum Inner<T> {
    Tokio(JoinHandle<T>),
    Simulated(oneshot::Receiver<T>),
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl<T> Future for Handle<T> {
    type Output = Result<T, Ended>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Inner::Tokio(handle) => {
                Pin::new(handle).poll(context).map_err(|error| Ended { panicked: error.is_panic() })
            }
            Inner::Simulated(result) => {
                Pin::new(result).poll(context).map_err(|_dropped| Ended { panicked: false })
            }
        }
    }
}

/// Starts a task.
///
/// # Panics
///
/// Outside of a Tokio runtime.
pub fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Handle<T> {
    Handle(match simulator() {
        None => Inner::Tokio(tokio::spawn(work)),
        Some(run) => {
            let (done, result) = oneshot::channel();
            // Whoever has started it may not want the result.
            run(Box::pin(async move { drop(done.send(work.await)) }));
            Inner::Simulated(result)
        }
    })
}

/// Does work that waits for a disk or takes long, apart from the tasks.
///
/// # Errors
///
/// When the work panics.
///
/// # Cancel safety
///
/// Work that has begun goes on when the future is dropped.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Ended> {
    if simulator().is_some() {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Ended { panicked: error.is_panic() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_run_on_tokio() {
        assert_eq!(spawn(async { 7 }).await, Ok(7));
        assert_eq!(blocking(|| 8).await, Ok(8));
        let panicked = spawn(async { panic!("on purpose") }).await;
        assert_eq!(panicked, Err::<(), _>(Ended { panicked: true }));
    }

    #[tokio::test]
    async fn a_simulator_gets_the_tasks_of_its_thread() {
        let taken: Rc<RefCell<Vec<Task>>> = Rc::default();
        let into = Rc::clone(&taken);
        let simulated = simulate(move |task| into.borrow_mut().push(task));
        let handle = spawn(async { 7 });
        let task = taken.borrow_mut().pop().expect("it was given the task");
        task.await;
        assert_eq!(handle.await, Ok(7));
        let dropped = spawn(async { 8 });
        taken.borrow_mut().clear();
        assert_eq!(dropped.await, Err(Ended { panicked: false }));
        drop(simulated);
        assert_eq!(spawn(async { 9 }).await, Ok(9));
    }
}
