//! Clocks that are wrong, by a library that is loaded into a process.

use std::fs;

use crate::Place;

/// The same place with a clock that can be set wrong by the variables of libfaketime. Only the wall
/// clock is: the monotonic one never jumps.
///
/// # Panics
///
/// When the library is not installed.
pub fn wrong_clock(place: Place) -> Place {
    let library = fs::read_dir("/usr/lib").expect("a system").flatten().find_map(|entry| {
        let path = entry.path().join("faketime/libfaketimeMT.so.1");
        path.exists().then_some(path)
    });
    let library = library.expect("this test needs libfaketime: apt-get install faketime");
    place
        .with("LD_PRELOAD", library.to_str().expect("UTF-8"))
        .with("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}
