//! What people write, and what comes of it.

use proptest::prelude::*;
use remuda_model::{ErrorKind, Failure};

use super::*;
use crate::{MAX_TARGETS, Target};

fn lines_of(set: Result<TargetSet, TargetErrors>) -> Vec<String> {
    set.expect("valid targets").targets.iter().map(Target::to_line).collect()
}

fn text_of(set: Result<TargetSet, TargetErrors>) -> String {
    set.expect_err("wrong targets").to_string()
}

#[test]
fn lists_are_read_as_people_write_them() {
    let text = "\u{feff}# the web\nweb[1-2].x, WEB2.x\tdb1 # and one\n\n\n\
                [2001:db8::1] 10.0.0.0/30\r\n{\"host\":\"db1\",\"vars\":{\"port\":8443}}\n";
    let set = from_lines(text).expect("valid");
    assert_eq!(set.duplicates, 1);
    assert_eq!(
        lines_of(Ok(set)),
        [
            "web1.x",
            "web2.x",
            "db1",
            "2001:db8::1",
            "10.0.0.1",
            "10.0.0.2",
            r#"{"host":"db1","vars":{"port":"8443"}}"#,
        ]
    );
}

#[test]
fn arguments_are_read_like_lines() {
    let words = ["a,b".to_owned(), "c[1-2, 5]".to_owned()];
    assert_eq!(lines_of(from_words(&words)), ["a", "b", "c1", "c2", "c5"]);
    let wrong = ["a".to_owned(), "b:80".to_owned()];
    assert!(text_of(from_words(&wrong)).starts_with("a target is wrong: argument 2: `b:80`: "));
}

#[test]
fn every_wrong_line_is_named_and_nothing_is_returned() {
    let text = "good\nroot@bad\n10.0.0.[250-300]\nweb[1-\n10.0.0.1/8\n{\"host\":\"x\"";
    assert_eq!(
        text_of(from_lines(text)),
        "5 targets are wrong\
         \n  line 2: `root@bad`: a target has no user: give the user in the command, or as a \
         variable of the target\
         \n  line 3: `10.0.0.256`: not an IPv4 address: four decimal numbers up to 255, without \
         leading zeros\
         \n  line 4: `web[1-`: `[` without `]`\
         \n  line 5: `10.0.0.1/8` is an address in a network: the network is `10.0.0.0/8`\
         \n  line 6: not JSON: EOF while parsing an object at line 1 column 11"
    );
}

#[test]
fn many_wrong_lines_are_counted() {
    let text = "a b/c\n".repeat(50);
    let errors = from_lines(&text).expect_err("wrong");
    assert_eq!((errors.shown.len(), errors.total), (MAX_SHOWN, 50));
    assert!(errors.to_string().ends_with("\n  and 30 more"));
    let failure = Failure::from(errors);
    assert_eq!((failure.kind, &*failure.code), (ErrorKind::Invalid, "bad_targets"));
}

#[test]
fn more_targets_than_allowed_are_refused_before_they_are_made() {
    for text in ["web[0-99999999]", "10.0.0.0/8", "::/0", "[0-999999][0-999999][a-z]"] {
        assert_eq!(
            text_of(from_lines(text)),
            "a target is wrong: line 1: more than 1000000 targets"
        );
    }
    let error = text_of(from_lines("a\n[0-999].[a-z].[a-z]x\n10.[0-9].[0-254].[0-254]\n"));
    assert_eq!(error, "a target is wrong: line 3: more than 1000000 targets");
}

#[test]
fn a_million_targets_are_taken() {
    let set = from_lines("n[000000-999999]\nn000007").expect("valid");
    assert_eq!((set.targets.len(), set.duplicates), (MAX_TARGETS, 1));
    assert_eq!(&*set.targets[MAX_TARGETS - 1].host, "n999999");
}

#[test]
fn the_same_targets_again_and_again_come_to_an_end() {
    let text = "n[0-999998]\n".repeat(1000);
    assert_eq!(text_of(from_lines(&text)), "a target is wrong: line 3: more than 2000000 targets");
    // Also when nothing is kept, since something is wrong.
    let errors = from_lines(&format!("a:1\n{text}")).expect_err("wrong");
    assert_eq!((errors.total, errors.shown[1].place), (2, Place::Line(4)));
}

