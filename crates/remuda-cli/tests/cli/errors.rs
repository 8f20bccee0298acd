//! How failures look, and with which code they end.

use expect_test::{Expect, expect};

use crate::run::World;

fn check(world: &World, arguments: &[&str], code: i32, stderr: &Expect) {
    let outcome = world.run(arguments);
    stderr.assert_eq(&outcome.stderr);
    assert_eq!(outcome.code, code, "{arguments:?}");
    assert_eq!(outcome.stdout, "", "{arguments:?}");
}

#[test]
fn nobody_said_which_cluster() {
    check(
        &World::new(),
        &["node", "list"],
        6,
        &expect![[r#"
            error: no API token is known for http://127.0.0.1:44200

            hint: start a cluster on this machine with `remuda dev`, or say where one is with --addr and --token
        "#]],
    );
}

#[test]
fn an_unknown_context() {
    let world = World::new();
    world.file(
        ".config/remuda/contexts.toml",
        "[contexts.home]\naddr = \"http://127.0.0.1:1\"\ntoken = \"t\"\n",
    );
    check(
        &world,
        &["node", "list", "--context", "moon"],
        3,
        &expect![[r#"
            error: no context is called `moon`

            hint: known contexts: home
        "#]],
    );
}

#[test]
fn nobody_listens() {
    let world = World::new().set("REMUDA_ADDR", "http://127.0.0.1:1").set("REMUDA_TOKEN", "t");
    let outcome = world.run(&["cluster", "status"]);
    assert_eq!(outcome.code, 5);
    assert!(outcome.stderr.starts_with("error: cannot connect"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("\n\nhint: "), "{}", outcome.stderr);
}

#[test]
fn a_request_that_is_no_json() {
    let world = World::new().set("REMUDA_TOKEN", "t");
    check(
        &world,
        &["request", "dev1", "node", "info"],
        2,
        &expect![[r#"
            error: this is no JSON
              caused by: expected value at line 1 column 1

            hint: a text stands in double quotes, and in single ones for the shell: '"info"'
        "#]],
    );
}

#[test]
fn a_selector_says_where_it_is_wrong() {
    let outcome = World::new().run(&["node", "list", "--on", "gpu = 1"]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("cannot parse selector at character 5: expected `==`"));
}

#[test]
fn all_errors_of_a_configuration() {
    let world = World::new().set("REMUDA_DRAIN_LIMIT", "soon");
    world.file("remuda.toml", "listen = \"a:99999\"\nlabel = \"x\"\n");
    check(
        &world,
        &["config", "show", "--config", "remuda.toml", "--bootstrap", "--data-dir", "d"],
        2,
        &expect![[r#"
            error: the configuration has 4 errors
              remuda.toml:2: unknown key `label`
              remuda.toml:1: `listen`: cannot parse URL `a:99999`: bad port `99999`: expected a number from 0 to 65535
              REMUDA_DRAIN_LIMIT: `drain_limit`: cannot parse `soon`: expected a whole number with a unit, such as 250ms, 5s, 10m, 2h or 7d
              --bootstrap: `bootstrap`: only a control node can start a cluster; add `control`

            hint: `remuda agent --help` lists all options
        "#]],
    );
}

#[test]
fn a_missing_configuration_file() {
    check(
        &World::new(),
        &["agent", "--config", "nowhere.toml"],
        2,
        &expect![[r#"
            error: cannot read `nowhere.toml`
              caused by: No such file or directory (os error 2)
        "#]],
    );
}

#[test]
fn labels_for_a_node_that_will_not_be() {
    check(
        &World::new(),
        &["dev", "--controls", "1", "--workers", "1", "--label", "dev3=gpu"],
        2,
        &expect![[r#"
            error: --label names dev3, but nodes are dev1 to dev2
        "#]],
    );
}
