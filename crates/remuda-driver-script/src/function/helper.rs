//! The process in which one function runs.

use std::{
    io::{self, BufRead, Read, Write},
    process::ExitCode,
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use remuda_model::Chain;
use rustix::process::{Signal, getpid, kill_process};

use super::{
    engine,
    protocol::{Call, MAX_CALL},
    sandbox::{self, SandboxError},
    voice::Voice,
};

/// Why a function cannot be run.
#[derive(Debug, thiserror::Error)]
enum HelperError {
    #[error("nothing to run came on standard input")]
    Input(#[source] io::Error),
    #[error("what came on standard input cannot be read")]
    Call(#[source] serde_json::Error),
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    #[error("the engine failed")]
    Engine,
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

/// Runs the function that standard input names, and says on standard output how it goes. Ends when
/// standard input does, whatever the function does.
///
/// To be called first thing in a process of its own, which has one thread.
pub fn run_function_helper() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut chain = Chain(&error).to_string();
            chain.insert_str(0, "cannot run the function: ");
            drop(writeln!(io::stderr(), "{chain}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), HelperError> {
    // Whatever is sent to the group of the one who started it is not for this process: that one
    // decides.
    let _ = rustix::process::setsid();
    let mut line = Vec::new();
    io::stdin().lock().take(MAX_CALL).read_until(b'\n', &mut line).map_err(HelperError::Input)?;
    let call: Call = serde_json::from_slice(&line).map_err(HelperError::Call)?;
    drop(line);
    sandbox::enter(call.memory_bytes, Duration::from_millis(call.timeout_ms))?;
    let started = Arc::new(Barrier::new(2));
    let watches = Arc::clone(&started);
    thread::Builder::new()
        .name("watch".to_owned())
        .stack_size(64 * 1024)
        .spawn(move || {
            watches.wait();
            end_with_input();
        })
        .map_err(HelperError::Thread)?;
    // What a thread needs to start is forbidden afterwards.
    started.wait();
    let engine = thread::Builder::new()
        .name("engine".to_owned())
        // The engine counts its own frames only.
        .stack_size(4 * engine::STACK)
        .spawn(move || -> Result<(), SandboxError> {
            sandbox::restrict_calls()?;
            engine::run(&call, Voice::new(&call));
            Ok(())
        })
        .map_err(HelperError::Thread)?;
    engine.join().map_err(|_panicked| HelperError::Engine)??;
    Ok(())
}

/// Kills this process when nobody waits for it any more.
fn end_with_input() {
    let mut rest = [0; 64];
    let mut stdin = io::stdin().lock();
    while !matches!(stdin.read(&mut rest), Ok(0) | Err(_)) {}
    let _ = kill_process(getpid(), Signal::KILL);
}