#[test]
fn tables_have_variables_as_columns() {
    let text = "region,Host,port\nber,web1,80\nlon ,\"web2\" ,\n";
    assert_eq!(
        lines_of(from_csv(text, None)),
        [
            r#"{"host":"web1","vars":{"port":"80","region":"ber"}}"#,
            r#"{"host":"web2","vars":{"region":"lon"}}"#,
        ]
    );
    assert_eq!(
        lines_of(from_csv("name;x\nweb1;1,5\n", Some("name"))),
        [r#"{"host":"web1","vars":{"x":"1,5"}}"#]
    );
}

#[test]
fn wrong_tables_say_where() {
    assert_eq!(
        text_of(from_csv("host,x\na,1\nb\n\"c\nd\",1\nweb:80,2\n", None)),
        "3 targets are wrong\
         \n  line 3: 1 columns, but the head row has 2\
         \n  line 4: `c\\nd`: not a host name: it has '\\n'\
         \n  line 6: `web:80`: a target has no port: give the port in the command, or as a variable, \
         such as `{\"host\":\"…\",\"vars\":{\"port\":\"8443\"}}` and `{{vars.port}}`"
    );
    assert_eq!(
        text_of(from_csv("a,b\n", None)),
        "a target is wrong: line 1: no column `host`: there are `a`, `b`"
    );
    assert!(text_of(from_csv("host,b c\n", None)).contains("column 2: `b c` is no name"));
}

#[test]
fn json_is_read_with_and_without_a_path() {
    let hosts = ["a", "b"];
    assert_eq!(lines_of(from_json(r#"["a","b"]"#, None)), hosts);
    assert_eq!(lines_of(from_json(r#"{"x":{"y":["a","b"]}}"#, Some("/x/y"))), hosts);
    assert_eq!(lines_of(from_json(r#"{"n":[{"i":"a"},{"i":"b"}]}"#, Some("$.n[*].i"))), hosts);
    assert_eq!(lines_of(from_json(r#"{"n":["a","b"]}"#, Some("$.n"))), hosts);
    let objects = r#"[{"host":"a","up":true,"n":1.5,"tags":[],"not a name":1,"none":null},
                      {"target":"b"}, {"host":"c","vars":{"x":"1"}}]"#;
    assert_eq!(
        lines_of(from_json(objects, None)),
        [r#"{"host":"a","vars":{"n":"1.5","up":"true"}}"#, "b", r#"{"host":"c","vars":{"x":"1"}}"#,]
    );
}

#[test]
fn wrong_json_says_where() {
    assert_eq!(
        text_of(from_json(r#"["a", 1, {"x":"b"}]"#, None)),
        "2 targets are wrong\
         \n  entry 2: expected a text or an object with `host`\
         \n  entry 3: an object needs a text `host`"
    );
    assert!(text_of(from_json(r#"{"n":[]}"#, None)).contains("give the path of the list"));
    assert!(text_of(from_json("{}", Some("$.n"))).ends_with("there is nothing at `$.n`"));
    assert!(text_of(from_json("{", None)).contains("not JSON"));
}

#[test]
fn several_sources_make_one_set() {
    let mut collector = Collector::default();
    collector.words(&["a".to_owned()]);
    collector.lines("b\na");
    collector.csv("host\nc\nb\n", None);
    collector.json("[\"d\"]", None);
    let set = collector.finish().expect("valid");
    assert_eq!(set.duplicates, 2);
    assert_eq!(lines_of(Ok(set)), ["a", "b", "c", "d"]);
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in any::<String>(), path in any::<Option<String>>()) {
        let _ = from_lines(&text);
        let _ = from_csv(&text, path.as_deref());
        let _ = from_json(&text, path.as_deref());
        let _ = from_canonical(&text);
        let _ = from_words(&[text]);
    }

    #[test]
    fn what_was_read_is_read_again_from_its_lines(
        text in "([a-c]{0,2}\\[[0-9a-f,]{1,3}(-[0-9]{1,2})?\\][a-c.]{0,2}[ ,\n]){0,6}"
    ) {
        if let Ok(set) = from_lines(&text) {
            let lines = lines_of(Ok(set.clone())).join("\n");
            let again = from_canonical(&lines).expect("canonical");
            prop_assert_eq!(&again.targets, &set.targets);
            prop_assert_eq!(from_lines(&lines).expect("lines").targets, set.targets);
        }
    }
}
