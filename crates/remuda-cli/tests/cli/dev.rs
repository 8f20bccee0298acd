//! Local clusters of real processes, and that nothing is left of them.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::run::World;

/// A home, and a directory for temporary files below it.
fn world() -> World {
    let world = World::new().set("PATH", "/usr/local/bin:/usr/bin:/bin");
    let temporary = world.home().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let temporary = temporary.to_str().unwrap().to_owned();
    world.set("TMPDIR", &temporary)
}

/// The command lines of the processes that mention a directory.
fn processes(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(dir.to_str().unwrap())).collect()
}

fn wait_until_gone(dir: &Path) {
    let end = Instant::now() + Duration::from_secs(20);
    while !processes(dir).is_empty() {
        assert!(Instant::now() < end, "still there: {:#?}", processes(dir));
        std::thread::yield_now();
    }
}

#[test]
fn a_command_has_its_own_cluster() {
    let world = world();
    let script = "remuda exec dev2 -- echo hi; remuda exec dev2 --detach -- sleep 1000 >&2; exit 3";
    let label = "dev2=gpu;model=a100";
    let outcome = world.run(&[
        "dev",
        "--controls",
        "1",
        "--workers",
        "1",
        "--label",
        label,
        "--",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (3, "hi\n"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("gpu;model=a100"), "{}", outcome.stderr);
    assert_eq!(processes(world.home()), Vec::<String>::new());
    assert_eq!(fs::read_dir(world.home().join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_kept_cluster_goes_on_where_it_stopped() {
    let world = world();
    let dir = world.home().join("kept");
    let dev = |script: &str| {
        let dir = dir.to_str().unwrap();
        let outcome = world.run(&[
            "dev",
            "--controls",
            "1",
            "--workers",
            "1",
            "--data-dir",
            dir,
            "--",
            "sh",
            "-c",
            script,
        ]);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        outcome.stdout
    };
    dev("remuda node label dev2 gpu && remuda token create kept");
    assert_eq!(dev("remuda node label dev2"), "gpu\n");
    assert!(dev("remuda token list").contains("kept"));
}

#[test]
fn a_killed_one_takes_its_nodes_along() {
    let world = world();
    let mut child =
        world.command(&["dev", "--json", "--controls", "1", "--workers", "1"]).spawn().unwrap();
    // It says so when the cluster is ready, as one JSON text whose last line is a brace.
    let mut text = String::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        text.push_str(&line.unwrap());
        if text.ends_with('}') && serde_json::from_str::<Value>(&text).is_ok() {
            break;
        }
    }
    let said: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(said["nodes"].as_array().unwrap().len(), 2);
    assert_eq!(said["context"], "dev");
    let outcome = world.run(&["exec", "dev2", "--detach", "--", "sleep", "1000"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until_gone(world.home());
}
