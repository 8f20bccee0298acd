//! What a line of a task means, and what is reported of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How much of a line is shown when it is refused.
const SHOWN: usize = 100;

/// An event of a task of the classes `function`, `file` and `repository`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Report {
    /// How much is done, from 0.0 to 1.0. Never less than before.
    Progress(f64),
    /// Something the task says.
    Value(Value),
    /// So many events came too fast and were left out since the one before.
    Dropped(u64),
    /// So many bytes of events were left out, because the agent was away for too long.
    Lost(u64),
    /// A line that cannot be an event.
    Refused {
        /// Its beginning.
        line: String,
        /// Why.
        why: String,
    },
}

impl Report {
    /// The longest event, in bytes of JSON: a line may hold much that JSON spells longer.
    pub(super) const MAX_JSON: usize = 160 * 1024;

    /// The event as a line of JSON.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("events are JSON");
        if line.len() > Self::MAX_JSON {
            let value =
                if let Self::Value(Value::String(text)) = self { text.as_str() } else { "" };
            let line = value.chars().take(SHOWN).collect();
            return Self::Refused { line, why: "too long as JSON".to_owned() }.line();
        }
        line.push(b'\n');
        line
    }
}

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Saying {
    Progress(f64),
    Value(Value),
    /// Not a line that means something.
    Wrong {
        line: String,
        why: &'static str,
    },
}

const NO_PROGRESS: &str = "progress is a number from 0 to 1";

impl Saying {
    /// Reads a line: a number, `{"progress": NUMBER}`, any other JSON, or a text. `None` when it is
    /// empty.
    pub(crate) fn read(line: &[u8]) -> Option<Self> {
        let line = line.trim_ascii();
        if line.is_empty() {
            return None;
        }
        let text = String::from_utf8_lossy(line);
        if let Ok(number) = text.parse::<f64>() {
            return Some(Self::progress(number, &text));
        }
        let Ok(value) = serde_json::from_str::<Value>(&text) else {
            return Some(Self::Value(Value::String(text.into_owned())));
        };
        match value.get("progress") {
            Some(progress) if value.as_object().is_some_and(|object| object.len() == 1) => {
                Some(Self::progress(progress.as_f64().unwrap_or(f64::NAN), &text))
            }
            _ => Some(Self::Value(value)),
        }
    }

    /// The progress that somebody says as `text`.
    pub(crate) fn progress(number: f64, text: &str) -> Self {
        if (0.0..=1.0).contains(&number) {
            // There is no less than nothing.
            Self::Progress(number.abs())
        } else {
            Self::Wrong { line: text.chars().take(SHOWN).collect(), why: NO_PROGRESS }
        }
    }

    /// A line that is longer than lines may be.
    pub(crate) fn too_long(beginning: &[u8]) -> Self {
        let beginning = &beginning[..beginning.len().min(SHOWN)];
        let line = String::from_utf8_lossy(beginning).into_owned();
        Self::Wrong { line, why: "longer than 64 KiB" }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(line: &str) -> Option<Saying> {
        Saying::read(line.as_bytes())
    }

    #[test]
    fn numbers_are_progress() {
        for (line, progress) in
            [("0.5", 0.5), (" 1 \r", 1.0), ("0", 0.0), ("-0", 0.0), (r#"{"progress":0.25}"#, 0.25)]
        {
            assert_eq!(read(line), Some(Saying::Progress(progress)), "{line}");
        }
    }

    #[test]
    fn what_is_no_progress_is_refused_with_a_reason() {
        for line in [
            "NaN",
            "inf",
            "-0.1",
            "1.0001",
            "50",
            "1e999",
            r#"{"progress":"0.5"}"#,
            r#"{"progress":null}"#,
            r#"{"progress":2}"#,
        ] {
            let Some(Saying::Wrong { line: shown, why }) = read(line) else {
                panic!("{line} is taken for progress");
            };
            assert_eq!((shown.as_str(), why), (line, NO_PROGRESS));
        }
    }

    #[test]
    fn everything_else_is_a_value() {
        for (line, value) in [
            (r#"{"progress":0.5,"step":"build"}"#, json!({"progress":0.5,"step":"build"})),
            (r#""half""#, json!("half")),
            ("half done", json!("half done")),
            ("[1,2]", json!([1, 2])),
            ("null", json!(null)),
            ("{broken", json!("{broken")),
        ] {
            assert_eq!(read(line), Some(Saying::Value(value)), "{line}");
        }
        assert_eq!(read("  "), None);
        assert_eq!(Saying::read(b"\xff"), Some(Saying::Value(json!("\u{fffd}"))));
    }

    #[test]
    fn events_are_spelled_as_documented() {
        let text = |report| serde_json::to_string(&report).expect("JSON");
        assert_eq!(text(Report::Progress(0.5)), r#"{"progress":0.5}"#);
        assert_eq!(text(Report::Value(json!({"a": 1}))), r#"{"value":{"a":1}}"#);
        assert_eq!(text(Report::Dropped(3)), r#"{"dropped":3}"#);
        assert_eq!(text(Report::Lost(3)), r#"{"lost":3}"#);
        let refused = Report::Refused { line: "NaN".into(), why: NO_PROGRESS.into() };
        assert_eq!(
            text(refused),
            r#"{"refused":{"line":"NaN","why":"progress is a number from 0 to 1"}}"#
        );
    }

    #[test]
    fn a_line_that_grows_too_much_as_json_is_refused() {
        let nuls = Saying::read(&vec![0; 60 * 1024]);
        let Some(Saying::Value(value)) = nuls else { panic!("{nuls:?}") };
        let line = Report::Value(value).line();
        assert!(line.len() < 2000 && line.ends_with(b"\n"));
        assert!(line.starts_with(br#"{"refused":{"line":"\u0000"#));
        let long = Report::Value(json!("x".repeat(60 * 1024))).line();
        assert!(long.starts_with(br#"{"value":"xxx"#) && long.len() > 60 * 1024);
    }

    proptest::proptest! {
        #[test]
        fn any_line_has_a_meaning_that_can_be_written(line: Vec<u8>) {
            if let Some(Saying::Progress(progress)) = Saying::read(&line) {
                assert!((0.0..=1.0).contains(&progress) && progress.is_sign_positive());
            }
        }
    }
}
