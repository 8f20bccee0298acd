//! Texts, and what they become.

use proptest::prelude::*;

use super::*;

const ALL: Scope = Scope { secrets: true, job: true };

fn parse(text: &str) -> Template {
    Template::parse(text, ALL).expect(text)
}

fn filled(text: &str, host: &str) -> String {
    let run_vars = [("x", "run"), ("only", "run")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    let secrets = BTreeMap::from([("t".to_owned(), Secret::from("s3".to_owned()))]);
    let values = Values {
        host,
        vars: &[("addr".into(), "2001:db8::1".into()), ("x".into(), "own".into())],
        run_vars: &run_vars.into(),
        secrets: &secrets,
        job: Some("a/b?c"),
    };
    let template = parse(text);
    let plain = template.fill(&values).expect(text).into_owned();
    let url = template.fill_url(&values).expect(text);
    if !text.contains("job") && !text.contains("://") {
        assert_eq!(plain, url, "{text}");
    }
    if text.contains("://") { url } else { plain }
}

#[test]
fn places_are_filled_in() {
    for (text, result) in [
        ("", ""),
        ("plain", "plain"),
        ("{{host}}", "h"),
        ("a{{ host }}b{{host}}", "ahbh"),
        ("{{vars.x}}-{{vars.only}}", "own-run"),
        ("Bearer {{secrets.t}}", "Bearer s3"),
        ("{{job}}", "a/b?c"),
        ("{{{{host}}", "{{host}}"),
        ("{\"a\":{{{host}}}}", "{\"a\":{h}}"),
        ("{{{{{{host}}", "{{h"),
        ("{ } }} {x}", "{ } }} {x}"),
    ] {
        assert_eq!(filled(text, "h"), result, "{text}");
    }
}

#[test]
fn what_is_filled_in_is_not_filled_in_again() {
    assert_eq!(filled("{{host}}", "{{vars.x}}"), "{{vars.x}}");
}

#[test]
fn hosts_of_urls_get_brackets_where_they_need_them() {
    for (text, host, result) in [
        ("http://{{host}}:80/{{host}}", "::1", "http://[::1]:80/::1"),
        ("http://[{{host}}]/", "::1", "http://[::1]/"),
        ("http://{{host}}/", "10.0.0.1", "http://10.0.0.1/"),
        ("http://{{vars.addr}}/", "h", "http://[2001:db8::1]/"),
        ("http://x/?u=http:%2F%2F{{host}}", "::1", "http://x/?u=http:%2F%2F::1"),
        ("http://x/{{job}}", "h", "http://x/a%2Fb%3Fc"),
    ] {
        assert_eq!(filled(text, host), result, "{text}");
    }
}

#[test]
fn wrong_templates_say_where() {
    for (text, error) in [
        ("a {{host", "column 3: `{{` without `}}`; two braces that stay are written `{{{{`"),
        (
            "ä\nöü{{ vars.a b }}",
            "line 2, column 3: `a b` is no name of a variable: at most 64 letters, digits, `_`, `-` and `.`",
        ),
        (
            "{{vars.}}",
            "column 1: `` is no name of a variable: at most 64 letters, digits, `_`, `-` and `.`",
        ),
        (
            "{{Host}}",
            "column 1: unknown `Host`: there are `host`, `vars.NAME`, `secrets.NAME` and `job`; two \
             braces that stay are written `{{{{`",
        ),
        ("{{secrets.a}}", "column 1: secrets may stand in headers and bodies only"),
        ("{{job}}", "column 1: `{{job}}` may stand in `poll.url` only"),
    ] {
        let found = Template::parse(text, Scope::default()).expect_err(text);
        assert_eq!(found.to_string(), error, "{text}");
    }
}

#[test]
fn what_has_no_value_is_named() {
    for (text, name) in
        [("{{vars.z}}", "vars.z"), ("a{{secrets.z}}", "secrets.z"), ("a{{job}}", "job")]
    {
        let template = parse(text);
        let missing = template.fill(&Values::default());
        assert_eq!(missing, Err(MissingVariable(name.to_owned())));
    }
    assert_eq!(MissingVariable("vars.z".to_owned()).to_string(), "no value for `{{vars.z}}`");
}

#[test]
fn a_job_must_not_become_a_host() {
    for (text, safe) in [
        ("/status/{{job}}", true),
        ("http://{{host}}/{{job}}", true),
        ("http://{{host}}?{{job}}", true),
        ("http://{{host}}{{job}}", false),
        ("{{job}}", false),
        ("{{vars.base}}{{job}}", false),
        ("{{vars.base}}/{{job}}", true),
    ] {
        assert_eq!(parse(text).job_is_in_path(), safe, "{text}");
    }
}

#[test]
fn nothing_is_copied_for_a_constant() {
    let template = parse("constant");
    assert!(template.is_constant());
    assert!(matches!(template.fill(&Values::default()), Ok(Cow::Borrowed("constant"))));
}

proptest! {
    #[test]
    fn an_escaped_text_stays(text in "[a-z{} \n]{0,20}") {
        // Two braces are doubled; one left over may touch them from neither side.
        prop_assume!(!text.contains("{{{"));
        let escaped = text.replace("{{", "{{{{");
        let template = parse(&escaped);
        let filled = template.fill(&Values::default());
        prop_assert_eq!(filled.as_deref(), Ok(&*text));
    }

    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,40}|[{}a-z. ]{0,30}") {
        if let Ok(template) = Template::parse(&text, ALL) {
            let _ = template.fill_url(&Values::default());
            let _ = template.job_is_in_path();
        }
    }
}
