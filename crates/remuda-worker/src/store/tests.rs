//! The database as a whole.

use super::*;

fn put(table: Table, key: &str, value: &str) -> Change {
    Change::Put { table, key: key.into(), value: value.into() }
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("worker.redb");
    let (store, loaded) = Store::open(&path).await.expect("opens");
    assert!(loaded.meta.is_empty());
    let changes = vec![put(Table::Meta, "a", "1"), put(Table::Data, "k", "v")];
    store.write(changes).await.expect("writes");
    store.write(vec![put(Table::Meta, "a", "2")]).await.expect("writes");
    let value = store.read(Table::Data, b"k".to_vec()).await.expect("reads");
    assert_eq!(value.as_deref(), Some(b"v".as_slice()));
    store.close().await;
    assert!(matches!(store.write(vec![put(Table::Meta, "a", "3")]).await, Err(StoreError::Closed)));

    let (_store, loaded) = Store::open(&path).await.expect("opens again");
    assert_eq!(loaded.meta("a"), Some(b"2".as_slice()));
    assert_eq!(loaded.data_keys, [b"k".to_vec()]);
}

#[tokio::test]
async fn a_second_opener_is_told_that_the_file_is_in_use() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("worker.redb");
    let _first = Store::open(&path).await.expect("opens");
    assert!(matches!(Store::open(&path).await, Err(StoreError::InUse { .. })));
}

#[tokio::test]
async fn a_file_of_something_else_is_called_damaged() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("worker.redb");
    std::fs::write(&path, b"this is no database at all".repeat(500)).expect("writes");
    let error = Store::open(&path).await.expect_err("refuses");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn a_value_without_its_checksum_is_called_damaged() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("worker.redb");
    Store::open(&path).await.expect("opens").0.close().await;
    let database = redb::Database::open(&path).expect("opens");
    let transaction = database.begin_write().expect("begins");
    let table = redb::TableDefinition::<&[u8], &[u8]>::new("meta");
    transaction
        .open_table(table)
        .expect("table")
        .insert(&b"a"[..], &b"12345"[..])
        .expect("inserts");
    transaction.commit().expect("commits");
    drop(database);
    let error = Store::open(&path).await.expect_err("refuses");
    assert!(error.to_string().contains("checksum of `a` in meta"), "{error}");
}

#[tokio::test]
async fn what_was_killed_while_it_made_the_file_starts_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("worker.redb");
    std::fs::write(dir.path().join("worker.redb.new"), [0; 9000]).expect("written");
    Store::open(&path).await.expect("opens").0.close().await;
    let names = std::fs::read_dir(dir.path()).expect("a folder");
    let names: Vec<_> = names.map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(names, ["worker.redb"]);
    Store::open(&path).await.expect("opens again").0.close().await;
}
