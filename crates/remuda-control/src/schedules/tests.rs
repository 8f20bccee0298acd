//! Ids of runs, and messages that are kept.

use super::*;

#[test]
fn each_second_has_a_run_id_of_its_own() {
    let schedule: ScheduleId = "nightly".parse().expect("a name");
    let id = |ms| run_id(&schedule, ms).expect("a time").to_string();
    assert_eq!(id(1_795_399_200_000), "nightly-20261123T020000");
    assert_eq!(id(1_795_399_201_000), "nightly-20261123T020001");
    assert_eq!(id(0), "nightly-19700101T000000");
    assert!(run_id(&schedule, u64::MAX).is_err());
    // The longest name leaves room for the time.
    let longest: ScheduleId = "x".repeat(64).parse().expect("a name");
    assert_eq!(run_id(&longest, 0).expect("an id").as_str().len(), 80);
}
