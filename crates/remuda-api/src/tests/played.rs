//! A job class under the name of `exec` whose commands are played, so that no process is needed.

use std::{path::PathBuf, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use remuda_driver_exec::{ExecCommand, ExecSpec};
use remuda_model::{ErrorKind, ExitStatus, Failure, TaskEnd};
use remuda_plugin::{
    Input, JobClass, Running, Task,
    output::{DEFAULT_MAX_BYTES, OutputLog, OutputState, OutputWriter, Source},
};
use tokio::sync::watch;

/// `cat` repeats its standard input, `wait` waits to be stopped, `mute` does and answers no command,
/// `refuse` is not started.
pub(super) struct Played {
    pub(super) dir: PathBuf,
    /// The tasks that have ended, each with the grace it was given if it was stopped.
    pub(super) ended: watch::Sender<Vec<Option<Duration>>>,
}

impl JobClass for Played {
    const NAME: &'static str = "exec";
    type Request = ();
    type Reply = ();
    type Spec = ExecSpec;
    type Command = ExecCommand;
    type CommandReply = ();
    type Event = String;

    async fn start(&self, task: Task<Self>, spec: ExecSpec) -> Result<Running, Failure> {
        if spec.argv[0] == "refuse" {
            return Err(Failure::new(ErrorKind::Conflict, "not this").code("stale_epoch"));
        }
        let dir = self.dir.join(task.id().as_str());
        let writer = OutputWriter::open(&dir, DEFAULT_MAX_BYTES).expect("writable");
        let (state, receiver) = watch::channel(OutputState::default());
        let work = play(task, spec.argv.clone(), writer, state, self.ended.clone());
        let mut running = Running::new(spec.argv.join(" "), work);
        running.output = Some(OutputLog { dir, state: receiver });
        Ok(running)
    }
}

async fn play(
    mut task: Task<Played>,
    argv: Vec<String>,
    mut writer: OutputWriter,
    state: watch::Sender<OutputState>,
    ended: watch::Sender<Vec<Option<Duration>>>,
) -> TaskEnd {
    let mut write = |source, bytes: &[u8]| {
        for piece in bytes.chunks(1 << 15) {
            writer.append(source, piece).expect("writable");
        }
        state.send_modify(|state| state.len = writer.len());
    };
    if argv[0] == "wait" {
        write(Source::Stderr, b"waiting");
    }
    task.emit(&argv[0]).await;
    let mut unanswered = Vec::new();
    let (status, grace) = loop {
        match task.next().await {
            Some(Input::Command(command)) => {
                if argv[0] == "mute" {
                    unanswered.push(command.reply);
                    continue;
                }
                let end = matches!(command.body, ExecCommand::CloseStdin);
                if let ExecCommand::Stdin(text) = &command.body {
                    write(Source::Stdout, &STANDARD.decode(text).expect("base64"));
                }
                command.reply.send(Ok(()));
                if end {
                    break (ExitStatus::Code(0), None);
                }
            }
            Some(Input::Stop(grace)) => break (ExitStatus::Signal(15), Some(grace)),
            None => break (ExitStatus::Signal(15), None),
            Some(Input::Status(_)) => {}
        }
    };
    let end = TaskEnd::Exited { status, stopped: grace.is_some(), timed_out: false };
    state.send_modify(|state| state.end = Some(end.clone()));
    ended.send_modify(|ended| ended.push(grace));
    end
}
