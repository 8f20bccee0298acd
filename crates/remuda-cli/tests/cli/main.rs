//! The program from outside: help, errors, exit codes, and commands against an API of paper.

mod api;
mod commands;
mod errors;
mod help;
mod run;
