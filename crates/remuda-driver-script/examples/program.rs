//! What an agent's program does besides being the agent: `holder --dir DIR`, `function-helper` and
//! `script-run DIR`. The tests of this crate run it; a program that embeds the classes does the same.

use std::{
    env,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use remuda_model::Chain;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let failed = match arguments.as_slice() {
        [command] if command == "function-helper" => {
            return remuda_driver_script::run_function_helper();
        }
        [command, dir] if command == "script-run" => {
            return remuda_driver_script::run_script(Path::new(dir));
        }
        [command, flag, dir] if command == "holder" && flag == "--dir" => {
            match remuda_driver_exec::run_holder(Path::new(dir)) {
                Ok(()) => return ExitCode::SUCCESS,
                Err(error) => Chain(&error).to_string(),
            }
        }
        _ => "usage: program holder --dir DIR | function-helper | script-run DIR".to_owned(),
    };
    drop(writeln!(io::stderr(), "error: {failed}"));
    ExitCode::FAILURE
}
