//! Tasks and requests of the class, with a real holder and real processes.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use remuda_driver_exec::{ExecCommand, ExecSpec, Stdin};
use remuda_model::{ErrorKind, ExitStatus, TaskEnd};

use crate::support::{
    Held, Output, Place, alive, id, marked, output_with, read, shell, spec, until,
};

fn exited(status: ExitStatus) -> TaskEnd {
    TaskEnd::Exited { status, stopped: false, timed_out: false }
}

fn stopped(status: ExitStatus) -> TaskEnd {
    TaskEnd::Exited { status, stopped: true, timed_out: false }
}

async fn write(task: &Held, text: &str) {
    task.send(ExecCommand::Stdin(BASE64_STANDARD.encode(text))).await.unwrap();
}

#[tokio::test]
async fn output_and_exit_codes_are_those_of_the_command() {
    let place = Place::new();
    let agent = place.agent().await;
    let task = agent.start("a", &shell("echo out; echo err >&2; exit 7")).await.unwrap();
    assert_eq!(task.summary, "sh -c 'echo out; echo err >&2; exit 7'");
    let (end, output) = task.finish().await;
    assert_eq!(end, exited(ExitStatus::Code(7)));
    assert_eq!(output, Output { stdout: b"out\n".into(), stderr: b"err\n".into(), dropped: 0 });
    let (end, _) = agent.run("b", &shell("kill -9 $$")).await;
    assert_eq!(end, exited(ExitStatus::Signal(9)));
    // A real-time signal, which some libraries cannot name.
    let (end, _) = agent.run("c", &shell("kill -40 $$")).await;
    assert_eq!(end, exited(ExitStatus::Signal(40)));
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let place = Place::new();
    let agent = place.agent().await;
    let failure = async |spec: ExecSpec| {
        agent.start("a", &spec).await.map(drop).expect_err("it cannot start")
    };
    assert_eq!(failure(spec(&["no-such-program-here"])).await.code, "no_such_program");
    let plain = failure(spec(&["/etc/passwd"])).await;
    assert_eq!(plain.code, "permission_denied");
    let long =
        failure(ExecSpec { stdin: Stdin::Text("x".repeat(2_000_000)), ..spec(&["cat"]) }).await;
    assert_eq!(long.kind, ErrorKind::Invalid);
    assert!(!place.task_dir("a").exists(), "nothing is left of a task that did not start");
    // The id is still free, and taken once the task runs.
    let task = agent.start("a", &spec(&["sleep", "1000"])).await.unwrap();
    assert_eq!(failure(spec(&["true"])).await.kind, ErrorKind::Exists);
    task.stop(Duration::ZERO).await;
    assert_eq!(task.finish().await.0, stopped(ExitStatus::Signal(9)));
}

#[tokio::test]
async fn stdin_is_a_text_or_open_or_nothing() {
    let place = Place::new();
    let agent = place.agent().await;
    let (end, output) = agent.run("none", &spec(&["cat"])).await;
    assert_eq!((end, output), (exited(ExitStatus::Code(0)), Output::default()));

    // More than a pipe holds.
    let text = "0123456789".repeat(30_000);
    let (_, output) =
        agent.run("text", &ExecSpec { stdin: Stdin::Text(text.clone()), ..spec(&["cat"]) }).await;
    assert_eq!(output.text(), text);

    let open = ExecSpec { stdin: Stdin::Open, ..shell("cat; echo ' end'; exec sleep 1000") };
    let task = agent.start("open", &open).await.unwrap();
    write(&task, "one ").await;
    write(&task, "two").await;
    output_with(&task.log, "one two").await;
    task.send(ExecCommand::CloseStdin).await.unwrap();
    output_with(&task.log, "end").await;
    let late = task.send(ExecCommand::Stdin("YQ==".to_owned())).await.unwrap_err();
    assert_eq!(late.code, "stdin_closed");
    task.stop(Duration::from_mins(1)).await;
    let (end, output) = task.finish().await;
    assert_eq!((end, output.text()), (stopped(ExitStatus::Signal(15)), "one two end\n"));
}

