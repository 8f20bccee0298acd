//! Endpoints against each other and against strangers, over real sockets of this machine.

mod client;
mod hostile;
mod joining;
mod links;
mod rotation;
mod support;
mod trust;
mod versions;
mod waiting;
