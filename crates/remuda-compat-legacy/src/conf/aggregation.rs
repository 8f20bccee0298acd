//! `aggregation.conf`: rules by which answers are put together.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};

use super::{Lines, WrongLine};

const FILE: &str = "aggregation.conf";
/// The ids that do not look at the body.
const STATUS_CODE: &str = "SUPERMAN_SPECIAL_STATUS_CODE";
const RESPONSE_TIME: &str = "SUPERMAN_SPECIAL_RESPONSE_TIME";
/// The longest expression, in bytes, the most memory of one, and how deep it may be nested.
const MAX_PATTERN: usize = 4096;
const MAX_COMPILED: usize = 1 << 20;
const MAX_NESTING: u32 = 50;

/// What targets are put together by.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    /// The status line.
    Status,
    /// When they answered.
    ResponseTime,
    /// What the first group of an expression finds when it matches the whole body.
    Body(Regex),
}

impl Rule {
    /// The rule of an id and its expression.
    pub(crate) fn parse(id: &str, expression: &str) -> Result<Self, String> {
        match id {
            STATUS_CODE => Ok(Self::Status),
            RESPONSE_TIME => Ok(Self::ResponseTime),
            _ if expression.len() > MAX_PATTERN => {
                Err(format!("the expression is longer than {MAX_PATTERN} bytes"))
            }
            _ => RegexBuilder::new(&format!(r"\A(?:{expression})\z"))
                .size_limit(MAX_COMPILED)
                .dfa_size_limit(MAX_COMPILED)
                .nest_limit(MAX_NESTING)
                .build()
                .map(Self::Body)
                .map_err(|error| {
                    let text = error.to_string();
                    let last = text.lines().last().unwrap_or_default();
                    format!("cannot use the regular expression: {}", last.trim())
                }),
        }
    }
}

/// Reads the rules of a file, by their ids, and those that are always there.
pub(crate) fn aggregations(text: &str) -> Result<BTreeMap<String, Rule>, WrongLine> {
    let mut rules = BTreeMap::from([
        (STATUS_CODE.to_owned(), Rule::Status),
        (RESPONSE_TIME.to_owned(), Rule::ResponseTime),
    ]);
    let mut lines = Lines::new(FILE, text);
    while let Some((line, id)) = lines.head() {
        let expression = lines.after("the expression of the rule")?;
        let rule = Rule::parse(id, &expression);
        let rule = rule.map_err(|reason| WrongLine::new(FILE, line + 1, reason))?;
        rules.insert(id.to_owned(), rule);
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_shipped_is_read() {
        let text = "  \n%c\nPATTERN_EXTRACT_EXCEPTION_SUMMARY_FROM_ERROR_MSG\n```(.*?)\\sDetails.*\n\
            \nDEFAULT_METRIC \n```.*<li>\\s*Build\\sTimestamp:\\s(.*)\\s*</li>.*\n\n%FULL_PAYLOAD\n\
            %```([\\s\\S.]*)\n\nSUPERMAN_SPECIAL_STATUS_CODE \n```SUPERMAN_SPECIAL_STATUS_CODE\n\n\
            RSS \n```.*<channel\\srdf:about=\"(.*?)\"[\\s\\S]*\n";
        let rules = aggregations(text).expect("rules");
        assert_eq!(rules.len(), 5);
        assert!(matches!(rules["SUPERMAN_SPECIAL_STATUS_CODE"], Rule::Status));
        assert!(matches!(rules["RSS"], Rule::Body(_)));
    }

    #[test]
    fn wrong_expressions_are_named() {
        let error = aggregations("A\n```(?=x)").expect_err("look-around");
        assert_eq!(error.line, 2);
        assert!(error.reason.contains("look-around"), "{error}");
        assert_eq!(aggregations("A").expect_err("no expression").line, 1);
        let long = format!("A\n{}", "x".repeat(5000));
        assert!(aggregations(&long).expect_err("long").reason.contains("4096"));
    }
}
