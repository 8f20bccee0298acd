//! The process of one task: does what its script says, hears its events, and cleans up.

use std::{
    cell::RefCell,
    io::{self, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};

use remuda_model::{Chain, ExitStatus};
use serde_json::Value;
use tokio::process::Command;

use self::signals::{STOPPED, Signals, end_as};
use crate::{
    events::{Fifo, Recorder, Saying},
    function::{FunctionSpec, Helper, MAX_TASK_RESULT, Said, Way},
    repository::{Argv, Checkout, clone},
    script::Script,
    task_dir::TaskDir,
};

mod signals;

/// The status of a process that could not do what it should.
const BROKEN: u8 = 70;

/// How often a program is tried again that somebody seems to write still: a process that is just
/// being forked may hold the file open.
const BUSY_TRIES: u32 = 50;

/// Why a script cannot be run.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("cannot use the folder of the task")]
    Folder(#[source] io::Error),
    #[error("it runs already")]
    Runs,
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot hear the events of the task")]
    Events(#[source] io::Error),
    #[error("cannot watch for signals")]
    Signals(#[source] io::Error),
}

/// Does what the folder of a task says, and ends as that does: with its exit code, or by its signal.
///
/// To be called from the main thread of a process of its own.
pub fn run_script(dir: &Path) -> ExitCode {
    let status = match run(&TaskDir::new(dir)) {
        Ok(status) => status,
        Err(error) => {
            say(&format!("cannot run the task: {}", Chain(&error)));
            return ExitCode::from(BROKEN);
        }
    };
    end_as(status)
}

fn run(dir: &TaskDir) -> Result<ExitStatus, RunError> {
    let mark = dir.lock().map_err(RunError::Folder)?.ok_or(RunError::Runs)?;
    let script: Script = dir.read(Script::FILE).map_err(RunError::Folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    let recorder = Recorder::open(dir).map_err(RunError::Events)?;
    let status = runtime.block_on(perform(dir, script, recorder))?;
    if let Err(error) = dir.remove_work() {
        // What the command has left running may still write; the agent cleans up after it.
        say(&format!("cannot remove the folder of the task yet: {error}"));
    }
    drop(mark);
    Ok(status)
}

async fn perform(
    dir: &TaskDir,
    script: Script,
    recorder: Recorder,
) -> Result<ExitStatus, RunError> {
    let recorder = RefCell::new(recorder);
    let status = match script {
        Script::Function(spec) => {
            tokio::select! {
                status = function(dir, spec, &recorder) => status,
                () = ticking(&recorder) => unreachable!("ticks for ever"),
            }
        }
        Script::File { name, args } => {
            let program = dir.work().join(name);
            let argv = std::iter::once(program.to_string_lossy().into_owned()).chain(args);
            let (argv, cwd) = (argv.collect(), dir.work());
            let _outlived = Signals::outlive().map_err(RunError::Signals)?;
            listening(dir, &recorder, step(&argv, &cwd, Stdio::inherit())).await?
        }
        Script::Repository(checkout) => {
            let signals = Signals::outlive().map_err(RunError::Signals)?;
            listening(dir, &recorder, repository(dir, &checkout, signals)).await?
        }
    };
    recorder.borrow_mut().end();
    Ok(status)
}

/// Reports what has to wait, for ever.
async fn ticking(recorder: &RefCell<Recorder>) {
    let mut tick = tokio::time::interval(Recorder::TICK);
    loop {
        tick.tick().await;
        recorder.borrow_mut().tick();
    }
}

/// Runs commands and hears their events.
async fn listening(
    dir: &TaskDir,
    recorder: &RefCell<Recorder>,
    run: impl Future<Output = ExitStatus>,
) -> Result<ExitStatus, RunError> {
    let mut fifo = Fifo::open(&dir.events()).map_err(RunError::Events)?;
    let hear = async {
        while fifo.readable().await.is_ok() {
            fifo.read(&mut recorder.borrow_mut());
            // Somebody may write without end.
            tokio::task::yield_now().await;
        }
        // Then the end is soon enough.
        std::future::pending::<()>().await;
    };
    let status = tokio::select! {
        status = run => status,
        () = hear => unreachable!("hears for ever"),
        () = ticking(recorder) => unreachable!("ticks for ever"),
    };
    fifo.end(&mut recorder.borrow_mut());
    Ok(status)
}

/// Clones, prepares, runs the command, and does what comes after it.
async fn repository(dir: &TaskDir, checkout: &Checkout, mut signals: Signals) -> ExitStatus {
    let place = match clone(checkout, &dir.work()).await {
        Ok(place) => place,
        Err(error) => {
            say(&Chain(&error).to_string());
            return error.status();
        }
    };
    let mut status = ExitStatus::Code(0);
    for argv in &checkout.pre {
        if signals.stopping().await {
            status = STOPPED;
        }
        if !status.success() {
            break;
        }
        status = step(argv, &place, Stdio::null()).await;
        if !status.success() {
            say(&format!("`{}` before the command: {status}; the command is not run", argv[0]));
        }
    }
    if status.success() {
        status = if signals.stopping().await {
            STOPPED
        } else {
            step(&checkout.command, &place, Stdio::inherit()).await
        };
    }
    for argv in &checkout.post {
        let after = step(argv, &place, Stdio::null()).await;
        if !after.success() {
            say(&format!("`{}` after the command: {after}", argv[0]));
            status = if status.success() { after } else { status };
        }
    }
    status
}

/// Runs one command to its end.
async fn step(argv: &Argv, cwd: &PathBuf, stdin: Stdio) -> ExitStatus {
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).current_dir(cwd).stdin(stdin);
    let mut tries = 0;
    let started = loop {
        match command.spawn() {
            Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) && tries < BUSY_TRIES => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            started => break started,
        }
    };
    let ended = match started {
        Ok(mut child) => child.wait().await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(status) => exit_status(status),
        Err(error) => {
            say(&format!("cannot run `{}`: {error}", argv[0]));
            // As shells have it.
            let is_missing = error.kind() == io::ErrorKind::NotFound;
            ExitStatus::Code(if is_missing { 127 } else { 126 })
        }
    }
}

/// Calls a function and leaves its result for the agent.
async fn function(dir: &TaskDir, spec: FunctionSpec, recorder: &RefCell<Recorder>) -> ExitStatus {
    let outcome = async {
        let limits = spec.limits(Way::Task)?;
        let program =
            std::env::current_exe().map_err(|error| remuda_model::Failure::internal(&error))?;
        let helper = Helper::start(&program, spec, limits, MAX_TASK_RESULT, true)?;
        let result = helper.run(|said| hear(&said, recorder)).await;
        result.map_err(crate::function::Fault::into_failure)
    };
    let outcome: Result<Value, String> = outcome.await.map_err(|failure| failure.message);
    if let Err(message) = &outcome {
        say(message);
    }
    let status = ExitStatus::Code(i32::from(outcome.is_err()));
    match dir.write(Script::RESULT, &outcome) {
        Ok(()) => status,
        Err(error) => {
            say(&format!("cannot keep the result: {error}"));
            ExitStatus::Code(BROKEN.into())
        }
    }
}

fn hear(said: &Said, recorder: &RefCell<Recorder>) {
    match said {
        // The output of the task is its log.
        Said::Log(line) => drop(writeln!(io::stdout(), "{line}")),
        Said::Progress(progress) => {
            let number = progress.unwrap_or(f64::NAN);
            let text = number.to_string();
            recorder.borrow_mut().say(Saying::progress(number, &text), text.len());
        }
        Said::Value(value) => {
            let bytes = value.to_string().len();
            recorder.borrow_mut().say(Saying::Value(value.clone()), bytes);
        }
        Said::LogTruncated | Said::Result(_) | Said::Fault(_) => {}
    }
}

/// How a process ended, in our words.
pub(crate) fn exit_status(status: std::process::ExitStatus) -> ExitStatus {
    let signal = status.signal().unwrap_or_default();
    status.code().map_or(ExitStatus::Signal(signal), ExitStatus::Code)
}

/// Says something to whoever reads the output of the task.
fn say(text: &str) {
    drop(writeln!(io::stderr(), "remuda: {text}"));
}