#[tokio::test]
async fn a_command_that_does_not_read_blocks_nothing_else() {
    let place = Place::new();
    let agent = place.agent().await;
    let open = ExecSpec { stdin: Stdin::Open, ..spec(&["sleep", "1000"]) };
    let Held { inbox, work, .. } = agent.start("deaf", &open).await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..40 {
        let (sender, answer) = tokio::sync::oneshot::channel();
        let command = ExecCommand::Stdin(BASE64_STANDARD.encode(vec![b'x'; 50_000]));
        let bytes = serde_json::to_vec(&command).unwrap();
        inbox.send(remuda_plugin::RawInput::Command(bytes, sender)).await.unwrap();
        answers.push(answer);
    }
    // The first fits into the pipe. Those beyond the bound are refused at once.
    assert_eq!(answers.remove(0).await.unwrap().map(drop), Ok(()));
    let refused = answers.pop().unwrap().await.unwrap().unwrap_err();
    assert_eq!(refused.kind, ErrorKind::NoCapacity);
    assert_eq!(agent.run("other", &spec(&["true"])).await.0, exited(ExitStatus::Code(0)));
    inbox.send(remuda_plugin::RawInput::Stop(Duration::ZERO)).await.unwrap();
    assert_eq!(work.await.unwrap(), stopped(ExitStatus::Signal(9)));
    for answer in answers {
        // Whoever still waited learns that nobody will read.
        assert!(answer.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn signals_reach_the_command() {
    let place = Place::new();
    let agent = place.agent().await;
    let line = "trap 'echo got it; exit 3' USR1; echo ready; while :; do sleep 0.01; done";
    let task = agent.start("a", &shell(line)).await.unwrap();
    output_with(&task.log, "ready").await;
    let failure = task.send(ExecCommand::Signal("NOISE".into())).await.unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Invalid);
    task.send(ExecCommand::Signal("USR1".into())).await.unwrap();
    let (end, output) = task.finish().await;
    assert_eq!(end, exited(ExitStatus::Code(3)));
    assert!(output.text().ends_with("got it\n"));
}

#[tokio::test]
async fn environment_folder_and_user_are_as_asked() {
    let place = Place::new();
    let agent = place.agent().await;
    let plain = ExecSpec {
        env: [("A".to_owned(), "b c".to_owned())].into(),
        clear_env: true,
        cwd: Some("/usr".to_owned()),
        ..spec(&["sh", "-c", "echo $A $REMUDA_NODE $REMUDA_TASK; pwd"])
    };
    let (_, output) = agent.run("plain", &plain).await;
    assert_eq!(output.text(), "b c n1 plain\n/usr\n");
    if rustix::process::geteuid().is_root() {
        let user = ExecSpec { user: Some("nobody".to_owned()), ..shell("id -un; sleep 1000") };
        let task = agent.start("user", &user).await.unwrap();
        output_with(&task.log, "nobody\n").await;
        task.stop(Duration::ZERO).await;
        assert_eq!(task.finish().await.0, stopped(ExitStatus::Signal(9)));
    }
}

#[tokio::test]
async fn a_time_limit_ends_a_task() {
    let place = Place::new();
    let agent = place.agent().await;
    let limited = ExecSpec { timeout_ms: Some(50), ..spec(&["sleep", "1000"]) };
    let (end, _) = agent.run("a", &limited).await;
    let status = ExitStatus::Signal(15);
    assert_eq!(end, TaskEnd::Exited { status, stopped: false, timed_out: true });
    assert!(!end.success());
}

#[tokio::test]
async fn a_stop_is_polite_first_and_then_takes_the_whole_group() {
    let place = Place::new();
    let agent = place.agent().await;
    let line = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    let polite = agent.start("polite", &shell(line)).await.unwrap();
    output_with(&polite.log, "ready").await;
    polite.stop(Duration::from_mins(1)).await;
    let (end, output) = polite.finish().await;
    assert_eq!(end, stopped(ExitStatus::Code(0)));
    assert!(output.text().ends_with("bye\n"));

    // Ignores the signal, and so do its children, one of which leaves the process group.
    let line = "trap '' TERM; sleep 1000 & setsid -f true; \
                set -m; sleep 1000 & echo ready; while :; do sleep 0.01; done";
    let mark = ExecSpec { env: [("MARK".into(), "deaf".into())].into(), ..shell(line) };
    let deaf = agent.start("deaf", &mark).await.unwrap();
    output_with(&deaf.log, "ready").await;
    assert!(marked("deaf").len() >= 3);
    deaf.stop(Duration::from_millis(50)).await;
    assert_eq!(deaf.finish().await.0, stopped(ExitStatus::Signal(9)));
    assert_eq!(marked("deaf"), [] as [i32; 0]);

    // A stopped process hears nothing before it goes on.
    let frozen = agent.start("frozen", &shell("kill -STOP $$; sleep 1000")).await.unwrap();
    frozen.stop(Duration::from_mins(1)).await;
    assert_eq!(frozen.finish().await.0, stopped(ExitStatus::Signal(15)));
}

#[tokio::test]
async fn what_a_task_leaves_behind_ends_with_it() {
    let place = Place::new();
    let agent = place.agent().await;
    // The child keeps the pipe open, and its own child has closed it.
    let line = "(sleep 1000 >/dev/null 2>&1 & sleep 1000) & echo done";
    let fork = ExecSpec { env: [("MARK".into(), "left".into())].into(), ..shell(line) };
    let (end, output) = agent.run("a", &fork).await;
    assert_eq!((end, output.text()), (exited(ExitStatus::Code(0)), "done\n"));
    assert_eq!(marked("left"), [] as [i32; 0]);
}

#[tokio::test]
async fn output_of_grandchildren_is_complete() {
    let place = Place::new();
    let agent = place.agent().await;
    let (_, output) = agent.run("a", &shell("(sleep 0.2; echo late) & echo early")).await;
    assert_eq!(output.text(), "early\nlate\n");
}

#[tokio::test]
async fn fifty_megabytes_arrive() {
    let place = Place::new();
    let agent = place.agent().await;
    let (end, output) = agent.run("a", &shell("head -c 50000000 /dev/zero")).await;
    assert_eq!(end, exited(ExitStatus::Code(0)));
    assert_eq!((output.stdout.len(), output.dropped), (50_000_000, 0));
}

#[tokio::test]
async fn too_much_output_loses_its_beginning_and_blocks_nobody() {
    let place = Place::new();
    let agent = place.agent().await;
    let line = "head -c 5000000 /dev/zero; echo the end";
    let spec = ExecSpec { max_output_bytes: Some(1_000_000), ..shell(line) };
    let task = agent.start("a", &spec).await.unwrap();
    let (end, output) = (task.work.await.unwrap(), read(&task.log).await);
    assert_eq!(end, exited(ExitStatus::Code(0)));
    assert!(output.dropped >= 4_000_000 && output.stdout.len() <= 1_000_000);
    assert!(output.stdout.ends_with(b"the end\n"));
}

#[tokio::test]
async fn a_thousand_quick_tasks() {
    let place = Place::new();
    let agent = place.agent().await;
    let quick = spec(&["true"]);
    for batch in 0..20 {
        let started: Vec<_> = (0..50).map(|task| format!("t{batch}-{task}")).collect();
        let ends =
            futures_util::future::join_all(started.iter().map(|task| agent.run(task, &quick)));
        assert!(ends.await.into_iter().all(|(end, _)| end == exited(ExitStatus::Code(0))));
        for task in &started {
            agent.class.forget(&id(task)).await;
        }
    }
    let left = std::fs::read_dir(place.dir().join("tasks")).unwrap().count();
    assert_eq!(left, 0, "nothing is left of a task that was forgotten");
}

#[tokio::test]
async fn a_request_captures_both_outputs() {
    let place = Place::new();
    let agent = place.agent().await;
    let text = ExecSpec {
        stdin: Stdin::Text("hello".to_owned()),
        ..shell("cat; echo $REMUDA_NODE; echo oops >&2; exit 4")
    };
    let reply = agent.request(&text).await.unwrap();
    assert_eq!(reply.status, ExitStatus::Code(4));
    assert_eq!((reply.stdout.as_str(), reply.stderr.as_str()), ("hellon1\n", "oops\n"));
    assert!(!reply.truncated && !reply.timed_out);

    let much = agent.request(&shell("head -c 3000000 /dev/zero; echo end >&2")).await.unwrap();
    assert_eq!((much.stdout.len(), much.stderr.as_str()), (1024 * 1024, "end\n"));
    assert!(much.truncated);

    let limited = ExecSpec { timeout_ms: Some(50), ..spec(&["sleep", "1000"]) };
    let reply = agent.request(&limited).await.unwrap();
    assert!(reply.timed_out && reply.status == ExitStatus::Signal(15));

    let open = ExecSpec { stdin: Stdin::Open, ..spec(&["cat"]) };
    assert_eq!(agent.request(&open).await.unwrap_err().kind, ErrorKind::Invalid);
    assert!(place.holders().is_empty(), "requests need no holder");
}

#[tokio::test]
async fn a_request_that_is_cancelled_leaves_nothing() {
    let place = Place::new();
    let agent = place.agent().await;
    let slow = ExecSpec {
        env: [("MARK".into(), "cancelled".into())].into(),
        ..shell("trap '' TERM; sleep 1000 & sleep 1000")
    };
    let request = agent.request(&slow);
    tokio::select! {
        reply = request => panic!("it cannot end: {reply:?}"),
        () = until("three processes", || marked("cancelled").len() == 3) => {}
    }
    until("none", || marked("cancelled").is_empty()).await;
    assert!(alive(i32::try_from(std::process::id()).unwrap()));
}
