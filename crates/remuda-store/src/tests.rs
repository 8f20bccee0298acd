//! Whole replicas, connected in memory.

mod cluster;
mod conformance;
mod disk;
mod faults;
mod growth;
mod levels;
mod transplant;
