//! What is left when agents and holders die.

use std::{fs, time::Duration};

use remuda_driver_exec::{ExecCommand, ExecSpec};
use remuda_model::{ExitStatus, TaskEnd};
use rustix::process::Signal;

use crate::support::{
    Agent, Held, Place, alive, id, kill, marked, output_with, shell, spec, until,
};

fn exited(status: ExitStatus) -> TaskEnd {
    TaskEnd::Exited { status, stopped: false, timed_out: false }
}

fn lost(message: &str) -> TaskEnd {
    TaskEnd::Lost { message: message.to_owned() }
}

/// An agent with a runtime of its own, which can die without a word to the holder.
struct Mortal(tokio::runtime::Runtime);

impl Mortal {
    fn new() -> Self {
        Self(
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap(),
        )
    }

    /// Everything of it ends at once, as by a `kill -9`.
    fn die(self) {
        self.0.shutdown_timeout(Duration::from_secs(10));
    }
}

/// A task that says when it is ready, and goes on when `place/go` exists.
fn patient(place: &Place, then: &str) -> ExecSpec {
    let go = place.dir().join("go");
    shell(&format!("echo ready; while [ ! -e {} ]; do sleep 0.01; done; {then}", go.display()))
}

#[test]
fn a_task_outlives_its_agent() {
    let place = Place::new();
    let first = Mortal::new();
    let (pid, holder) = first.0.block_on(async {
        let agent = place.agent().await;
        let running = agent.start("long", &patient(&place, "echo done; exit 5")).await.unwrap();
        output_with(&running.log, "ready").await;
        (place.pid("long"), place.holders())
    });
    first.die();
    assert!(alive(pid));

    let second = Mortal::new();
    second.0.block_on(async {
        let agent = place.agent().await;
        agent.class.recovering(&[id("long")]).await;
        let task = agent.recover("long").await.unwrap();
        assert!(task.summary.starts_with("sh -c 'echo ready;"));
        assert_eq!((place.pid("long"), place.holders()), (pid, holder));
        // It can still be told what to do.
        task.send(ExecCommand::Signal("CONT".into())).await.unwrap();
        fs::write(place.dir().join("go"), "").unwrap();
        let (end, output) = task.finish().await;
        assert_eq!(end, exited(ExitStatus::Code(5)));
        assert_eq!(output.text(), "ready\ndone\n");
    });
    second.die();
}

#[test]
fn a_task_that_ended_without_its_agent_is_reported_to_the_next() {
    let place = Place::new();
    let first = Mortal::new();
    let pid = first.0.block_on(async {
        let agent = place.agent().await;
        let limited = ExecSpec { timeout_ms: Some(300), ..shell("echo limited; sleep 1000") };
        agent.start("limited", &limited).await.unwrap();
        agent.start("short", &patient(&place, "echo done; exit 5")).await.unwrap();
        place.pid("short")
    });
    first.die();
    fs::write(place.dir().join("go"), "").unwrap();
    let second = Mortal::new();
    second.0.block_on(async {
        until("both ends are written down", || {
            ["short", "limited"].iter().all(|task| place.task_dir(task).join("exit").exists())
        })
        .await;
        assert!(!alive(pid));
        let agent = place.agent().await;
        let (end, output) = agent.recover("short").await.unwrap().finish().await;
        assert_eq!(end, exited(ExitStatus::Code(5)));
        assert_eq!(output.text(), "ready\ndone\n");
        // Its time limit held while nobody was there.
        let (end, output) = agent.recover("limited").await.unwrap().finish().await;
        let status = ExitStatus::Signal(15);
        assert_eq!(end, TaskEnd::Exited { status, stopped: false, timed_out: true });
        assert_eq!(output.text(), "limited\n");
    });
    second.die();
}

