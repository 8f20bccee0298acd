//! The examples of the library do what they say.

use remuda_e2e::{Lab, Place, example, finish};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_follows_a_task() {
    let lab = Lab::start(1, 1).await;
    let mut command = Place::default().command(&example("client"));
    command.env("REMUDA_ADDR", lab.node("c1").api()).env("REMUDA_TOKEN", lab.admin_token());
    let ended = finish(command).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for words in ["runs \"", "started ", "TaskStarted", "the task ended: exit 0"] {
        assert!(ended.stdout.contains(words), "no `{words}` in {ended:?}");
    }

    let mut command = Place::default().command(&example("client"));
    command.env("REMUDA_ADDR", lab.node("c1").api()).env("REMUDA_TOKEN", "rmt1.no.token");
    let refused = finish(command).await;
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(!refused.stderr.contains("panicked"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_of_ones_own_counts() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = Place::default().with("TMPDIR", dir.path().to_str().expect("UTF-8"));
    let ended = finish(place.command(&example("own_class"))).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines, ["1 + 2 + 3 = 6", "the counter says {\"at\":42}"]);
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0, "files are left");
}
