//! Log lines of the agent, on standard error; the last ones are kept.

mod recent;
mod redact;

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt};

pub(crate) use self::{recent::Recent, redact::redact};
use crate::{config::LogFormat, environment::Environment};

/// Starts logging; gives the lines that are kept. Colours appear on a terminal only, unless
/// `NO_COLOR` forbids them.
pub(crate) fn start(format: LogFormat, filter: EnvFilter, environment: &Environment) -> Recent {
    let recent = Recent::default();
    let builder = fmt().with_writer(recent.clone()).with_env_filter(filter);
    // A line that cannot be written, on a full disk, is lost; complaining about it in the same
    // place would panic.
    let builder = builder.log_internal_errors(false);
    // The only failure is a second call, which leaves the first in force.
    let _already_started = match format {
        LogFormat::Json => {
            builder.json().flatten_event(true).with_current_span(true).try_init().is_err()
        }
        LogFormat::Text => {
            let terminal = std::io::stderr().is_terminal();
            let colours = terminal && environment.get("NO_COLOR").is_none();
            builder.with_ansi(colours).with_target(true).compact().try_init().is_err()
        }
    };
    recent
}
