//! Files that appear whole or not at all.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use remuda_model::Failure;
use tempfile::TempDir;

use super::*;
use crate::{Roots, digest_of};

fn open(dir: &TempDir) -> Place {
    let root = dir.path().canonicalize().expect("is there");
    let roots = Roots::open(std::slice::from_ref(&root), &[]).expect("opens");
    let path = root.join("file");
    let located = roots.locate(path.to_str().expect("text")).expect("is good");
    located.make_place("file").expect("opens")
}

fn wanted(bytes: &[u8], mode: u32) -> Wanted {
    Wanted { digest: digest_of(bytes), size: bytes.len() as u64, mode, overwrite: true }
}

async fn begin(dir: &TempDir, wanted: &Wanted) -> Result<Option<Placing>, PlacingError> {
    Placing::begin(open(dir), wanted.clone()).await
}

async fn place(dir: &TempDir, bytes: &[u8], wanted: &Wanted) -> Result<(), PlacingError> {
    let mut placing = begin(dir, wanted).await?.expect("is not there");
    placing.write(bytes.to_vec().into()).await?;
    placing.finish().await
}

fn names(dir: &TempDir) -> Vec<String> {
    let names = fs::read_dir(dir.path()).expect("reads");
    let mut names: Vec<_> =
        names.map(|entry| entry.expect("reads").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).expect("is there").permissions().mode() & 0o7777
}

#[tokio::test]
async fn a_file_appears_whole_and_replaces_another() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("file"), "old").expect("writes");
    place(&dir, b"new", &wanted(b"new", 0o644)).await.expect("places");
    assert_eq!(fs::read(dir.path().join("file")).expect("reads"), b"new");
    assert_eq!(names(&dir), ["file"]);
}

#[tokio::test]
async fn modes_are_kept_and_masked() {
    for (given, kept) in [(0o600, 0o600), (0o664, 0o644), (0o6777, 0o755), (0o1777, 0o755)] {
        let dir = tempfile::tempdir().expect("a directory");
        place(&dir, b"x", &wanted(b"x", given)).await.expect("places");
        assert_eq!(mode_of(&dir.path().join("file")), kept, "{given:o}");
    }
}

#[tokio::test]
async fn what_is_there_already_does_not_come_again() {
    let dir = tempfile::tempdir().expect("a directory");
    place(&dir, b"x", &wanted(b"x", 0o600)).await.expect("places");
    assert!(begin(&dir, &wanted(b"x", 0o755)).await.expect("is there").is_none());
    assert_eq!(mode_of(&dir.path().join("file")), 0o755);
}

#[tokio::test]
async fn another_file_is_kept_when_that_is_wished() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("file"), "old").expect("writes");
    let kept = Wanted { overwrite: false, ..wanted(b"new", 0o644) };
    assert!(matches!(begin(&dir, &kept).await, Err(PlacingError::Exists)));
    fs::remove_file(dir.path().join("file")).expect("removes");
    let mut placing = begin(&dir, &kept).await.expect("begins").expect("is not there");
    placing.write("new".into()).await.expect("is taken");
    fs::write(dir.path().join("file"), "came in between").expect("writes");
    assert!(matches!(placing.finish().await, Err(PlacingError::Exists)));
    assert_eq!(fs::read(dir.path().join("file")).expect("reads"), b"came in between");
    assert_eq!(names(&dir), ["file"]);
}

#[tokio::test]
async fn what_broke_off_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let wanted = wanted(b"hello world", 0o644);
    let mut placing = begin(&dir, &wanted).await.expect("begins").expect("is not there");
    placing.write("hello ".into()).await.expect("is taken");
    let meanwhile = begin(&dir, &wanted).await;
    assert!(matches!(meanwhile, Err(PlacingError::Busy)));
    placing.flush().await.expect("writes");
    drop(placing);
    assert!(!dir.path().join("file").exists());
    let mut placing = begin(&dir, &wanted).await.expect("begins").expect("is not there");
    assert_eq!(placing.held(), 6);
    placing.write("world".into()).await.expect("is taken");
    placing.finish().await.expect("places");
    assert_eq!(fs::read(dir.path().join("file")).expect("reads"), b"hello world");
    assert_eq!(names(&dir), ["file"]);
}

#[tokio::test]
async fn wrong_bytes_leave_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let placed = place(&dir, b"bad", &wanted(b"new", 0o644)).await;
    assert!(matches!(placed, Err(PlacingError::WrongContent)));
    let placed = place(&dir, b"n", &wanted(b"new", 0o644)).await;
    assert!(matches!(placed, Err(PlacingError::WrongContent)));
    let mut long = begin(&dir, &wanted(b"new", 0o644)).await.expect("begins").expect("not there");
    assert!(matches!(long.write("newer".into()).await, Err(PlacingError::TooLong)));
    long.discard().await;
    assert_eq!(names(&dir), Vec::<String>::new());
}

#[tokio::test]
async fn a_disk_without_room_is_left_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let huge = Wanted { size: 1 << 60, ..wanted(b"x", 0o644) };
    let failure = Failure::from(begin(&dir, &huge).await.expect_err("has no room"));
    assert_eq!(failure.code, "disk_full");
    assert_eq!(names(&dir), Vec::<String>::new());
}

#[tokio::test]
async fn traps_are_not_stepped_into() {
    let dir = tempfile::tempdir().expect("a directory");
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, "kept").expect("writes");
    let wanted = wanted(b"new", 0o644);
    let hidden = dir.path().join(format!(".file.{}.part", &wanted.digest.as_str()[..16]));
    fs::hard_link(&elsewhere, &hidden).expect("links");
    assert!(matches!(begin(&dir, &wanted).await, Err(PlacingError::NoFile)));
    fs::remove_file(&hidden).expect("removes");
    std::os::unix::fs::symlink(&elsewhere, &hidden).expect("links");
    assert!(matches!(begin(&dir, &wanted).await, Err(PlacingError::NoFile)));
    assert_eq!(fs::read(&elsewhere).expect("reads"), b"kept");
    fs::remove_file(&hidden).expect("removes");
    let place = open(&dir);
    std::os::unix::fs::symlink(&elsewhere, dir.path().join("file")).expect("links");
    let begun = Placing::begin(place, wanted).await;
    assert!(matches!(begun, Err(PlacingError::NoFile)));
}

#[tokio::test]
async fn what_nobody_goes_on_with_is_cleared() {
    let dir = tempfile::tempdir().expect("a directory");
    let wanted = wanted(b"hello", 0o644);
    let mut placing = begin(&dir, &wanted).await.expect("begins").expect("is not there");
    placing.write("he".into()).await.expect("is taken");
    let busy = Placing::clear(open(&dir), &wanted.digest);
    assert!(matches!(busy, Err(PlacingError::Busy)));
    placing.flush().await.expect("writes");
    drop(placing);
    assert_eq!(names(&dir).len(), 1);
    Placing::clear(open(&dir), &wanted.digest).expect("clears");
    assert_eq!(names(&dir), Vec::<String>::new());
}
