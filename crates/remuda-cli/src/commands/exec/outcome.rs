//! What the end of a command means for ours.

use remuda_model::{ErrorKind, ExitStatus, Failure, TaskEnd};

/// The exit code of a command that its own time limit ended, as `timeout` of coreutils has it.
const TIMED_OUT: u8 = 124;

/// The code with which a shell would report this end.
pub(super) fn exit_code(end: &TaskEnd) -> Result<u8, Failure> {
    match end {
        TaskEnd::Finished { .. } => Ok(0),
        TaskEnd::Exited { timed_out: true, .. } => Ok(TIMED_OUT),
        TaskEnd::Exited { status: ExitStatus::Code(code), .. } => {
            // The operating system keeps the lowest eight bits as well.
            Ok(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
        }
        TaskEnd::Exited { status: ExitStatus::Signal(signal), .. } => {
            Ok(u8::try_from(signal.saturating_add(128)).unwrap_or(u8::MAX))
        }
        TaskEnd::Stopped => Err(Failure::failed("the command was stopped")),
        TaskEnd::Failed { message } => Err(Failure::failed(message.clone())),
        TaskEnd::Lost { message } => Err(Failure::new(ErrorKind::OutcomeUnknown, message.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_as_a_shell_has_them() {
        let exited = |status, timed_out| TaskEnd::Exited { status, stopped: false, timed_out };
        for (end, code) in [
            (exited(ExitStatus::Code(0), false), 0),
            (exited(ExitStatus::Code(3), false), 3),
            (exited(ExitStatus::Code(256 + 3), false), 3),
            (exited(ExitStatus::Code(-1), false), 255),
            (exited(ExitStatus::Signal(9), false), 137),
            (exited(ExitStatus::Signal(15), true), 124),
        ] {
            assert_eq!(exit_code(&end), Ok(code), "{end:?}");
        }
        let lost = TaskEnd::Lost { message: "gone".to_owned() };
        assert_eq!(exit_code(&lost).unwrap_err().kind, ErrorKind::OutcomeUnknown);
    }
}
