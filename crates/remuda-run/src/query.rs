//! Which records are meant.

use remuda_model::{
    NodeId,
    run::{Outcome, Record, TroubleKind},
};
use serde::{Deserialize, Serialize};

use crate::{StatusSet, Target};

mod host;
mod text;

pub use host::{HostPattern, HostPatternError};
pub use text::{MAX_PATTERN, TextPattern, TextPatternError};

/// Which records are meant: those to which everything that is said applies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// They ended in one of these ways; in any if there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<Outcome>,
    /// They had one of these troubles; any or none if there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<TroubleKind>,
    /// They have one of these statuses or exit codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusSet>,
    /// The host is called so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostPattern>,
    /// The body, the standard error or the message about the trouble has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<TextPattern>,
    /// This worker contacted it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<NodeId>,
    /// The last attempt took at least so many microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_duration_us: Option<u64>,
    /// The last attempt took at most so many microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_duration_us: Option<u64>,
}

impl Filter {
    /// Whether a record is meant. Looks at the answer last, since that takes longest.
    pub fn matches(&self, target: &Target, record: &Record) -> bool {
        self.matches_head(record)
            && self.matches_host(target)
            && self.text.as_ref().is_none_or(|text| text.is_in(record))
    }

    /// Whether every record is meant.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the answer of a record must be read to judge it.
    pub fn reads_answers(&self) -> bool {
        self.text.is_some()
    }

    /// Whether a target can be meant, whatever its record says.
    pub fn matches_host(&self, target: &Target) -> bool {
        self.host.as_ref().is_none_or(|pattern| pattern.matches(&target.host))
    }

    fn matches_head(&self, record: &Record) -> bool {
        let one_of = |set: &StatusSet| {
            let status = record.status.and_then(|status| u16::try_from(status).ok());
            status.is_some_and(|status| set.contains(status))
        };
        let trouble = record.trouble.as_ref().map(|trouble| trouble.kind);
        let troubles = &self.troubles;
        (self.outcomes.is_empty() || self.outcomes.contains(&record.outcome))
            && (troubles.is_empty() || trouble.is_some_and(|kind| troubles.contains(&kind)))
            && self.status.as_ref().is_none_or(one_of)
            && (self.worker.is_none() || self.worker == record.worker)
            && self.min_duration_us.is_none_or(|least| record.duration_us >= least)
            && self.max_duration_us.is_none_or(|most| record.duration_us <= most)
    }
}

#[cfg(test)]
mod tests {
    use remuda_model::run::Trouble;
    use serde_json::{Value, json};

    use super::*;

    fn matches(filter: Value) -> bool {
        let filter: Filter = serde_json::from_value(filter).expect("a filter");
        let trouble = Trouble::new(TroubleKind::Status, "503 Service Unavailable");
        let mut record = Record::without_answer(0, Outcome::Unexpected, trouble);
        record.status = Some(503);
        record.duration_us = 1000;
        record.worker = Some("w1".parse().expect("a name"));
        record.body = b"the body\xff".to_vec();
        record.stderr = "Fehler: Größe".as_bytes().to_vec();
        filter.matches(&Target::plain("web7.example").expect("a host"), &record)
    }

    #[test]
    fn what_is_said_must_apply() {
        for filter in [
            json!({}),
            json!({"outcomes": ["ok", "unexpected"]}),
            json!({"troubles": ["status"]}),
            json!({"status": "5xx"}),
            json!({"host": "web?.*"}),
            json!({"host": "WEB7.example"}),
            json!({"text": "^the"}),
            json!({"text": "(?i)GRÖßE"}),
            json!({"text": "Service\\s+\\w"}),
            json!({"worker": "w1"}),
            json!({"min_duration_us": 1000, "max_duration_us": 1000}),
        ] {
            assert!(matches(filter.clone()), "{filter}");
        }
        for filter in [
            json!({"outcomes": ["ok"]}),
            json!({"troubles": ["dns"]}),
            json!({"status": "200-299"}),
            json!({"host": "web"}),
            json!({"text": "THE"}),
            json!({"worker": "w2"}),
            json!({"min_duration_us": 1001}),
            json!({"max_duration_us": 999}),
            json!({"status": "503", "host": "db*"}),
        ] {
            assert!(!matches(filter.clone()), "{filter}");
        }
    }

    #[test]
    fn wrong_filters_say_why() {
        for (filter, reason) in [
            (json!({"status": "x"}), "`x` is no set of statuses"),
            (json!({"host": "a b"}), "`a b` is no host"),
            (json!({"text": "("}), "cannot search for `(`: regex parse error"),
            (json!({"outcomes": ["good"]}), "unknown variant `good`"),
            (json!({"hosts": "a"}), "unknown field `hosts`"),
        ] {
            let error = serde_json::from_value::<Filter>(filter).expect_err(reason).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_filter_is_written_as_it_was_read() {
        let value = json!({"outcomes": ["failed"], "status": "500-599", "host": "a*", "text": "x"});
        let filter: Filter = serde_json::from_value(value.clone()).expect("a filter");
        assert_eq!(serde_json::to_value(&filter).expect("JSON"), value);
        assert!(filter.reads_answers() && !filter.is_empty() && Filter::default().is_empty());
    }
}
