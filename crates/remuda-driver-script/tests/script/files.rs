//! Files with arguments.

use std::{fs, os::unix::fs::symlink, time::Duration};

use remuda_driver_script::Report;
use remuda_model::{ErrorKind, ExitStatus, Failure, TaskEnd};
use remuda_plugin::RawInput;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{sync::oneshot, time::timeout};

use crate::support::{Agent, LIMIT, Mortal, Place, alive, kill, mode, output_with, until};

pub(crate) fn exited(status: ExitStatus) -> TaskEnd {
    TaskEnd::Exited { status, stopped: false, timed_out: false }
}

fn script(place: &Place, text: &str) -> Value {
    let digest = place.keep(format!("#!/bin/sh\n{text}").as_bytes());
    json!({ "digest": digest, "name": "job.sh" })
}

async fn refusal(agent: &Agent, spec: &Value) -> Failure {
    agent.start("file", "t", spec).await.map(drop).expect_err("refused")
}

#[tokio::test]
async fn a_file_runs_with_its_arguments_in_a_folder_of_its_own() {
    let place = Place::new();
    let agent = place.agent().await;
    let text = "echo \"$0\" \"$#\" \"$2\"; pwd; echo \"$A $REMUDA_TASK $REMUDA_NODE\"; ls -a; \
                touch left; cat; exit 7";
    let mut spec = script(&place, text);
    spec["args"] = json!(["-x", "two words; rm *"]);
    spec["env"] = json!({"A": "b"});
    spec["stdin"] = json!({"text": "read"});
    let task = agent.start("file", "t", &spec).await.unwrap();
    assert_eq!(task.summary, "job.sh -x two words; rm *");
    let done = task.finish().await;
    assert_eq!(done.end, exited(ExitStatus::Code(7)));
    let work = place.task_dir("t").join("work");
    let work = work.display();
    let expected = format!("{work}/job.sh 2 two words; rm *\n{work}\nb t n1\n.\n..\njob.sh\nread");
    assert_eq!((done.stdout, done.stderr), (expected, String::new()));
    assert!(place.is_clean("t"));
}

#[tokio::test]
async fn a_file_may_be_a_program() {
    let place = Place::new();
    let agent = place.agent().await;
    let digest = place.keep(&fs::read("/bin/echo").unwrap());
    let spec = json!({"digest": digest, "name": "-n", "args": ["hello"]});
    let done = agent.run("file", "t", &spec).await;
    assert_eq!((done.end, done.stdout.as_str()), (exited(ExitStatus::Code(0)), "hello\n"));
}

#[tokio::test]
async fn the_end_is_that_of_the_file_also_by_a_signal() {
    let place = Place::new();
    let agent = place.agent().await;
    for (task, text, status) in [
        ("ok", "exit 0", ExitStatus::Code(0)),
        ("high", "exit 255", ExitStatus::Code(255)),
        ("killed", "kill -9 $$", ExitStatus::Signal(9)),
        ("aborted", "kill -6 $$", ExitStatus::Signal(6)),
        ("term", "kill -15 $$", ExitStatus::Signal(15)),
    ] {
        let done = agent.run("file", task, &script(&place, text)).await;
        assert_eq!(done.end, exited(status), "{task}");
        assert!(place.is_clean(task));
    }
}

