//! Content that comes, breaks off, goes on and goes out.

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::digest_of;

const MB: usize = 1 << 20;

async fn store(dir: &TempDir, max_bytes: u64) -> Store {
    let config = StoreConfig { dir: dir.path().join("artifacts"), max_bytes, spare_bytes: 0 };
    Store::open(config).await.expect("opens")
}

fn content(seed: u64, len: usize) -> (Digest, Bytes) {
    let mut state = 2 * seed + 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.extend_from_slice(&(state >> 16).to_le_bytes());
    }
    bytes.truncate(len);
    (digest_of(&bytes), bytes.into())
}

async fn begin(store: &Store, digest: &Digest, size: usize) -> Incoming {
    match store.receive(digest, size as u64).await.expect("may come") {
        Receive::Incoming(incoming) => incoming,
        Receive::Whole => panic!("it is here already"),
    }
}

async fn bring(store: &Store, bytes: &Bytes) -> Digest {
    let digest = digest_of(bytes);
    let mut incoming = begin(store, &digest, bytes.len()).await;
    incoming.write(bytes.clone()).await.expect("is taken");
    incoming.finish().await.expect("is right");
    digest
}

async fn all(mut outgoing: Outgoing) -> Vec<u8> {
    let mut read = Vec::new();
    while let Some(bytes) = outgoing.next().await.expect("reads") {
        read.extend_from_slice(&bytes);
    }
    read
}

#[tokio::test]
async fn content_comes_and_goes_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(&dir, u64::MAX).await;
    let (digest, bytes) = content(1, 3 * MB + 5);
    assert_eq!(store.find(&digest), None);
    assert!(store.path(&digest).is_none());
    assert!(matches!(store.read(&digest, 1, 0).await, Err(StoreError::Absent)));
    bring(&store, &bytes).await;
    let size = bytes.len() as u64;
    assert_eq!(store.find(&digest), Some(Presence::Whole { size }));
    assert!(matches!(store.receive(&digest, size).await, Ok(Receive::Whole)));
    assert!(matches!(store.receive(&digest, 7).await, Err(StoreError::OtherSize { .. })));
    for at in [0, 1, MB, bytes.len()] {
        let read = all(store.read(&digest, size, at as u64).await.expect("is here")).await;
        assert!(read == bytes[at..]);
    }
}

#[tokio::test]
async fn what_broke_off_goes_on_even_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let (digest, bytes) = content(2, 2 * MB);
    {
        let store = store(&dir, u64::MAX).await;
        let mut incoming = begin(&store, &digest, bytes.len()).await;
        incoming.write(bytes.slice(..MB + 9)).await.expect("is taken");
        assert!(matches!(store.receive(&digest, 1).await, Err(StoreError::Arriving)));
        assert_eq!(incoming.pause().await.expect("pauses"), (MB + 9) as u64);
    }
    let store = store(&dir, u64::MAX).await;
    let held = (MB + 9) as u64;
    assert_eq!(store.find(&digest), Some(Presence::Part { held, arriving: false }));
    let mut incoming = begin(&store, &digest, bytes.len()).await;
    assert_eq!(incoming.held(), held);
    incoming.write(bytes.slice(MB + 9..)).await.expect("is taken");
    incoming.finish().await.expect("is right");
    let size = bytes.len() as u64;
    assert!(all(store.read(&digest, size, 0).await.expect("is here")).await == bytes);
}

#[tokio::test]
async fn readers_follow_what_arrives() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(&dir, u64::MAX).await;
    let (digest, bytes) = content(3, 4 * MB);
    let size = bytes.len() as u64;
    let mut incoming = begin(&store, &digest, bytes.len()).await;
    let readers = [0, 1, 2].map(|_| {
        let (store, digest) = (store.clone(), digest.clone());
        tokio::spawn(async move { all(store.read(&digest, size, 0).await.expect("comes")).await })
    });
    for piece in 0..64 {
        let at = piece * (MB / 16);
        incoming.write(bytes.slice(at..at + MB / 16)).await.expect("is taken");
        tokio::task::yield_now().await;
    }
    incoming.finish().await.expect("is right");
    for reader in readers {
        assert!(reader.await.expect("reads") == bytes);
    }
}

#[tokio::test]
async fn wrong_bytes_are_thrown_away_and_readers_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(&dir, u64::MAX).await;
    let (digest, _) = content(4, MB);
    let (_, other) = content(5, MB);
    let mut incoming = begin(&store, &digest, other.len()).await;
    let mut reader = store.read(&digest, other.len() as u64 + 1, 0).await.expect("comes");
    incoming.write(other.clone()).await.expect("is taken");
    assert!(matches!(incoming.finish().await, Err(StoreError::WrongDigest)));
    assert_eq!(store.find(&digest), None);
    assert_eq!(fs::read_dir(dir.path().join("artifacts")).expect("reads").count(), 0);
    let end = loop {
        match reader.next().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(matches!(end, Err(StoreError::BrokenOff)));
    let mut long = begin(&store, &digest, 10).await;
    let refused = long.write(other).await;
    assert!(matches!(refused, Err(StoreError::TooLong { size: 10 })));
}

