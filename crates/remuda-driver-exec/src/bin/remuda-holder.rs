//! The holder as a program of its own: `remuda-holder holder --dir DIR`.
//!
//! The agent's own program does the same under its hidden command `holder`; this one serves those
//! who embed the class `exec` in a program without such a command.

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use remuda_model::Chain;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let result = match arguments.as_slice() {
        [command, flag, dir] if command == "holder" && flag == "--dir" => {
            remuda_driver_exec::run_holder(&PathBuf::from(dir)).map_err(|e| Chain(&e).to_string())
        }
        _ => Err("usage: remuda-holder holder --dir DIR".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            drop(writeln!(io::stderr(), "error: {message}"));
            ExitCode::FAILURE
        }
    }
}
