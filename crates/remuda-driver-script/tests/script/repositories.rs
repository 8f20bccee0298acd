//! Repositories, cloned from this machine with the real git.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use remuda_driver_script::Report;
use remuda_model::{ErrorKind, ExitStatus, TaskEnd};
use serde_json::{Value, json};

use crate::{
    files::exited,
    support::{Agent, Done, LIMIT, Place, output_with},
};

/// A repository with the commits `one`, tagged `v1`, and `two` on `main`; `side` on a branch.
struct Origin {
    dir: PathBuf,
}

fn git(dir: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(dir).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("HOME", dir).env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"]
    {
        command.env(who, "somebody@example.com");
    }
    let output = command.args(arguments).output().expect("git is installed");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "git {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Origin {
    fn new(place: &Place) -> Self {
        let origin = Self { dir: place.dir().join("origin") };
        fs::create_dir(&origin.dir).unwrap();
        origin.git(&["init", "--quiet", "--initial-branch=main"]);
        origin.commit("one");
        origin.git(&["tag", "v1"]);
        origin.git(&["checkout", "--quiet", "-b", "side"]);
        origin.commit("side");
        origin.git(&["checkout", "--quiet", "main"]);
        fs::create_dir(origin.dir.join("sub")).unwrap();
        fs::write(origin.dir.join("sub/file"), "in sub\n").unwrap();
        origin.commit("two");
        origin
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(&self.dir, arguments)
    }

    fn commit(&self, content: &str) -> String {
        fs::write(self.dir.join("content"), content).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", content]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn url(&self) -> String {
        format!("file://{}", self.dir.display())
    }

    fn spec(&self, command: &str) -> Value {
        json!({"url": self.url(), "command": ["sh", "-c", command]})
    }
}

async fn run(agent: &Agent, spec: &Value) -> Done {
    agent.run("repository", "t", spec).await
}

#[tokio::test]
async fn a_command_runs_at_a_branch_a_tag_or_a_commit() {
    let place = Place::new();
    let origin = Origin::new(&place);
    let agent = place.agent().await;
    let first = origin.git(&["rev-parse", "v1"]);
    for (revision, content) in [
        (None, "two"),
        (Some("main"), "two"),
        (Some("side"), "side"),
        (Some("v1"), "one"),
        (Some("refs/heads/side"), "side"),
        (Some(first.as_str()), "one"),
    ] {
        let mut spec = origin.spec("cat content");
        if let Some(revision) = revision {
            spec["revision"] = json!(revision);
        }
        let done = run(&agent, &spec).await;
        assert_eq!((done.end, done.stdout.as_str()), (exited(ExitStatus::Code(0)), content));
        assert!(place.is_clean("t"), "{revision:?}");
    }
    let mut sub = origin.spec("cat file; exit 3");
    sub["dir"] = json!("sub");
    let done = run(&agent, &sub).await;
    assert_eq!((done.end, done.stdout.as_str()), (exited(ExitStatus::Code(3)), "in sub\n"));
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let place = Place::new();
    let origin = Origin::new(&place);
    let agent = place.agent().await;
    let mut nowhere = origin.spec("echo ran");
    nowhere["url"] = json!("file:///no/such/repository");
    nowhere["post"] = json!([["echo", "post"]]);
    let mut branch = origin.spec("echo ran");
    branch["revision"] = json!("no-such-branch");
    let mut commit = origin.spec("echo ran");
    commit["revision"] = json!("0123456789012345678901234567890123456789");
    let mut dir = origin.spec("echo ran");
    dir["dir"] = json!("nowhere");
    for (spec, named) in [
        (nowhere, "/no/such/repository"),
        (branch, "`no-such-branch`"),
        (commit, "`0123456789012345678901234567890123456789`"),
        (dir, "`nowhere`"),
    ] {
        let done = run(&agent, &spec).await;
        assert_eq!(done.stdout, "", "{named}");
        assert!(!done.end.success() && done.stderr.contains(named), "{done:?}");
        assert!(place.is_clean("t"));
    }
}

#[tokio::test]
async fn commands_run_before_and_after_and_the_last_ones_always() {
    let place = Place::new();
    let origin = Origin::new(&place);
    let agent = place.agent().await;
    let mut spec = origin.spec("cat made; echo 0.5 > $REMUDA_EVENTS; echo command; cat");
    spec["pre"] = json!([["sh", "-c", "echo $A > made; cat"], ["echo", "pre 2; $A"]]);
    spec["post"] = json!([["sh", "-c", "echo 1 > $REMUDA_EVENTS"], ["echo", "post"]]);
    spec["env"] = json!({"A": "a b"});
    spec["stdin"] = json!({"text": "read by the command\n"});
    let done = run(&agent, &spec).await;
    assert_eq!(done.end, exited(ExitStatus::Code(0)));
    assert_eq!(done.stdout, "pre 2; $A\na b\ncommand\nread by the command\npost\n");
    assert_eq!(done.reports, [Report::Progress(0.5), Report::Progress(1.0)]);

    for (change, end, stdout) in [
        // Before the command: it is not run, what comes after it is.
        (json!({"pre": [["false"], ["echo", "pre 2"]]}), ExitStatus::Code(1), "post\n"),
        (json!({"pre": [["/no/such/program"]]}), ExitStatus::Code(127), "post\n"),
        // The command itself.
        (json!({"command": ["sh", "-c", "exit 9"]}), ExitStatus::Code(9), "post\n"),
        (json!({"command": ["sh", "-c", "kill -9 $$"]}), ExitStatus::Signal(9), "post\n"),
        (json!({"command": ["./content"]}), ExitStatus::Code(126), "post\n"),
        // After it: all are run, and count when the command has succeeded.
        (
            json!({"post": [["sh", "-c", "exit 4"], ["sh", "-c", "exit 5"], ["echo", "last"]]}),
            ExitStatus::Code(4),
            "ran\nlast\n",
        ),
        (
            json!({"command": ["sh", "-c", "exit 9"], "post": [["sh", "-c", "exit 4"]]}),
            ExitStatus::Code(9),
            "",
        ),
    ] {
        let mut spec = origin.spec("echo ran");
        spec["post"] = json!([["echo", "post"]]);
        for (key, value) in change.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let done = run(&agent, &spec).await;
        assert_eq!((&done.end, done.stdout.as_str()), (&exited(end), stdout), "{change}");
        assert!(place.is_clean("t"));
    }
}

