//! Runs tasks one step at a time, in an order that one seed decides.
//!
//! Time is Tokio's paused clock. Which of the tasks that are ready goes next is drawn at random from
//! their set, so that it does not matter in which order they were woken: Tokio wakes the waiters of
//! one channel in an order of its own.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

/// One life of a host, from its start to its crash; its tasks die with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Life(u64);

/// Of what outlives every host: the network, clients, faults.
pub(crate) const ETERNAL: Life = Life(0);

type Work = Pin<Box<dyn Future<Output = ()>>>;

struct Slot {
    life: Life,
    /// Absent while it runs.
    work: Option<Work>,
    waker: Waker,
}

#[derive(Default)]
struct Ready {
    tasks: Mutex<BTreeSet<u64>>,
    driver: Mutex<Option<Waker>>,
}

struct TaskWaker {
    task: u64,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        lock(&self.ready.tasks).insert(self.task);
        if let Some(driver) = lock(&self.ready.driver).take() {
            driver.wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The tasks of one simulation.
#[derive(Default)]
pub(crate) struct Executor {
    slots: RefCell<BTreeMap<u64, Slot>>,
    ready: Arc<Ready>,
    last_task: Cell<u64>,
    last_life: Cell<u64>,
    /// Whose task runs.
    current: Cell<Option<Life>>,
    /// Whose tasks do not run for the time being.
    frozen: RefCell<BTreeSet<Life>>,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// This task ran.
    Ran(u64),
    /// This task panicked.
    Panicked,
    /// No task is ready.
    Idle,
}

impl Executor {
    pub(crate) fn new_life(&self) -> Life {
        self.last_life.set(self.last_life.get() + 1);
        Life(self.last_life.get())
    }

    /// The life whose task runs, or the eternal one.
    pub(crate) fn current(&self) -> Life {
        self.current.get().unwrap_or(ETERNAL)
    }

    pub(crate) fn spawn(&self, life: Life, work: Work) {
        let task = self.last_task.get() + 1;
        self.last_task.set(task);
        let waker = Waker::from(Arc::new(TaskWaker { task, ready: Arc::clone(&self.ready) }));
        waker.wake_by_ref();
        self.slots.borrow_mut().insert(task, Slot { life, work: Some(work), waker });
    }

    /// Ends a life: all its tasks are dropped where they are.
    pub(crate) fn kill(&self, life: Life) {
        self.frozen.borrow_mut().remove(&life);
        let dead: Vec<Slot> = {
            let mut slots = self.slots.borrow_mut();
            slots.extract_if(.., |_, slot| slot.life == life).map(|(_, slot)| slot).collect()
        };
        // Only now, since what is dropped may wake others.
        drop(dead);
    }

    /// Stops the tasks of a life, or lets them go on.
    pub(crate) fn freeze(&self, life: Life, frozen: bool) {
        if frozen {
            self.frozen.borrow_mut().insert(life);
        } else {
            self.frozen.borrow_mut().remove(&life);
        }
    }

    /// The tasks that could go on, but for those that were woken after their end.
    fn able(&self) -> Vec<u64> {
        let mut ready = lock(&self.ready.tasks);
        let (slots, frozen) = (self.slots.borrow(), self.frozen.borrow());
        ready.retain(|task| slots.contains_key(task));
        let thawed = |task: &&u64| {
            frozen.is_empty() || slots.get(*task).is_some_and(|slot| !frozen.contains(&slot.life))
        };
        ready.iter().filter(thawed).copied().collect()
    }

    /// Lets one task go on.
    pub(crate) fn step(&self) -> Step {
        let task = {
            let able = self.able();
            if able.is_empty() {
                return Step::Idle;
            }
            let Some(task) = able.get(fastrand::usize(..able.len())).copied() else {
                return Step::Idle;
            };
            lock(&self.ready.tasks).remove(&task);
            let mut slots = self.slots.borrow_mut();
            let Some(slot) = slots.get_mut(&task) else { return Step::Idle };
            let Some(work) = slot.work.take() else { return Step::Idle };
            (task, work, slot.waker.clone(), slot.life)
        };
        let (task, mut work, waker, life) = task;
        let before = self.current.replace(Some(life));
        let polled =
            catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut Context::from_waker(&waker))));
        self.current.set(before);
        match polled {
            Ok(Poll::Pending) => {
                // Its host may have crashed meanwhile, by its own doing.
                if let Some(slot) = self.slots.borrow_mut().get_mut(&task) {
                    slot.work = Some(work);
                }
                Step::Ran(task)
            }
            Ok(Poll::Ready(())) => {
                let ended = self.slots.borrow_mut().remove(&task);
                drop((ended, work));
                Step::Ran(task)
            }
            Err(_) => {
                let ended = self.slots.borrow_mut().remove(&task);
                drop(ended);
                Step::Panicked
            }
        }
    }

    /// Waits until a task is ready.
    pub(crate) async fn woken(&self) {
        std::future::poll_fn(|context| {
            *lock(&self.ready.driver) = Some(context.waker().clone());
            if self.able().is_empty() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// How many tasks there are.
    pub(crate) fn n_tasks(&self) -> usize {
        self.slots.borrow().len()
    }

    /// Drops all tasks.
    pub(crate) fn clear(&self) {
        loop {
            let slots = std::mem::take(&mut *self.slots.borrow_mut());
            if slots.is_empty() {
                return;
            }
            drop(slots);
        }
    }
}
