//! Hostile bytes for every parser of bytes from outside.
//!
//! A [`Target`] feeds bytes to one group of parsers. [`Target::check`] does so within [bounds](bounds):
//! nothing panics, no allocation is out of proportion to the input. The same targets run in two ways:
//!
//! - as an ordinary test (`tests/short.rs`): inputs made from the seeds by [`mutate::Mutator`];
//! - under libFuzzer, guided by coverage: `cargo xtask fuzz`.

pub mod bounds;
pub mod mutate;
mod targets;

pub use targets::TARGETS;

/// One group of parsers.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// How it is called on the command line.
    pub name: &'static str,
    /// Feeds bytes to the parsers.
    pub run: fn(&[u8]),
    /// Inputs that make sense, for mutations to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

impl Target {
    /// The target of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Feeds bytes to the parsers and holds them to the bounds on memory.
    ///
    /// # Panics
    ///
    /// When a parser panics or takes memory out of proportion.
    pub fn check(&self, input: &[u8]) {
        let used = bounds::measure(|| (self.run)(input));
        if let Err(excess) = used.check(input.len()) {
            panic!("{}: {excess}", self.name);
        }
    }
}
