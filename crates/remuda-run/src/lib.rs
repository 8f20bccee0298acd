//! The pure part of fan-out: what a run is made of, and how its targets are handed out.
//!
//! [`targets`] reads targets, [`Template`] is what texts of a command are before they are filled in,
//! [`check()`] turns a spec into [`Checked`], which makes the texts for one target after the other.
//! [`Summary`], [`Filter`], [`Grouper`] and [`diff`] tell what came of it.

pub mod bits;
pub mod check;
pub mod diff;
pub mod group;
mod hand_out;
pub mod histogram;
pub mod host;
pub mod json_path;
pub mod query;
pub mod status_set;
pub mod summary;
pub mod target;
pub mod targets;
pub mod template;
pub mod url;

pub use bits::Bits;
pub use check::{Checked, check, check_targets, expand};
pub use diff::Diff;
pub use group::{By, Grouper, Groups};
pub use hand_out::{HandOut, Left};
pub use histogram::Histogram;
pub use json_path::JsonPath;
pub use query::Filter;
pub use status_set::StatusSet;
pub use summary::Summary;
pub use target::{MAX_TARGETS, Target};
pub use targets::{Collector, TargetErrors, TargetSet};
pub use template::{Template, Values};
pub use url::HttpUrl;

/// The start of a text for a message, without what a terminal would obey.
fn shortened(text: &str) -> String {
    const MOST: usize = 80;
    let mut short = String::new();
    for (at, character) in text.chars().enumerate() {
        if at == MOST {
            short.push('…');
            break;
        }
        if character.is_control() {
            short.extend(character.escape_default());
        } else {
            short.push(character);
        }
    }
    short
}
