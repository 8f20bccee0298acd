//! What selectors mean, where they are wrong, and laws that hold for all of them.

use proptest::prelude::*;

use super::*;

const LABELS: &str = "core;group=group1;master, meta2;labelA=1;labelA=3;labelB=2, tier=web, gpu";

fn selector(text: &str) -> Selector {
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn holds(text: &str) -> bool {
    selector(text).matches(&LABELS.parse().unwrap(), &[("node", "dev1"), ("os", "linux")])
}

#[test]
fn what_is_true() {
    for text in [
        "gpu",
        "core",
        "master",
        "group",
        "core.master",
        "core.group",
        "tier",
        "\"tier=web\"",
        "group==group1",
        "core.group == group1",
        "tier==web",
        "node==dev1",
        "os",
        "os in (linux)",
        "labelA==1 && labelA==3",
        "meta2.labelA in (2, 3)",
        "labelB not in (1,3)",
        "absent!=x",
        "absent not in (x)",
        "!absent",
        "! ! gpu",
        "(gpu)",
        "gpu||absent&&absent",
        "(gpu || absent) && core",
        "core.group==group1 && meta2.labelA in (1,2)",
        "\"group\" == \"group1\"",
        "in != in",
        "!gpu==x",
    ] {
        assert!(holds(text), "{text}");
    }
}

#[test]
fn what_is_false() {
    for text in [
        "absent",
        "group1",
        "core.labelA",
        "meta2.group==group1",
        "group==GROUP1",
        "gpu==gpu",
        "labelA!=1",
        "labelA not in (1)",
        "!gpu",
        "absent==x",
        "absent in (x)",
        "node==dev2",
        "(gpu || absent) && absent",
        "tier.web",
        "!group==group1",
        "core.",
    ] {
        assert!(!holds(text), "{text}");
    }
}

#[test]
fn what_is_wrong_and_where() {
    for (text, at, reason) in [
        ("", 1, "expected a key"),
        ("a &&", 5, "expected a key"),
        ("a=b", 2, "expected `==`"),
        ("a == ", 6, "expected a value"),
        ("a b", 3, "expected `==`, `!=`"),
        ("a not b", 7, "expected `in`"),
        ("a in b", 6, "expected `(`"),
        ("a in (b c)", 9, "expected `,` or `)`"),
        ("a in ()", 7, "expected a value"),
        ("(a", 3, "expected `)`"),
        ("a)", 2, "expected `&&`"),
        ("a & b", 3, "expected `&&`"),
        ("ä==\"x", 4, "never closed"),
        ("a;b", 2, "expected `&&`"),
    ] {
        let error = text.parse::<Selector>().expect_err(text);
        assert_eq!(error.at, at, "{text:?}: {error}");
        assert!(error.reason.starts_with(reason) || error.reason.contains(reason), "{error}");
    }
}

#[test]
fn limits_hold() {
    let nested = |n: usize| format!("{}a{}", "(".repeat(n), ")".repeat(n));
    assert!(nested(MAX_DEPTH - 1).parse::<Selector>().is_ok());
    assert!(nested(MAX_DEPTH).parse::<Selector>().is_err());
    assert!("!".repeat(4000).parse::<Selector>().is_err());
    assert!("ä".repeat(MAX_TEXT).parse::<Selector>().is_ok());
    assert!("a".repeat(MAX_TEXT + 1).parse::<Selector>().is_err());
}

#[test]
fn it_is_shown_as_it_was_written() {
    let text = "a  in (b,c)&&!d";
    assert_eq!(selector(text).to_string(), text);
    assert_eq!(serde_json::from_str::<Selector>("\"a  in (b,c)&&!d\"").unwrap(), selector(text));
    assert!(serde_json::from_str::<Selector>("\"a=b\"").is_err());
}

/// Writes a condition with every parenthesis and quote that it could need.
fn written(condition: &Condition) -> String {
    let joined = |parts: &[Condition], word: &str| {
        parts.iter().map(|part| format!("({})", written(part))).collect::<Vec<_>>().join(word)
    };
    match condition {
        Condition::Any(parts) => joined(parts, "||"),
        Condition::All(parts) => joined(parts, " && "),
        Condition::Not(inner) => format!("!({})", written(inner)),
        Condition::Has(key) => key.clone(),
        Condition::In(key, values) => format!("{key} in (\"{}\")", values.join("\",\"")),
    }
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let key = || prop::sample::select(vec!["a", "b", "l.a", "c"]).prop_map(str::to_owned);
    let value = || prop::sample::select(vec!["1", "2", "x y"]).prop_map(str::to_owned);
    let leaf = prop_oneof![
        key().prop_map(Condition::Has),
        (key(), prop::collection::vec(value(), 1..3))
            .prop_map(|(key, list)| Condition::In(key, list)),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::Any),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::All),
            inner.prop_map(|inner| Condition::Not(Box::new(inner))),
        ]
    })
}

fn any_labels() -> impl Strategy<Value = Labels> {
    let label = prop::sample::select(vec!["a", "a=1", "l;a=2", "b;c", "x;b=\"x y\"", "l;c=1"]);
    prop::collection::vec(label, 0..4).prop_map(|labels| labels.join(",").parse().unwrap())
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(condition in any_condition()) {
        prop_assert_eq!(selector(&written(&condition)).condition, condition);
    }

    #[test]
    fn the_laws_of_logic_hold(
        left in any_condition(), right in any_condition(), labels in any_labels(),
    ) {
        let (left, right) = (written(&left), written(&right));
        let holds = |text: String| selector(&text).matches(&labels, &[]);
        prop_assert_eq!(
            holds(format!("!(({left}) && ({right}))")), holds(format!("!({left}) || !({right})")));
        prop_assert_eq!(
            holds(format!("!(({left}) || ({right}))")), holds(format!("!({left}) && !({right})")));
        prop_assert_eq!(holds(format!("!!({left})")), holds(left.clone()));
        prop_assert_ne!(holds(format!("!({left})")), holds(left));
    }

    #[test]
    fn opposites_are_opposite(labels in any_labels()) {
        for (text, opposite) in [("a==1", "a!=1"), ("c in (1,2)", "c not in (1,2)")] {
            let holds = |text| selector(text).matches(&labels, &[]);
            prop_assert_ne!(holds(text), holds(opposite));
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in r#"[ab()!=&|,." in\\]{0,40}|.{0,40}"#) {
        if let Ok(selector) = text.parse::<Selector>() {
            selector.matches(&LABELS.parse().unwrap(), &[]);
            prop_assert_eq!(selector.to_string().parse(), Ok(selector));
        }
    }
}
