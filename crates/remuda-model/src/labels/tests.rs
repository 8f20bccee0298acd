//! The accept and reject tables of NkCLUSTER's metadata tokens, the quoted values on top, limits.

use proptest::prelude::*;

use super::*;

/// Shows what was parsed in a form without the grammar's own separators.
fn shown(text: &str) -> String {
    let labels: Labels = text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"));
    let option = |(key, value): &(String, Option<String>)| match value {
        Some(value) => format!("{key}→{value}"),
        None => key.clone(),
    };
    let label = |label: &Label| {
        let options: Vec<_> = label.options.iter().map(option).collect();
        format!("{}[{}]", label.name, options.join(" "))
    };
    labels.iter().map(label).collect::<Vec<_>>().join(" ")
}

fn error(text: &str) -> (usize, &'static str) {
    let error = text.parse::<Labels>().expect_err(text);
    (error.at, error.reason)
}

#[test]
fn every_accepted_row() {
    for (text, expected) in [
        ("", ""),
        (
            "core;group=group1;master, meta2;labelA=1;labelB=2",
            "core[group→group1 master] meta2[labelA→1 labelB→2]",
        ),
        (
            "aaa ,  bbb,ccc,eee;c  ;  d  ; e = 1  ; g=2, fff;h=3",
            "aaa[] bbb[] ccc[] eee[c d e→1 g→2] fff[h→3]",
        ),
        ("a=b", "a=b[]"),
        ("a=b;c=d", "a=b[c→d]"),
        ("a;b==c", "a[b→=c]"),
        ("a;b=c=d", "a[b→c=d]"),
        ("a, a;x=1", "a[] a[x→1]"),
        ("a;x=1;x=2", "a[x→1 x→2]"),
        ("A;B=C", "A[B→C]"),
        ("control,node1,order;odd=true", "control[] node1[] order[odd→true]"),
        (" \t\r\na", "a[]"),
        ("a\n,\nb\n", "a[] b[]"),
        ("a;b=c\"d", "a[b→c\"d]"),
        ("x\"y\"", "x\"y\"[]"),
        ("größe;maß=ß", "größe[maß→ß]"),
    ] {
        assert_eq!(shown(text), expected, "{text:?}");
    }
}

#[test]
fn quoted_values_may_hold_separators() {
    for (text, expected) in [
        (r#"a;b="x;y""#, "a[b→x;y]"),
        (r#"a;b="x,y""#, "a[b→x,y]"),
        (r#"a;b="x y" ; c , d"#, "a[b→x y c] d[]"),
        (r#"fff;h="3""#, "fff[h→3]"),
        (r#"a;b="""#, "a[b→]"),
        (r#"a;b="q\"\\""#, r#"a[b→q"\]"#),
    ] {
        assert_eq!(shown(text), expected, "{text:?}");
    }
}

#[test]
fn every_rejected_row_with_its_place() {
    for (text, at) in [
        (" ", 2),
        ("a;b=x y", 7),
        ("a b", 3),
        ("a b;c", 3),
        ("x;y z", 5),
        ("a;;b", 3),
        ("a,,b", 3),
        (",a", 1),
        (";a", 1),
        ("a,", 3),
        ("a;", 3),
        ("a;b=", 5),
        ("a;=b", 3),
        ("a;b=1, ", 8),
        ("ä;ö=", 5),
        (r#"a;b="x"#, 5),
        (r#"a;b="x"y"#, 8),
        (r#"a;b="\n""#, 7),
        (r#"a;b="\"#, 6),
    ] {
        assert_eq!(error(text).0, at, "{text:?}: {}", error(text).1);
    }
}

#[test]
fn limits_hold() {
    let labels = |n: usize| vec!["a"; n].join(",");
    let options = |n: usize| format!("a{}", ";b".repeat(n));
    assert!(labels(256).parse::<Labels>().is_ok());
    assert_eq!(error(&labels(257)).1, "more than 256 labels");
    assert!(options(64).parse::<Labels>().is_ok());
    assert_eq!(error(&options(65)).1, "more than 64 options of one label");
    assert!("a".repeat(MAX_TEXT).parse::<Labels>().is_ok());
    assert_eq!(error(&"a".repeat(MAX_TEXT + 1)).1, "longer than 16 KiB");
}

#[test]
fn an_update_replaces_in_place_and_appends() {
    let mut labels: Labels = "a;x=1,b,a;y".parse().unwrap();
    labels.update(&"c,a;z=2".parse().unwrap());
    assert_eq!(labels.to_string(), "a;z=2,b,a;y,c");
    labels.remove(["a", "unknown"]);
    assert_eq!(labels.to_string(), "b,c");
    assert!(labels.get("b").is_some() && labels.get("a").is_none());
}

#[test]
fn an_update_beyond_the_limits_is_noticed() {
    let numbered = |from: usize| {
        let names: Vec<_> = (from..from + 200).map(|n| format!("n{n}")).collect();
        names.join(",").parse::<Labels>().unwrap()
    };
    let mut labels = numbered(0);
    assert_eq!(labels.check(), Ok(()));
    labels.update(&numbered(200));
    assert_eq!(labels.check().unwrap_err().reason, "more than 256 labels");
}

#[test]
fn options_are_found_by_key() {
    let labels: Labels = "a;flag;x=1;x=2".parse().unwrap();
    let label = labels.get("a").unwrap();
    assert!(label.has("flag") && !label.has("1"));
    assert_eq!((label.value("x"), label.value("flag")), (Some("1"), None));
}

prop_compose! {
    fn any_label()(
        name in "[^;, \t\r\n]{1,6}",
        options in prop::collection::vec(
            ("[^;,= \t\r\n]{1,4}", prop::option::of(r#"[a"\\;,= \n=ß]{0,5}"#)), 0..4),
    ) -> Label {
        Label { name, options }
    }
}

proptest! {
    #[test]
    fn what_is_shown_is_read_back(labels in prop::collection::vec(any_label(), 0..5)) {
        let labels = Labels(labels);
        prop_assert_eq!(labels.to_string().parse(), Ok(labels));
    }

    #[test]
    fn any_text_is_refused_or_read_back(text in r#"[ab;,="\\ \n]{0,24}|.{0,40}"#) {
        if let Ok(labels) = text.parse::<Labels>() {
            let shown = labels.to_string();
            prop_assert!(shown.len() <= text.len());
            prop_assert_eq!(shown.parse(), Ok(labels));
        }
    }
}
