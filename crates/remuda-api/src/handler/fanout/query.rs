//! What is asked about records, from texts.

use std::str::FromStr;

use remuda_model::{Failure, run::Outcome};
use remuda_run::{By, Filter};

use crate::dto::RecordQuery;

/// The filter of a query.
pub(super) fn filter(query: &RecordQuery) -> Result<Filter, Failure> {
    Ok(Filter {
        outcomes: match &query.outcome {
            None => Vec::new(),
            Some(text) => text.split(',').map(outcome).collect::<Result<_, _>>()?,
        },
        status: parsed("status", query.status.as_ref())?,
        host: parsed("host", query.host.as_ref())?,
        text: parsed("text", query.text.as_ref())?,
        worker: parsed("worker", query.worker.as_ref())?,
        min_duration_us: query.min_duration_us,
        ..Filter::default()
    })
}

fn outcome(text: &str) -> Result<Outcome, Failure> {
    let text = text.trim();
    Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == text).ok_or_else(|| {
        let all: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
        Failure::invalid(format!("query: outcome: `{text}` is none")).hint(all.join(", "))
    })
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(
    name: &str,
    text: Option<&String>,
) -> Result<Option<T>, Failure> {
    let wrong = |error| Failure::invalid(format!("query: {name}: {error}"));
    text.map(|text| text.parse().map_err(wrong)).transpose()
}

/// By what records are grouped.
pub(super) fn by(text: &str) -> Result<By, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::invalid(format!("query: by: {error}"))
            .hint("outcome, status, trouble, worker, body, regex:EXPRESSION or json:PATH")
    };
    match text.split_once(':') {
        None => match text {
            "outcome" => Ok(By::Outcome),
            "status" => Ok(By::Status),
            "trouble" => Ok(By::Trouble),
            "worker" => Ok(By::Worker),
            "body" => Ok(By::Body),
            other => Err(wrong(&format!("`{other}` is none"))),
        },
        Some(("regex", expression)) => {
            expression.parse().map(By::Regex).map_err(|error| wrong(&error))
        }
        Some(("json", path)) => path.parse().map(By::Json).map_err(|error| wrong(&error)),
        Some((other, _)) => Err(wrong(&format!("`{other}:` is none"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_name_what_is_wrong() {
        let query =
            RecordQuery { outcome: Some("ok, failed".to_owned()), ..RecordQuery::default() };
        assert_eq!(filter(&query).expect("valid").outcomes, [Outcome::Ok, Outcome::Failed]);
        for (query, field) in [
            (RecordQuery { outcome: Some("bad".to_owned()), ..RecordQuery::default() }, "outcome"),
            (RecordQuery { status: Some("x".to_owned()), ..RecordQuery::default() }, "status"),
            (RecordQuery { text: Some("(".to_owned()), ..RecordQuery::default() }, "text"),
            (RecordQuery { worker: Some("A B".to_owned()), ..RecordQuery::default() }, "worker"),
        ] {
            let failure = filter(&query).expect_err(field);
            assert!(failure.message.contains(&format!("query: {field}:")), "{failure}");
        }
    }

    #[test]
    fn groups_have_words() {
        assert_eq!(by("status"), Ok(By::Status));
        assert!(matches!(by("regex:v=(\\d+)"), Ok(By::Regex(_))));
        assert!(matches!(by("json:/a/b"), Ok(By::Json(_))));
        for bad in ["", "colour", "regex:(", "json:$[", "x:y"] {
            assert!(by(bad).is_err(), "{bad}");
        }
    }
}
