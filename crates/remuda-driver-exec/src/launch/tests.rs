//! Launching processes for real.

use std::process::Stdio;

use remuda_model::ErrorKind;

use super::*;

fn spec(argv: &[&str]) -> ExecSpec {
    ExecSpec { argv: argv.iter().map(|&a| a.to_owned()).collect(), ..ExecSpec::default() }
}

fn prepare(spec: &ExecSpec) -> Result<Launch, Failure> {
    Launch::prepare(spec, &"n1".parse().unwrap(), Some(&"t1".parse().unwrap()))
}

fn output(spec: &ExecSpec) -> String {
    let launch = prepare(spec).unwrap();
    let mut command = launch.command(Fork::default()).unwrap();
    let output = command.stdin(Stdio::null()).stdout(Stdio::piped()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn spawn_error(spec: &ExecSpec) -> Failure {
    let launch = prepare(spec).unwrap();
    let error = launch.command(Fork::default()).unwrap().spawn().unwrap_err();
    spawn_failure(&launch, &error)
}

#[test]
fn wrong_fields_are_named() {
    let message = |spec: &ExecSpec| prepare(spec).unwrap_err().message;
    assert!(message(&spec(&[])).starts_with("argv: "));
    assert!(message(&spec(&["a\0"])).starts_with("argv: "));
    let env = |name: &str| ExecSpec {
        env: [(name.to_owned(), "v".to_owned())].into(),
        ..spec(&["true"])
    };
    assert!(message(&env("")).starts_with("env: "));
    assert!(message(&env("A=B")).starts_with("env: "));
    let cwd = |cwd: &str| ExecSpec { cwd: Some(cwd.to_owned()), ..spec(&["true"]) };
    assert!(message(&cwd("tmp")).starts_with("cwd: "));
    assert!(message(&cwd("/no/such/place")).starts_with("cwd: "));
    assert!(message(&cwd("/etc/passwd")).starts_with("cwd: "));
}

#[test]
fn a_missing_program_comes_with_advice() {
    let failure = prepare(&spec(&["no-such-program-here"])).unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Invalid);
    assert_eq!(failure.message, "no such program on this node: `no-such-program-here`");
    assert!(failure.hint.unwrap().contains("PATH"));
    let line = prepare(&spec(&["ls -l | wc"])).unwrap_err();
    assert!(line.hint.unwrap().contains("sh -c"));
}

#[test]
fn a_file_that_cannot_be_executed_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let plain = file("plain", "#!/bin/sh\n", 0o644);
    assert_eq!(spawn_error(&spec(&[&plain])).code, "permission_denied");
    let orphan = file("orphan", "#!/no/such/interpreter\n", 0o755);
    assert!(spawn_error(&spec(&[&orphan])).message.contains("interpreter"));
    let long = "x".repeat(200_000);
    assert!(spawn_error(&spec(&["true", &long])).message.contains("too long"));
}

#[test]
fn the_environment_is_what_was_asked_for() {
    let cleared = ExecSpec {
        env: [("A".to_owned(), "1 2".to_owned())].into(),
        clear_env: true,
        ..spec(&["env"])
    };
    let mut lines: Vec<_> = output(&cleared).lines().map(ToOwned::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["A=1 2", "REMUDA_NODE=n1", "REMUDA_TASK=t1"]);
    assert!(output(&spec(&["env"])).contains("PATH="));
}

#[test]
fn a_child_leads_a_session_and_works_where_it_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let here = fs::canonicalize(dir.path()).unwrap().to_str().unwrap().to_owned();
    let shell = ExecSpec {
        cwd: Some(here.clone()),
        ..spec(&["sh", "-c", "pwd; cut -d' ' -f1,5,6 /proc/self/stat; echo $$"])
    };
    let out = output(&shell);
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], here);
    let numbers: Vec<_> = lines[1].split(' ').collect();
    assert_eq!([numbers[1], numbers[2]], [lines[2], lines[2]], "group and session of the shell");
}

#[test]
fn another_user_has_its_own_groups_and_home() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let nobody = ExecSpec {
        user: Some("nobody".to_owned()),
        ..spec(&["sh", "-c", "id -u; id -G; echo $HOME $USER; grep NoNewPrivs /proc/self/status"])
    };
    let out = output(&nobody);
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], "65534");
    assert!(!lines[1].split(' ').any(|group| group == "0"), "{out}");
    assert!(lines[2].ends_with(" nobody"));
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let closed = ExecSpec { cwd: Some(dir.path().to_str().unwrap().to_owned()), ..nobody };
    assert!(spawn_error(&closed).message.starts_with("cwd: "));
}

#[test]
fn descriptors_of_the_parent_do_not_reach_the_child() {
    let file = fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    // `ls` itself holds one more, for the folder.
    assert_eq!(output(&spec(&["ls", "/proc/self/fd"])).lines().count(), 4);
}
