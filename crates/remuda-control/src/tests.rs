//! Clusters of several control nodes and small workers in one process, over the links of memory.

mod cluster;
mod events;
mod failures;
mod fixture;
mod schedules;
mod work;
