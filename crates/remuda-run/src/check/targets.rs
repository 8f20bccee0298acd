//! Whether a run can be done with its targets.

use std::fmt::Write as _;

use remuda_model::Failure;

use super::Checked;
use crate::{MAX_TARGETS, Target, targets::MAX_SHOWN};

/// Makes all texts for all targets once, to see that it can be done.
///
/// # Errors
///
/// Names the first targets for which it cannot, counted from 1, and says how many there are; also
/// when there are no targets, or more than a run may have.
pub fn check_targets(checked: &Checked, targets: &[Target]) -> Result<(), Failure> {
    if targets.is_empty() {
        return Err(Failure::invalid("there are no targets").code("bad_targets"));
    }
    if targets.len() > MAX_TARGETS {
        let message = format!("more than {MAX_TARGETS} targets");
        return Err(Failure::invalid(message).code("bad_targets"));
    }
    let mut wrong = 0_usize;
    let mut shown = String::new();
    for (at, target) in (1..).zip(targets) {
        let Err(error) = checked.check_target(target) else { continue };
        wrong += 1;
        if wrong <= MAX_SHOWN {
            // Writing to a text does not fail.
            let _ = write!(shown, "; target {at}, {}: {error}", target.host);
        }
    }
    if wrong == 0 {
        return Ok(());
    }
    if wrong > MAX_SHOWN {
        let _ = write!(shown, "; and {} more", wrong - MAX_SHOWN);
    }
    let all = targets.len();
    let message = format!("the command does not fit {wrong} of {all} targets{shown}");
    Err(Failure::invalid(message).code("bad_targets").hint(
        "a variable is given for all targets with the run, or for each with the target, such as \
         `{\"host\":\"…\",\"vars\":{…}}` or a column of a table",
    ))
}