#[test]
fn tasks_that_nobody_knows_are_ended() {
    let place = Place::new();
    let first = Mortal::new();
    first.0.block_on(async {
        let agent = place.agent().await;
        agent.start("known", &spec(&["sleep", "1000"])).await.unwrap();
        agent.start("unknown", &spec(&["sleep", "1000"])).await.unwrap();
    });
    let (known, unknown) = (place.pid("known"), place.pid("unknown"));
    first.die();
    let second = Mortal::new();
    second.0.block_on(async {
        let agent = place.agent().await;
        agent.class.recovering(&[id("known")]).await;
        assert!(alive(known) && !alive(unknown));
        assert!(!place.task_dir("unknown").exists());
        let task = agent.recover("known").await.unwrap();
        task.stop(Duration::from_mins(1)).await;
        let stopped =
            TaskEnd::Exited { status: ExitStatus::Signal(15), stopped: true, timed_out: false };
        assert_eq!(task.finish().await.0, stopped);
        agent.class.forget(&id("known")).await;
        assert!(!place.task_dir("known").exists());
    });
    second.die();
}

#[tokio::test]
async fn the_shutdown_of_an_agent_leaves_its_tasks_alone() {
    let place = Place::new();
    let agent = place.agent().await;
    let Held { inbox, work, log, .. } = agent.start("a", &patient(&place, "exit 6")).await.unwrap();
    output_with(&log, "ready").await;
    drop(inbox);
    assert_eq!(work.await.unwrap(), lost("its agent shut down"));
    drop((agent, log));
    let agent = place.agent().await;
    let task = agent.recover("a").await.unwrap();
    fs::write(place.dir().join("go"), "").unwrap();
    assert_eq!(task.finish().await.0, exited(ExitStatus::Code(6)));
}

#[tokio::test]
async fn tasks_end_with_their_holder_and_are_lost() {
    let place = Place::new();
    let agent = place.agent().await;
    let (end, _) = agent.run("before", &shell("echo kept; exit 2")).await;
    assert_eq!(end, exited(ExitStatus::Code(2)));
    let mark = [("MARK".to_owned(), "orphan".to_owned())];
    let forking = ExecSpec { env: mark.into(), ..shell("sleep 1000 & echo ready; wait") };
    let task = agent.start("during", &forking).await.unwrap();
    output_with(&task.log, "ready").await;
    let holders = place.holders();
    assert_eq!(holders.len(), 1);
    kill(holders[0], Signal::KILL);
    let (end, output) = task.finish().await;
    assert_eq!((end, output.text()), (lost("the holder died"), "ready\n"));
    until("nothing of it is left", || marked("orphan").is_empty()).await;

    // What is on disk is still delivered, and a new holder is started for new tasks.
    let (end, output) = agent.recover("before").await.unwrap().finish().await;
    assert_eq!((end, output.text()), (exited(ExitStatus::Code(2)), "kept\n"));
    let (end, output) = agent.recover("during").await.unwrap().finish().await;
    assert_eq!((end, output.text()), (lost("the holder died"), "ready\n"));
    assert_eq!(agent.run("after", &spec(&["true"])).await.0, exited(ExitStatus::Code(0)));
    assert_ne!(place.holders(), holders);
}

#[test]
fn tasks_end_with_their_holder_even_when_no_agent_looks() {
    let place = Place::new();
    let first = Mortal::new();
    let pids = first.0.block_on(async {
        let agent = place.agent().await;
        agent.start("own", &spec(&["sleep", "1000"])).await.unwrap();
        // A change of user makes the kernel forget whose death to watch.
        let user = rustix::process::geteuid().is_root().then(|| "nobody".to_owned());
        let other = ExecSpec { user, ..spec(&["sleep", "1000"]) };
        agent.start("other", &other).await.unwrap();
        [place.pid("own"), place.pid("other")]
    });
    first.die();
    assert!(pids.into_iter().all(alive));
    kill(place.holders()[0], Signal::KILL);
    let second = Mortal::new();
    second.0.block_on(async {
        until("both are gone", || !pids.into_iter().any(alive)).await;
    });
    second.die();
}

