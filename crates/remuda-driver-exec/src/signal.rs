//! Signals by name.

use remuda_model::Failure;
use rustix::process::Signal;

const NAMES: [(&str, Signal); 31] = [
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("ILL", Signal::ILL),
    ("TRAP", Signal::TRAP),
    ("ABRT", Signal::ABORT),
    ("BUS", Signal::BUS),
    ("FPE", Signal::FPE),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("SEGV", Signal::SEGV),
    ("USR2", Signal::USR2),
    ("PIPE", Signal::PIPE),
    ("ALRM", Signal::ALARM),
    ("TERM", Signal::TERM),
    ("STKFLT", Signal::STKFLT),
    ("CHLD", Signal::CHILD),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("TSTP", Signal::TSTP),
    ("TTIN", Signal::TTIN),
    ("TTOU", Signal::TTOU),
    ("URG", Signal::URG),
    ("XCPU", Signal::XCPU),
    ("XFSZ", Signal::XFSZ),
    ("VTALRM", Signal::VTALARM),
    ("PROF", Signal::PROF),
    ("WINCH", Signal::WINCH),
    ("IO", Signal::IO),
    ("PWR", Signal::POWER),
    ("SYS", Signal::SYS),
];

/// Reads `TERM`, `SIGTERM`, `sigterm` or `15`.
pub(crate) fn parse(text: &str) -> Result<Signal, Failure> {
    let upper = text.trim().to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let by_name = NAMES.iter().find(|(known, _)| *known == name).map(|(_, signal)| *signal);
    by_name.or_else(|| name.parse().ok().and_then(Signal::from_named_raw)).ok_or_else(|| {
        let text: String = text.chars().take(20).collect();
        Failure::invalid(format!("no such signal: `{text}`"))
            .hint("give a name such as TERM, INT, HUP, KILL or USR1, or a number from 1 to 31")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read() {
        for text in ["TERM", "SIGTERM", "sigterm", "15", " Term "] {
            assert_eq!(parse(text).unwrap(), Signal::TERM, "{text}");
        }
        for text in ["", "SIG", "0", "-9", "64", "TERMINATE"] {
            assert!(parse(text).is_err(), "{text}");
        }
        for (name, signal) in NAMES {
            assert_eq!(parse(name).unwrap(), signal);
        }
    }
}
