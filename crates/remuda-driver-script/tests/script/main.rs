//! The classes with real processes, under a real holder.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod events;
mod files;
mod functions;
mod repositories;
mod support;
