//! The API over real sockets, before a control node of its own.

mod bodies;
mod document;
mod files;
mod fixture;
mod gate;
mod limits;
mod live;
mod metrics;
mod node;
mod played;
mod runs;
mod schedules;
mod schema;
mod streams;
mod work;
