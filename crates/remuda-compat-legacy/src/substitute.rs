//! From `$NAME` to places of a template.

/// What stands before the names of variables in a run, apart from those that the face needs itself.
const PREFIX: &str = "v.";
/// The longest name of a variable, in bytes.
const MAX_NAME: usize = 62;

/// The name that a variable has in a run.
///
/// # Errors
///
/// When a run can have no such variable.
pub(crate) fn name(variable: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if (1..=MAX_NAME).contains(&variable.len()) && variable.bytes().all(is_plain) {
        Ok(format!("{PREFIX}{variable}"))
    } else {
        let shown: String = variable.chars().take(80).collect();
        Err(format!(
            "variable {shown:?}: expected at most {MAX_NAME} letters, digits, `_`, `-` and `.`"
        ))
    }
}

/// The variable of a name in a run.
pub(crate) fn variable(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)
}

/// The template of a text in which `$NAME` stands for these variables. Where several begin at one
/// place the longest is meant, and values are not looked at again.
pub(crate) fn template(text: &str, variables: &[&str]) -> String {
    let mut template = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['$', '{']) {
        template.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("{{") {
            template.push_str("{{{{");
            rest = after;
            continue;
        }
        let named = rest.strip_prefix('$').and_then(|after| {
            let begin = variables.iter().filter(|name| after.starts_with(**name));
            begin.max_by_key(|name| name.len())
        });
        if let Some(variable) = named {
            template.extend(["{{vars.", PREFIX, variable, "}}"]);
            rest = &rest[1 + variable.len()..];
        } else {
            template.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    template.push_str(rest);
    template
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use remuda_run::{Template, Values, template::Scope};

    use super::*;

    fn filled(text: &str, vars: &[(&str, &str)]) -> String {
        let names: Vec<&str> = vars.iter().map(|(name, _)| *name).collect();
        let template = template(text, &names);
        let template = Template::parse(&template, Scope::default()).expect("a template");
        let run_vars: BTreeMap<String, String> = vars
            .iter()
            .map(|(variable, value)| (name(variable).expect("a name"), (*value).to_owned()))
            .collect();
        let values = Values { run_vars: &run_vars, ..Values::default() };
        template.fill(&values).expect("it is filled").into_owned()
    }

    #[test]
    fn known_variables_are_replaced() {
        let vars = [("APIVARREPLACE_ID", "7"), ("APIVARREPLACE_IDX", "$APIVARREPLACE_ID")];
        assert_eq!(filled("/a/$APIVARREPLACE_ID?b", &vars), "/a/7?b");
        assert_eq!(filled("$APIVARREPLACE_IDX", &vars), "$APIVARREPLACE_ID");
        assert_eq!(filled("$OTHER $$APIVARREPLACE_IDE", &vars), "$OTHER $7E");
        assert_eq!(filled("{{host}} {$APIVARREPLACE_ID} {{{", &vars), "{{host}} {7} {{{");
        assert_eq!(filled(r#"{"a":{"b":"$APIVARREPLACE_ID"}}"#, &vars), r#"{"a":{"b":"7"}}"#);
    }

    #[test]
    fn names_that_no_run_has_are_refused() {
        assert_eq!(name("A_b.1").expect("good"), "v.A_b.1");
        assert_eq!(variable("v.A"), Some("A"));
        for bad in ["", "a b", "a{", &"x".repeat(63)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_filled_as_by_replacing(text in "[a${}v. ]{0,24}") {
            let expected = text.replace("$a", "X");
            prop_assert_eq!(filled(&text, &[("a", "X")]), expected);
        }
    }
}
