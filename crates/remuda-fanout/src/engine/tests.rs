//! Engines at the end of a link in memory, with targets that do what the test says.

mod fairness;
mod faults;
mod flow;
mod schedule;
mod world;