#[tokio::test]
async fn a_restart_of_the_machine_is_told_from_a_dead_holder() {
    let place = Place::new();
    fs::create_dir_all(place.task_dir("old")).unwrap();
    // The number is in use by this very process, which must not be taken for the task.
    let own = std::process::id();
    let record =
        format!(r#"{{"pid":{own},"started":1,"boot_id":"another boot","summary":"sleep 1000"}}"#);
    fs::write(place.task_dir("old").join("spawned"), record).unwrap();
    let agent = place.agent().await;
    let task = agent.recover("old").await.unwrap();
    assert_eq!(task.summary, "sleep 1000");
    assert_eq!(task.finish().await.0, lost("the machine restarted"));
    assert!(place.holders().is_empty());
}

#[tokio::test]
async fn a_holder_ends_when_its_agent_leaves_and_no_task_runs() {
    let place = Place::new();
    let agent = place.agent().await;
    let Held { work, inbox, .. } = agent.start("a", &patient(&place, "true")).await.unwrap();
    let holder = place.holders()[0];
    drop((agent, inbox));
    work.abort();
    drop(work.await);
    assert!(alive(holder), "a task runs");
    fs::write(place.dir().join("go"), "").unwrap();
    until("the holder ends", || place.holders().is_empty()).await;
    let agent = place.agent().await;
    assert_eq!(agent.recover("a").await.unwrap().finish().await.0, exited(ExitStatus::Code(0)));
}

#[tokio::test]
async fn a_newer_agent_takes_over() {
    let place = Place::new();
    let first = place.agent().await;
    let task = first.start("a", &patient(&place, "exit 8")).await.unwrap();
    output_with(&task.log, "ready").await;
    let second: Agent = place.agent().await;
    let taken = second.recover("a").await.unwrap();
    fs::write(place.dir().join("go"), "").unwrap();
    assert_eq!(taken.finish().await.0, exited(ExitStatus::Code(8)));
    let failure = first.start("b", &spec(&["true"])).await.map(drop).unwrap_err();
    assert!(failure.message.contains("another agent"), "{failure}");
    assert_eq!(second.run("b", &spec(&["true"])).await.0, exited(ExitStatus::Code(0)));
}

#[tokio::test]
async fn a_terminated_holder_stops_its_tasks_and_writes_that_down() {
    let place = Place::new();
    let agent = place.agent().await;
    let task = agent.start("a", &spec(&["sleep", "1000"])).await.unwrap();
    kill(place.holders()[0], Signal::TERM);
    let status = ExitStatus::Signal(15);
    let (end, _) = task.finish().await;
    assert_eq!(end, TaskEnd::Exited { status, stopped: true, timed_out: false });
    until("the holder ends", || place.holders().is_empty()).await;
}

#[tokio::test]
async fn a_holder_that_cannot_start_is_explained() {
    let place = Place::new();
    let config = remuda_driver_exec::ExecConfig {
        data_dir: place.dir().to_owned(),
        program: "/no/such/program".into(),
    };
    let agent = Agent { class: remuda_driver_exec::exec_class(config).await.unwrap() };
    let failure = agent.start("a", &spec(&["true"])).await.map(drop).unwrap_err();
    assert!(failure.hint.unwrap().contains("holder.log"));
    // What needs no holder works.
    let reply = agent.request(&shell("echo here")).await.unwrap();
    assert_eq!(reply.stdout, "here\n");
}

#[tokio::test]
async fn long_paths_are_no_obstacle() {
    let place = Place::new();
    let data_dir = place.dir().join("x".repeat(120));
    let program = env!("CARGO_BIN_EXE_remuda-holder").into();
    let config = remuda_driver_exec::ExecConfig { data_dir, program };
    let agent = Agent { class: remuda_driver_exec::exec_class(config).await.unwrap() };
    assert_eq!(agent.run("a", &spec(&["true"])).await.0, exited(ExitStatus::Code(0)));
}