#[tokio::test]
async fn what_cannot_run_is_refused_and_leaves_nothing() {
    let place = Place::new();
    let agent = place.agent().await;
    let spec = |bytes: &[u8]| json!({ "digest": place.keep(bytes), "name": "job" });
    assert_eq!(refusal(&agent, &spec(b"echo hello\n")).await.code, "no_program");
    assert_eq!(refusal(&agent, &spec(b"")).await.code, "no_program");
    let nowhere = refusal(&agent, &spec(b"#!/no/such/interpreter\n")).await;
    assert_eq!(nowhere.code, "no_such_program");
    assert!(nowhere.message.contains("/no/such/interpreter"), "{nowhere}");
    let missing = refusal(&agent, &json!({"digest": "0".repeat(64), "name": "job"})).await;
    assert_eq!((missing.kind, missing.code.as_str()), (ErrorKind::NotFound, "no_content"));
    let path = script(&place, "true");
    let path = json!({"digest": path["digest"], "name": "../job"});
    assert!(refusal(&agent, &path).await.message.starts_with("name: "));
    let short = json!({"digest": "00", "name": "job"});
    assert!(refusal(&agent, &short).await.message.contains("digest"));

    let digest = place.keep(b"#!/bin/sh\necho good\n");
    fs::write(place.kept(&digest), "#!/bin/sh\necho evil\n").unwrap();
    let changed = refusal(&agent, &json!({"digest": digest, "name": "job"})).await;
    assert_eq!(changed.code, "digest_mismatch");
    assert!(!place.task_dir("t").exists());
    // The id is free.
    let done = agent.run("file", "t", &script(&place, "echo fine")).await;
    assert_eq!(done.stdout, "fine\n");

    let answer = agent.request("file", &json!({})).await.unwrap_err();
    assert_eq!(answer.kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn folders_are_private_and_nothing_stays_in_them() {
    let place = Place::new();
    let agent = place.agent().await;
    let outside = place.dir().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "").unwrap();
    let text = format!(
        "mkdir -p a/b && touch a/b/c && ln -s {} a/link && chmod 500 a/b a && \
         echo ready && read wait; exit 3",
        outside.display()
    );
    let mut spec = script(&place, &text);
    spec["stdin"] = json!("open");
    let task = agent.start("file", "t", &spec).await.unwrap();
    output_with(&task.log, "ready").await;
    let dir = place.task_dir("t");
    assert_eq!(mode(&dir) & 0o777, 0o700);
    assert_eq!(mode(&dir.join("work")) & 0o777, 0o700);
    assert_eq!(mode(&dir.join("work/job.sh")), 0o700);
    // Commands reach the file itself.
    let (sender, answer) = oneshot::channel();
    let line = json!({"stdin": "Z28K"}).to_string().into_bytes();
    task.inbox.send(RawInput::Command(line, sender)).await.unwrap();
    timeout(LIMIT, answer).await.unwrap().unwrap().unwrap();
    assert_eq!(task.finish().await.end, exited(ExitStatus::Code(3)));
    assert!(place.is_clean("t") && outside.join("kept").exists());
}

#[tokio::test]
async fn a_stop_is_for_the_file() {
    let place = Place::new();
    let agent = place.agent().await;
    let text = "trap 'echo bye; exit 4' TERM; trap 'echo usr' USR1; echo ready; \
                while :; do sleep 0.01; done";
    let task = agent.start("file", "t", &script(&place, text)).await.unwrap();
    output_with(&task.log, "ready").await;
    let (sender, answer) = oneshot::channel();
    let signal = json!({"signal": "USR1"}).to_string().into_bytes();
    task.inbox.send(RawInput::Command(signal, sender)).await.unwrap();
    timeout(LIMIT, answer).await.unwrap().unwrap().unwrap();
    output_with(&task.log, "usr").await;
    task.stop(LIMIT).await;
    let done = task.finish().await;
    let status = ExitStatus::Code(4);
    assert_eq!(done.end, TaskEnd::Exited { status, stopped: true, timed_out: false });
    assert!(done.stdout.ends_with("bye\n") && place.is_clean("t"));

    let deaf = script(&place, "trap '' TERM; echo ready; while :; do sleep 0.01; done");
    let task = agent.start("file", "deaf", &deaf).await.unwrap();
    output_with(&task.log, "ready").await;
    task.stop(Duration::from_millis(50)).await;
    let status = ExitStatus::Signal(9);
    let end = task.finish().await.end;
    assert_eq!(end, TaskEnd::Exited { status, stopped: true, timed_out: false });
    assert!(place.is_clean("deaf"));

    let mut slow = script(&place, "exec sleep 1000");
    slow["timeout_ms"] = json!(50);
    let done = agent.run("file", "slow", &slow).await;
    let status = ExitStatus::Signal(15);
    assert_eq!(done.end, TaskEnd::Exited { status, stopped: false, timed_out: true });
}

#[tokio::test]
async fn nothing_stays_when_the_process_is_killed() {
    let place = Place::new();
    let agent = place.agent().await;
    let spec = script(&place, "touch left; echo ready; exec sleep 1000");
    let task = agent.start("file", "t", &spec).await.unwrap();
    output_with(&task.log, "ready").await;
    kill(place.pid("t"), Signal::KILL);
    assert_eq!(task.finish().await.end, exited(ExitStatus::Signal(9)));
    assert!(place.is_clean("t"));
}

#[test]
fn a_file_outlives_its_agent() {
    let place = Place::new();
    let go = place.dir().join("go");
    let text = format!(
        "echo 0.5 > $REMUDA_EVENTS; echo ready; while [ ! -e {} ]; do sleep 0.01; done; \
         echo 0.75 > $REMUDA_EVENTS; echo done; exit 5",
        go.display()
    );
    let first = Mortal::new();
    let pid = first.0.block_on(async {
        let agent = place.agent().await;
        let mut task = agent.start("file", "t", &script(&place, &text)).await.unwrap();
        output_with(&task.log, "ready").await;
        assert_eq!(task.report().await, Report::Progress(0.5));
        place.pid("t")
    });
    first.die();
    assert!(alive(pid));
    let second = Mortal::new();
    second.0.block_on(async {
        let agent = place.agent().await;
        agent.recovering("file", &["t"]).await;
        let mut task = agent.recover("file", "t").await.unwrap();
        assert_eq!(task.summary, "job.sh");
        assert_eq!(place.pid("t"), pid);
        fs::write(&go, "").unwrap();
        // It may have been reported by the agent that died, but not written down.
        let mut report = task.report().await;
        if report == Report::Progress(0.5) {
            report = task.report().await;
        }
        assert_eq!(report, Report::Progress(0.75));
        let done = task.finish().await;
        assert_eq!(
            (done.end, done.stdout.as_str()),
            (exited(ExitStatus::Code(5)), "ready\ndone\n")
        );
        assert!(place.is_clean("t"));
    });
    second.die();
}

#[test]
fn what_an_agent_left_behind_is_removed_by_the_next_unless_it_runs() {
    let place = Place::new();
    let first = Mortal::new();
    let spec = script(&place, "touch left; echo ready; exec sleep 1000");
    let pids = first.0.block_on(async {
        let agent = place.agent().await;
        for task in ["known", "unknown", "killed"] {
            let task = agent.start("file", task, &spec).await.unwrap();
            output_with(&task.log, "ready").await;
        }
        ["known", "unknown", "killed"].map(|task| place.pid(task))
    });
    first.die();
    kill(pids[2], Signal::KILL);
    fs::create_dir(place.task_dir("torn")).unwrap();
    symlink("/etc", place.task_dir("torn").join("link")).unwrap();
    let second = Mortal::new();
    second.0.block_on(async {
        let agent = place.agent().await;
        agent.recovering("file", &["known"]).await;
        assert!(alive(pids[0]) && place.task_dir("known").join("work/left").exists());
        until("the unknown one ends", || !alive(pids[1])).await;
        for task in ["unknown", "killed", "torn"] {
            assert!(!place.task_dir(task).exists(), "{task}");
        }
        let task = agent.recover("file", "known").await.unwrap();
        task.stop(Duration::ZERO).await;
        task.finish().await;
        assert!(place.is_clean("known"));
    });
    second.die();
}