#[tokio::test]
async fn a_stop_ends_the_command_and_leaves_time_to_clean_up() {
    let place = Place::new();
    let origin = Origin::new(&place);
    let agent = place.agent().await;
    let mut spec = origin.spec("echo ready; exec sleep 1000");
    spec["post"] = json!([["echo", "post"]]);
    let task = agent.start("repository", "t", &spec).await.unwrap();
    assert!(task.summary.starts_with("file:///") && task.summary.contains(": sh -c"));
    output_with(&task.log, "ready").await;
    task.stop(LIMIT).await;
    let done = task.finish().await;
    let status = ExitStatus::Signal(15);
    assert_eq!(done.end, TaskEnd::Exited { status, stopped: true, timed_out: false });
    assert!(done.stdout.ends_with("post\n") && place.is_clean("t"));

    let mut early = origin.spec("echo command");
    early["pre"] =
        json!([["sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done"]]);
    let task = agent.start("repository", "t2", &early).await.unwrap();
    output_with(&task.log, "ready").await;
    task.stop(LIMIT).await;
    let done = task.finish().await;
    assert_eq!(done.end, TaskEnd::Exited { status, stopped: true, timed_out: false });
    assert_eq!(done.stdout, "ready\n");
}

#[tokio::test]
async fn nothing_that_comes_with_a_repository_runs_by_itself() {
    let place = Place::new();
    let origin = Origin::new(&place);
    let ran = place.dir().join("ran");
    let touch = format!("#!/bin/sh\ntouch {}\n", ran.display());
    // Hooks beside the repository, in its files and in the configuration of the user; a filter.
    for hooks in [origin.dir.join(".git/hooks"), origin.dir.join("hooks")] {
        fs::create_dir_all(&hooks).unwrap();
        for hook in ["post-checkout", "post-merge", "reference-transaction", "pre-commit"] {
            fs::write(hooks.join(hook), &touch).unwrap();
        }
    }
    fs::write(origin.dir.join(".gitattributes"), "* filter=evil\n").unwrap();
    fs::write(
        origin.dir.join(".gitmodules"),
        "[submodule \"m\"]\n\tpath = m\n\turl = ../inner\n\tupdate = !touch ran\n",
    )
    .unwrap();
    let inner = Origin { dir: place.dir().join("inner") };
    fs::create_dir(&inner.dir).unwrap();
    inner.git(&["init", "--quiet", "--initial-branch=main"]);
    let commit = inner.commit("inner");
    let entry = format!("160000,{commit},m");
    origin.git(&["update-index", "--add", "--cacheinfo", &entry]);
    symlink("/etc", origin.dir.join("link")).unwrap();
    origin.commit("evil");
    for hook in fs::read_dir(origin.dir.join(".git/hooks")).unwrap() {
        let path = hook.unwrap().path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let agent = place.agent().await;
    let mut spec =
        origin.spec("cat content; ls -A m | wc -l; readlink link; git config -l --local");
    spec["revision"] = json!("main");
    let done = run(&agent, &spec).await;
    assert_eq!(done.end, exited(ExitStatus::Code(0)), "{}", done.stderr);
    assert!(done.stdout.starts_with("evil0\n/etc\n"), "{}", done.stdout);
    assert!(!done.stdout.contains("submodule"), "{}", done.stdout);
    assert!(!ran.exists());
    // No command begins at the other end of a link.
    spec["dir"] = json!("link");
    let done = run(&agent, &spec).await;
    assert_eq!((done.end, done.stdout.as_str()), (exited(ExitStatus::Code(128)), ""));
    assert!(done.stderr.contains("no folder `link`"), "{}", done.stderr);
    assert!(place.is_clean("t"));
}

#[tokio::test]
async fn addresses_and_revisions_that_smuggle_something_are_refused() {
    let place = Place::new();
    let agent = place.agent().await;
    let command = json!(["true"]);
    for (field, spec) in [
        ("url", json!({"url": "--upload-pack=touch x", "command": command})),
        ("url", json!({"url": "ext::sh -c 'touch x'", "command": command})),
        ("url", json!({"url": "ssh://-oProxyCommand=x/y", "command": command})),
        ("url", json!({"url": "https://host/r\n--config=x", "command": command})),
        ("url", json!({"command": command})),
        ("revision", json!({"url": "https://h/r", "revision": "--config=x", "command": command})),
        ("user", json!({"user": "--config", "repo": "r", "command": command})),
        ("dir", json!({"url": "https://h/r", "dir": "../..", "command": command})),
        ("command", json!({"url": "https://h/r", "command": []})),
    ] {
        let failure = agent.start("repository", "t", &spec).await.map(drop).expect_err(field);
        assert_eq!(failure.kind, ErrorKind::Invalid);
        assert!(failure.message.starts_with(field), "{failure}");
        assert!(!place.task_dir("t").exists());
    }
}
