//! Files for a worker and of a worker.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use bytes::Bytes;
use remuda_artifact::digest_of;
use remuda_link::{Priority, Stream};
use remuda_model::Epoch;
use remuda_wire::message::{
    FILE,
    file::{Call, Head, Put, Said, Target},
};

use super::cluster::{Node, Owner, within};

async fn ask(owner: &Owner, call: &Call) -> Stream {
    let mut stream = owner.link.open(FILE, Priority::Bulk).await.expect("opens");
    stream.send(call).await.expect("sends");
    stream
}

fn put(owner: &Owner, bytes: &[u8], path: &str) -> Call {
    let to = Target::Path {
        path: path.to_owned(),
        name: "sent".to_owned(),
        mode: 0o640,
        overwrite: true,
    };
    let (digest, size) = (digest_of(bytes), bytes.len() as u64);
    Call::Put(Put { epoch: Epoch(owner.epoch), digest, size, to })
}

async fn said(stream: &mut Stream) -> Said {
    loop {
        match within(stream.recv::<Said>(1 << 16)).await.expect("readable").expect("a word") {
            Said::Progress { .. } => {}
            said => return said,
        }
    }
}

/// The code of the refusal.
async fn refused(mut stream: Stream) -> String {
    match said(&mut stream).await {
        Said::Failed(failure) => failure.code,
        other => panic!("no refusal: {other:?}"),
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("text").to_owned()
}

#[tokio::test]
async fn a_file_arrives_whole_and_is_not_sent_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, owner) = Node::owned(dir.path(), true).await;
    let bytes = vec![7; 300_000];
    let call = put(&owner, &bytes, &text(&dir.path().join("new/models/")));
    let mut stream = ask(&owner, &call).await;
    assert_eq!(said(&mut stream).await, Said::Begin { offset: 0 });
    stream.finish_with(Bytes::from(bytes.clone())).await.expect("sends");
    let path = dir.path().join("new/models/sent");
    let done = Said::Done { was_there: false, path: Some(text(&path)) };
    assert_eq!(said(&mut stream).await, done);
    assert!(fs::read(&path).expect("is there") == bytes);
    assert_eq!(fs::metadata(&path).expect("is there").permissions().mode() & 0o7777, 0o640);
    let mut again = ask(&owner, &call).await;
    assert_eq!(said(&mut again).await, Said::Done { was_there: true, path: Some(text(&path)) });
}

#[tokio::test]
async fn a_file_that_broke_off_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, owner) = Node::owned(dir.path(), true).await;
    let bytes = vec![3; 200_000];
    let path = dir.path().join("file");
    let call = put(&owner, &bytes, &text(&path));
    let mut stream = ask(&owner, &call).await;
    assert_eq!(said(&mut stream).await, Said::Begin { offset: 0 });
    stream.write(Bytes::from(vec![3; 90_000])).await.expect("sends");
    stream.reset(7, "the way is lost");
    // Whoever comes too early is told so.
    let (mut stream, offset) = loop {
        let mut stream = ask(&owner, &call).await;
        match said(&mut stream).await {
            Said::Begin { offset } => break (stream, usize::try_from(offset).expect("fits")),
            Said::Failed(failure) => assert_eq!(failure.code, "file_busy"),
            other => panic!("unexpected {other:?}"),
        }
    };
    assert!(offset <= 90_000 && !path.exists());
    stream.finish_with(Bytes::from(bytes[offset..].to_vec())).await.expect("sends");
    assert!(matches!(said(&mut stream).await, Said::Done { was_there: false, .. }));
    assert!(fs::read(&path).expect("is there") == bytes);
}

#[tokio::test]
async fn what_may_not_be_written_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let (_node, owner) = Node::owned(dir.path(), true).await;
    symlink(outside.path(), dir.path().join("way")).expect("links");
    for (path, code) in [
        (text(&outside.path().join("file")), "path_outside"),
        (text(&dir.path().join("way/file")), "path_symlink"),
        (text(&dir.path().join("a/../../file")), "bad_path"),
        ("file".to_owned(), "bad_path"),
    ] {
        assert_eq!(refused(ask(&owner, &put(&owner, b"x", &path)).await).await, code, "{path}");
    }
    let Call::Put(huge) = put(&owner, b"x", &text(&dir.path().join("huge"))) else { panic!() };
    let huge = Call::Put(Put { size: 1 << 60, ..huge });
    assert_eq!(refused(ask(&owner, &huge).await).await, "disk_full");
    let mut wrong = ask(&owner, &put(&owner, b"right", &text(&dir.path().join("wrong")))).await;
    assert_eq!(said(&mut wrong).await, Said::Begin { offset: 0 });
    wrong.finish_with(Bytes::from_static(b"wrong")).await.expect("sends");
    assert_eq!(refused(wrong).await, "wrong_digest");
    let old =
        Call::Put(Put { epoch: Epoch(0), digest: digest_of(b"x"), size: 1, to: Target::Store });
    assert_eq!(refused(ask(&owner, &old).await).await, "stale_epoch");
    assert_eq!(fs::read_dir(outside.path()).expect("reads").count(), 0);
    for name in ["huge", "wrong"] {
        let hidden = format!(".{name}.");
        let left = fs::read_dir(dir.path()).expect("reads").filter_map(|entry| {
            let found = entry.expect("reads").file_name().into_string().expect("text");
            (found == name || found.starts_with(&hidden)).then_some(found)
        });
        assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_file_is_told_about_and_sent_from_any_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (_node, owner) = Node::owned(dir.path(), true).await;
    let bytes: Vec<u8> = (0..700_000_u32).flat_map(|n| [n.to_le_bytes()[0]]).collect();
    let path = dir.path().join("file");
    fs::write(&path, &bytes).expect("writes");
    let mut stream = ask(&owner, &Call::Stat { path: text(&path) }).await;
    let head: Head = within(stream.recv(1 << 16)).await.expect("readable").expect("a head");
    let file = head.expect("is there");
    assert_eq!((file.size, file.digest), (700_000, Some(digest_of(&bytes))));
    let get = |offset, tag: &str| {
        let tag = Some(tag.to_owned());
        Call::Get { path: text(&path), offset, tag }
    };
    for offset in [0, 1, 700_000] {
        let mut stream = ask(&owner, &get(offset, &file.tag)).await;
        let head: Head = within(stream.recv(1 << 16)).await.expect("readable").expect("a head");
        assert_eq!(head.expect("is there").size, 700_000);
        let rest = within(stream.read_to_end(1 << 20)).await.expect("readable");
        assert!(rest[..] == bytes[usize::try_from(offset).expect("fits")..]);
    }
    for (call, code) in [
        (get(700_001, &file.tag), "invalid"),
        (get(0, "another"), "file_changed"),
        (Call::Stat { path: text(&dir.path().join("none")) }, "no_file"),
    ] {
        let mut stream = ask(&owner, &call).await;
        let head: Head = within(stream.recv(1 << 16)).await.expect("readable").expect("a head");
        assert_eq!(head.expect_err("is refused").code, code);
    }
}
