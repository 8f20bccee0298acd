//! Who wins, and that tokens stay with their address.

use super::*;

fn contexts() -> Contexts {
    let context = |addr: &str, token: &str| Context {
        addr: addr.to_owned(),
        token: Some(token.to_owned()),
        ca: None,
        dev_process: None,
    };
    Contexts {
        current: Some("home".to_owned()),
        contexts: [
            ("home".to_owned(), context("http://home", "home-token")),
            ("work".to_owned(), context("http://work", "work-token")),
        ]
        .into(),
    }
}

/// Resolves options in the order addr, token, context, and shows the outcome.
fn resolve<const N: usize>(
    [addr, token, context]: [&str; 3],
    environment: [(&str, &str); N],
) -> String {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let connect =
        Connect { addr: given(addr), token: given(token), ca: None, context: given(context) };
    match Target::resolve(&connect, &environment.into(), &contexts()) {
        Ok(target) => format!("{} {}", target.addr, target.token.unwrap_or("-".to_owned())),
        Err(report) => report.render(false),
    }
}

#[test]
fn what_is_said_now_wins() {
    let both = [("REMUDA_ADDR", "http://env"), ("REMUDA_TOKEN", "env-token")];
    for (options, expected) in [
        (["", "", ""], "http://env env-token"),
        (["http://flag", "", ""], "http://flag env-token"),
        (["http://flag", "flag-token", ""], "http://flag flag-token"),
        (["", "", "work"], "http://work work-token"),
        (["", "flag-token", "work"], "http://work flag-token"),
    ] {
        assert_eq!(resolve(options, both), expected, "{options:?}");
    }
    assert_eq!(resolve(["", "", ""], []), "http://home home-token");
    assert_eq!(resolve(["", "", ""], [("REMUDA_CONTEXT", "work")]), "http://work work-token");
    assert_eq!(resolve(["http://home/", "", ""], []), "http://home/ home-token");
}

#[test]
fn the_token_of_a_context_goes_nowhere_else() {
    assert_eq!(resolve(["http://other", "", ""], []), "http://other -");
    assert_eq!(resolve(["http://other", "", "work"], []), "http://other -");
    assert_eq!(resolve(["", "", ""], [("REMUDA_ADDR", "http://other")]), "http://other -");
}

#[test]
fn an_unknown_context_is_an_error_that_names_the_known() {
    let text = resolve(["", "", "moon"], []);
    assert_eq!(text, "error: no context is called `moon`\n\nhint: known contexts: home, work\n");
    assert!(resolve(["", "", ""], [("REMUDA_CONTEXT", "moon")]).starts_with("error"));
}

#[test]
fn the_file_is_private_and_read_back() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("remuda/contexts.toml");
    assert!(Contexts::load(&path).unwrap() == Contexts::default());
    Contexts::change(&path, |empty| *empty = contexts()).unwrap();
    Contexts::change(&path, |known| {
        known.contexts.remove("work");
    })
    .unwrap();
    let read = Contexts::load(&path).unwrap();
    assert_eq!(read.current.as_deref(), Some("home"));
    assert_eq!(read.contexts.keys().collect::<Vec<_>>(), ["home"]);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_wrong_file_is_named_by_line_without_its_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("contexts.toml");
    std::fs::write(&path, "[contexts.a]\naddr = \"x\"\ntokn = \"secret\"\n").unwrap();
    let text = Contexts::load(&path).map(|_| ()).unwrap_err().render(false);
    assert!(text.contains("contexts.toml:3: unknown field `tokn`"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}
