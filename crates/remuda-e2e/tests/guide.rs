//! The guide is true: its blocks are run, chapter after chapter, on two machines.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use remuda_e2e::{Namespace, example, pair, remuda};
use tempfile::TempDir;

/// A block of a chapter: what it is, and what it says.
struct Block {
    kind: String,
    text: String,
    line: usize,
}

fn blocks(chapter: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (number, line) in chapter.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(kind) => {
                open = true;
                let (kind, line) = (kind.to_owned(), number + 1);
                blocks.push(Block { kind, text: String::new(), line });
            }
            None if open => {
                let block = blocks.last_mut().expect("one is open");
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {}
        }
    }
    blocks
}

/// A machine with a home, in which a reader types.
struct Machine {
    namespace: Namespace,
    home: PathBuf,
}

/// The guide, its two machines, and what is known on both of them.
struct Reader {
    machines: BTreeMap<&'static str, Machine>,
    variables: Vec<(&'static str, String)>,
    _dir: TempDir,
}

impl Reader {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (first, second) = pair();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).expect("makes");
        std::os::unix::fs::symlink(remuda(), bin.join("remuda")).expect("links");
        for name in ["guide", "own_class"] {
            std::os::unix::fs::symlink(example(name), bin.join(name)).expect("links");
        }
        let program = "#!/bin/sh\nname=$1; shift; exec \"$(dirname \"$0\")/$name\" \"$@\"\n";
        let runs = bin.join("example");
        fs::write(&runs, program).expect("writes");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&runs, mode).expect("sets");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("is set"));
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let target = remuda().ancestors().nth(2).expect("in the target folder");
        let variables = vec![
            ("PATH", path),
            ("FIRST", first.address().to_owned()),
            ("REMUDA_SRC", root.display().to_string()),
            ("CARGO_TARGET_DIR", target.display().to_string()),
            ("REMUDA_LAN", "off".to_owned()),
        ];
        let machines = [("first", first), ("second", second)].map(|(name, namespace)| {
            let home = dir.path().join(name);
            fs::create_dir(&home).expect("makes");
            (name, Machine { namespace, home })
        });
        Self { machines: machines.into(), variables, _dir: dir }
    }

    /// Types a block, with what the blocks before have exported; returns its standard output.
    fn types(&self, name: &str, text: &str) -> (bool, String, String) {
        let machine = &self.machines[name];
        let script = format!(
            "set -euo pipefail; set -a; [ ! -e .exported ] || . ./.exported; set +a\n{text}\n\
             export -p > .exported"
        );
        let place = machine.namespace.place();
        let mut bash = place.command(Path::new("timeout"));
        let (out, err) = (machine.home.join(".out"), machine.home.join(".err"));
        bash.args(["60", "bash", "-c"])
            .arg(script)
            .current_dir(&machine.home)
            .env("HOME", &machine.home);
        bash.envs(self.variables.iter().map(|(name, value)| (*name, value)));
        // No pipes: what goes on in the background would hold them.
        bash.stdin(Stdio::null());
        bash.stdout(File::create(&out).expect("makes")).stderr(File::create(&err).expect("makes"));
        let ended = bash.status().expect("bash runs");
        let read = |path: &Path| fs::read_to_string(path).expect("is text");
        (ended.success(), read(&out), read(&err))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        for machine in self.machines.values() {
            let mut kill = Command::new("pkill");
            kill.args(["-9", "-f", machine.home.to_str().expect("text")]);
            drop(kill.status());
            // Agents were started with a folder relative to the home.
            let pids = machine.namespace.processes();
            drop(Command::new("kill").arg("-9").args(pids).stderr(Stdio::null()).status());
        }
    }
}

/// Whether the lines are the expected ones; `…` stands for anything.
fn fits(expected: &str, found: &str) -> bool {
    let line_fits = |(expected, found): (&str, &str)| match expected.split_once('…') {
        None => expected == found,
        Some((start, end)) => {
            found.len() >= start.len() + end.len()
                && found.starts_with(start)
                && found.ends_with(end)
        }
    };
    let expected: Vec<_> = expected.lines().collect();
    let mut found: Vec<_> = found.lines().collect();
    if expected.first() == Some(&"…") {
        found.drain(..found.len().saturating_sub(expected.len() - 1));
        return expected[1..].iter().copied().zip(found.iter().copied()).all(line_fits);
    }
    expected.len() == found.len() && expected.into_iter().zip(found).all(line_fits)
}

#[test]
fn the_guide_is_true_in_namespaces_guest_in_c() {
    let reader = Reader::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/src");
    let summary = fs::read_to_string(root.join("SUMMARY.md")).expect("is there");
    let chapters = summary.lines().filter_map(|line| line.split_once("](")?.1.split_once(')'));
    let mut n_run = 0;
    for (chapter, _) in chapters {
        let text = fs::read_to_string(root.join(chapter)).expect("is there");
        let mut said = None;
        for block in blocks(&text) {
            let at = format!("{chapter}:{}", block.line);
            match block.kind.split_once(' ') {
                Some(("sh", machine)) => {
                    if machine == "second" {
                        let secrets = reader.machines["first"].home.join("herd/join-token-worker");
                        let there = reader.machines["second"].home.join("worker-token");
                        fs::copy(secrets, there).expect("is there");
                    }
                    let (good, out, err) = reader.types(machine, &block.text);
                    assert!(good, "{at}: {out}\n{err}");
                    said = Some(out);
                    n_run += 1;
                }
                _ if block.kind == "text" => {
                    let said = said.take().expect("something was run before");
                    assert!(fits(&block.text, &said), "{at}: expected\n{}got\n{said}", block.text);
                }
                // Included from files that are compiled: see the examples and the guests.
                _ => assert!(block.text.contains("{{#include"), "{at}: nobody runs this block"),
            }
        }
    }
    assert!(n_run > 20, "{n_run}");
}