#[tokio::test]
async fn a_damaged_file_is_noticed_at_its_first_use() {
    let dir = tempfile::tempdir().expect("a directory");
    let (digest, bytes) = content(6, MB);
    bring(&store(&dir, u64::MAX).await, &bytes).await;
    let path = dir.path().join("artifacts").join(digest.as_str());
    let mut damaged = bytes.to_vec();
    damaged[MB / 2] ^= 1;
    fs::write(&path, damaged).expect("writes");
    let store = store(&dir, u64::MAX).await;
    assert!(matches!(store.read(&digest, MB as u64, 0).await, Err(StoreError::Absent)));
    assert!(!path.exists());
    assert_eq!(store.find(&digest), None);
}

#[tokio::test]
async fn damaged_content_may_come_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let (digest, bytes) = content(12, MB);
    bring(&store(&dir, u64::MAX).await, &bytes).await;
    let path = dir.path().join("artifacts").join(digest.as_str());
    for damaged in [vec![0; MB], Vec::new()] {
        fs::write(&path, damaged).expect("writes");
        let store = store(&dir, u64::MAX).await;
        bring(&store, &bytes).await;
        assert!(fs::read(&path).expect("is there") == bytes);
    }
}

#[tokio::test]
async fn nobody_begins_while_the_last_bytes_of_another_are_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(&dir, u64::MAX).await;
    let (digest, bytes) = content(13, 64 * MB);
    let mut incoming = begin(&store, &digest, bytes.len()).await;
    // Given up in the middle of a batch, again and again.
    for piece in 0..32 {
        let held = usize::try_from(incoming.held()).expect("fits");
        assert_eq!(held % MB, 0, "{piece}");
        let upto = (held + 2 * MB).min(bytes.len());
        for at in (held..upto).step_by(MB) {
            incoming.write(bytes.slice(at..at + MB)).await.expect("is taken");
        }
        drop(incoming);
        incoming = loop {
            match store.receive(&digest, bytes.len() as u64).await {
                Ok(Receive::Incoming(incoming)) => break incoming,
                Err(StoreError::Arriving) => tokio::task::yield_now().await,
                other => panic!("{other:?}"),
            }
        };
    }
    let held = usize::try_from(incoming.held()).expect("fits");
    incoming.write(bytes.slice(held..)).await.expect("is taken");
    incoming.finish().await.expect("is right");
    let path = store.path(&digest).expect("is whole");
    assert_eq!(digest_of(&fs::read(path).expect("reads")), digest);
}

#[tokio::test]
async fn what_is_read_is_not_thrown_away() {
    let dir = tempfile::tempdir().expect("a directory");
    let old = content(14, 2 * MB);
    bring(&store(&dir, u64::MAX).await, &old.1).await;
    let store = store(&dir, MB as u64).await;
    let reader = store.read(&old.0, old.1.len() as u64, 0).await.expect("is here");
    store.shelf().forget_use(&old.0);
    bring(&store, &content(15, MB).1).await;
    assert!(store.find(&old.0).is_some());
    store.shelf().forget_use(&old.0);
    assert!(all(reader).await == old.1);
    bring(&store, &content(16, MB).1).await;
    assert_eq!(store.find(&old.0), None);
}

#[tokio::test]
async fn what_was_not_used_for_longest_goes_first() {
    let dir = tempfile::tempdir().expect("a directory");
    let (old, new) = (content(7, MB), content(8, MB));
    {
        let store = store(&dir, u64::MAX).await;
        bring(&store, &old.1).await;
        bring(&store, &new.1).await;
    }
    let store = store(&dir, 2 * MB as u64).await;
    // Asked for: in use.
    assert!(store.find(&new.0).is_some());
    let third = content(9, MB);
    bring(&store, &third.1).await;
    assert_eq!(store.find(&old.0), None);
    assert!(store.find(&new.0).is_some() && store.find(&third.0).is_some());
    // All others are in use: the limit gives way.
    let fourth = content(10, MB);
    bring(&store, &fourth.1).await;
    assert!(store.find(&new.0).is_some() && store.find(&third.0).is_some());
}

#[tokio::test]
async fn what_the_disk_cannot_hold_is_refused_before_it_comes() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(&dir, u64::MAX).await;
    let (digest, _) = content(11, 1);
    assert!(matches!(store.receive(&digest, 1 << 60).await, Err(StoreError::NoRoom { .. })));
    assert_eq!(store.find(&digest), None);
}
