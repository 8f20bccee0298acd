//! The program from outside: help, errors, exit codes, and commands against an API of paper.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::needless_raw_string_hashes, reason = "updating the expected texts writes them")]

mod api;
mod commands;
mod dev;
mod errors;
mod help;
mod run;
mod status;
