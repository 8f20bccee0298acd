//! Whole workers against control nodes that the tests play.

mod boot;
mod calls;
mod class;
mod cluster;
mod events;
mod files;
mod owner;
mod tasks;
