//! The help of every command, kept as text in `tests/help/`.

use expect_test::expect_file;

use crate::run::World;

/// The names of the commands below one, as its help lists them.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let entries = lines.take_while(|line| !line.is_empty());
    let names = entries.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next().map(str::to_owned));
    names.filter(|name| name != "help").collect()
}

fn check(world: &World, path: &[String]) {
    let mut arguments: Vec<_> = path.iter().map(String::as_str).collect();
    arguments.push("--help");
    let outcome = world.run(&arguments);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""), "{path:?}");
    assert!(outcome.stdout.contains("Example"), "{path:?} has no example");
    let name = if path.is_empty() { "remuda".to_owned() } else { path.join("-") };
    let file = format!("{}/tests/help/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    expect_file![file].assert_eq(&outcome.stdout);
    for name in subcommands(&outcome.stdout) {
        check(world, &[path, &[name]].concat());
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    check(&World::new(), &[]);
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let outcome = World::new().run(&["completions", shell]);
        assert_eq!(outcome.code, 0);
        assert!(outcome.stdout.contains("join-token"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = World::new().command(&["completions", "bash"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
