//! The class `exec` with real holders and real processes.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;
mod survival;
mod tasks;
