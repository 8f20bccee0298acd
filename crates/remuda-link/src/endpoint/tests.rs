//! Endpoints against each other and against strangers, over real sockets of this machine.

mod client;
mod hostile;
mod joining;
mod links;
mod support;
mod trust;
