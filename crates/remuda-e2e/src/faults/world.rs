//! The clusters in which faults happen.

use std::path::Path;

use super::shim::Shim;
use crate::{Lab, Lan, Place};

/// A kind of cluster; three control nodes each, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// Two workers.
    Plain,
    /// One worker, and machines for two more control nodes.
    Members,
    /// Twelve workers.
    Crowd,
    /// One worker; the control nodes have small disks.
    SmallDisks,
    /// One worker; the control nodes have disks that can lose power.
    CutDisks,
    /// One worker; the disks of the control nodes can be slow or fail.
    BadDisks,
    /// One worker; every node has a clock of its own.
    Clocks,
}

/// Megabytes of the disks that are to be filled.
const SMALL: u32 = 24;
/// Megabytes of those that lose power.
const IMAGE: u32 = 96;

/// A cluster that was built.
pub(super) struct Built {
    pub(super) lab: Lab,
    pub(super) lan: Lan,
    pub(super) controls: Vec<String>,
    pub(super) workers: Vec<String>,
}

/// The arguments of an agent that can be reached at a fixed place.
pub(super) fn arguments(lan: &Lan, name: &str, is_control: bool) -> Vec<String> {
    let address = lan.address(name);
    let mut arguments = vec!["--listen".to_owned(), format!("remuda://{address}:1973")];
    if is_control {
        let api = format!("{address}:44200");
        arguments.extend(["--api".to_owned(), api, "--api-insecure".to_owned()]);
    }
    arguments
}

/// The file that tells the clock of a node how wrong it is.
pub(super) fn clock_file(dir: &Path, name: &str) -> std::path::PathBuf {
    dir.join(format!("clock-{name}"))
}

impl World {
    fn workers(self) -> usize {
        match self {
            Self::Plain => 2,
            Self::Crowd => 12,
            _ => 1,
        }
    }

    /// Builds it and waits until all of it is ready.
    pub(super) async fn build(self) -> Built {
        let names = |prefix: &str, n: usize| -> Vec<String> {
            (1..=n).map(|number| format!("{prefix}{number}")).collect()
        };
        let (controls, workers) = (names("c", 3), names("w", self.workers()));
        let spare = if self == Self::Members { vec!["c4".into(), "c5".into()] } else { vec![] };
        let mut lan = Lan::new();
        for name in controls.iter().chain(&workers).chain(&spare) {
            lan.add(name);
        }
        let mut lab = Lab::empty();
        for name in controls.iter().chain(&workers) {
            let is_control = controls.contains(name);
            if is_control {
                match self {
                    Self::SmallDisks => lab.mount(name, SMALL),
                    Self::CutDisks => lab.mount_image(name, IMAGE),
                    _ => {}
                }
            }
            let place = self.place(&lab, &lan, name, is_control);
            let arguments = arguments(&lan, name, is_control);
            let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
            if name == "c1" {
                lab.bootstrap(&place, &words).await;
                continue;
            }
            if is_control {
                words.insert(0, "--control");
            }
            lab.join_at(&place, name, &words).await;
        }
        lab.wait_ready(controls.len() + workers.len()).await;
        Built { lab, lan, controls, workers }
    }

    fn place(self, lab: &Lab, lan: &Lan, name: &str, is_control: bool) -> Place {
        let place = lan.place(name);
        match self {
            Self::CutDisks | Self::BadDisks if is_control => {
                Shim::compile(lab.dir()).place(place, lab.dir(), name)
            }
            Self::Clocks => {
                let file = clock_file(lab.dir(), name);
                std::fs::write(&file, "+0").expect("a file");
                crate::clock::wrong_clock(place)
                    .with("FAKETIME_TIMESTAMP_FILE", file.to_str().expect("UTF-8"))
                    .with("FAKETIME_CACHE_DURATION", "1")
            }
            _ => place,
        }
    }
}
