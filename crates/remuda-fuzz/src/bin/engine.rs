#![no_main]
//! The targets under libFuzzer, which `cargo xtask fuzz` runs:
//! `REMUDA_FUZZ_TARGET=labels REMUDA_FUZZ_CORPUS=DIR remuda-fuzz [options of libFuzzer] DIR`.

use std::{fs, path::PathBuf, sync::OnceLock};

use libfuzzer_sys::fuzz_target;
use remuda_fuzz::{
    Target,
    bounds::{MAX_TIME, measure},
};

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fn chosen() -> &'static Target {
    TARGET.get_or_init(|| {
        let name = std::env::var("REMUDA_FUZZ_TARGET").expect("REMUDA_FUZZ_TARGET names a target");
        Target::find(&name).unwrap_or_else(|| panic!("no target `{name}`"))
    })
}

/// Puts the seeds where the engine looks for inputs.
fn plant() {
    let Some(dir) = std::env::var_os("REMUDA_FUZZ_CORPUS").map(PathBuf::from) else { return };
    for (number, seed) in (chosen().seeds)().iter().enumerate() {
        fs::write(dir.join(format!("seed-{number}")), seed).expect("a folder for inputs");
    }
}

fuzz_target!(
    init: plant(),
    |input: &[u8]| {
        let target = chosen();
        let used = measure(|| (target.run)(input));
        if let Err(excess) = used.check(input.len()) {
            panic!("{}: {excess}", target.name);
        }
        // Once more, for whatever happens at the first time only.
        if used.time > MAX_TIME {
            let again = measure(|| (target.run)(input)).time;
            assert!(again <= MAX_TIME, "{}: an input takes {again:?}", target.name);
        }
    }
);
