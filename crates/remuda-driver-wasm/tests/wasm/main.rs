//! Components that are loaded into a node: their life, their limits, and what is refused.

mod capabilities;
mod guests;
mod hostile;
mod life;
mod limits;
mod support;
mod tasks;
mod text;
