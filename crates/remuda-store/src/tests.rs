//! Whole replicas, connected in memory.

mod cluster;
mod commit;
mod conformance;
mod disk;
mod faults;
mod growth;
mod levels;
mod transplant;
