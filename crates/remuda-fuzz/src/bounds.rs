//! How much memory and time a parser may take for an input.
//!
//! Memory is counted for each thread by an allocator around that of the system, so that tests may
//! run side by side.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    fmt,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// No single allocation may be larger than so many times the input…
const TIMES: usize = 16;
/// …and so many bytes.
const FREE: usize = 1 << 20;
/// All that is held at a time may be larger by this factor: containers in containers.
const HELD: usize = 4;
/// No input may take longer, by the clock of the thread's own work.
pub const MAX_TIME: Duration = Duration::from_millis(100);

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
    static HELD_NOW: Cell<isize> = const { Cell::new(0) };
    static HELD_MOST: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator with counters.
#[derive(Debug)]
pub struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn note(taken: usize, freed: usize) {
    // A thread that ends has no counters any more; nothing is measured there.
    let _ended = LARGEST.try_with(|largest| largest.set(largest.get().max(taken)));
    let change = taken.cast_signed() - freed.cast_signed();
    let _ended = HELD_NOW.try_with(|held| {
        held.set(held.get() + change);
        HELD_MOST.with(|most| most.set(most.get().max(held.get())));
    });
}

#[expect(unsafe_code, reason = "an allocator is unsafe by nature; this one only counts")]
// SAFETY: every call goes to the system's allocator with the arguments that came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size, layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// What a run has used.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// The largest single allocation, in bytes.
    pub largest: usize,
    /// The most that was held at a time, in bytes.
    pub held: usize,
    /// Processor time of the thread.
    pub time: Duration,
}

/// More memory than an input may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    bytes: usize,
    allowed: usize,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of memory, and {} are allowed", self.bytes, self.allowed)
    }
}

/// Runs something and tells what it used.
pub fn measure(run: impl FnOnce()) -> Used {
    LARGEST.set(0);
    HELD_NOW.set(0);
    HELD_MOST.set(0);
    let start = clock_gettime(ClockId::ThreadCPUTime);
    run();
    let end = clock_gettime(ClockId::ThreadCPUTime);
    let (largest, held) = (LARGEST.get(), HELD_MOST.get());
    let nanoseconds = (end.tv_sec - start.tv_sec) * 1_000_000_000 + end.tv_nsec - start.tv_nsec;
    Used {
        largest,
        held: usize::try_from(held).unwrap_or(0),
        time: Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0)),
    }
}

impl Used {
    /// Compares memory with what an input of this length may cost.
    pub fn check(&self, input: usize) -> Result<(), Excess> {
        let allowed = TIMES * input + FREE;
        for (bytes, allowed) in [(self.largest, allowed), (self.held, HELD * allowed)] {
            if bytes > allowed {
                return Err(Excess { bytes, allowed });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_and_bounded() {
        let modest = measure(|| drop(vec![0_u8; FREE]));
        assert_eq!(modest.check(0), Ok(()));
        let greedy = measure(|| drop(vec![0_u8; FREE + 17]));
        assert_eq!(greedy.check(1), Err(Excess { bytes: FREE + 17, allowed: FREE + 16 }));
        let many = measure(|| drop((0..5).map(|_| vec![0_u8; FREE]).collect::<Vec<_>>()));
        assert!(many.check(0).is_err(), "{many:?}");
        let in_turn = measure(|| (0..5).for_each(|_| drop(vec![0_u8; FREE])));
        assert_eq!(in_turn.check(0), Ok(()));
    }
}
