//! The store through its public face: compare-and-swap, watches, the past, durability, failing storage.

use std::io;
use std::ops::Bound;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redb::BackendError;
use redb::StorageBackend;
use redb::backends::FileBackend;
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

/// A wait that only ends when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

fn memory() -> Store {
    Store::open(Options::memory()).unwrap()
}

fn text(value: &'static str) -> Bytes {
    Bytes::from_static(value.as_bytes())
}

fn values(page: &Page) -> Vec<(&str, &str)> {
    page.rows.iter().map(|row| (&*row.key, std::str::from_utf8(&row.value).unwrap())).collect()
}

async fn create(store: &Store, key: &str) -> u64 {
    store.put(key, Expect::Absent, Bytes::copy_from_slice(key.as_bytes())).await.unwrap()
}

#[tokio::test]
async fn a_write_is_read_at_the_revision_that_was_answered() {
    let store = memory();
    let first = store.put("a/1", Expect::Absent, text("one")).await.unwrap();
    let row = store.get("a/1").unwrap().unwrap();
    assert_eq!((row.revision, &*row.value), (first, &b"one"[..]));
    let second = store.put("a/1", Expect::Revision(first), text("two")).await.unwrap();
    assert!(second > first);
    assert_eq!(store.get("a/1").unwrap().unwrap().value, "two");
    let third = store.delete("a/1", second).await.unwrap();
    assert!(third > second);
    assert_eq!(store.get("a/1").unwrap(), None);
}

#[tokio::test]
async fn a_write_that_expected_something_else_is_refused() {
    let store = memory();
    assert!(matches!(store.delete("k", 1).await, Err(Error::Missing)));
    assert!(matches!(store.put("k", Expect::Revision(1), text("x")).await, Err(Error::Missing)));
    let revision = create(&store, "k").await;
    assert!(matches!(store.put("k", Expect::Absent, text("x")).await, Err(Error::Exists)));
    let stale = store.put("k", Expect::Revision(revision - 1), text("x")).await;
    assert!(matches!(stale, Err(Error::Conflict { current }) if current == revision));
    assert!(matches!(store.delete("k", revision + 1).await, Err(Error::Conflict { .. })));
    assert_eq!(store.revision(), revision, "a refusal takes no revision");
    let long = "k".repeat(KEY_BYTES + 1);
    assert!(matches!(store.put(&long, Expect::Absent, text("x")).await, Err(Error::KeyTooLong(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_concurrent_creates_of_one_key_exactly_one_wins() {
    let store = memory();
    for round in 0..50 {
        let key = format!("k/{round}");
        let tries = (0..8).map(|_| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move { store.put(&key, Expect::Absent, text("x")).await })
        });
        let results: Vec<_> =
            futures::future::join_all(tries).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        assert!(results.iter().all(|result| matches!(result, Ok(_) | Err(Error::Exists))));
    }
}

#[tokio::test]
async fn a_range_is_bounded_by_its_prefix_and_paged_by_its_limit() {
    let store = memory();
    for key in ["a/1", "a/2", "a/3", "a0", "b/1", "a"] {
        create(&store, key).await;
    }
    let page = store.range("a/", None, 2, None).await.unwrap();
    assert_eq!(values(&page), [("a/1", "a/1"), ("a/2", "a/2")]);
    assert!(page.more);
    let rest = store.range("a/", Some("a/2"), 2, None).await.unwrap();
    assert_eq!(values(&rest), [("a/3", "a/3")]);
    assert!(!rest.more);
    assert_eq!(store.count("a/", None).await.unwrap(), 3);
    assert_eq!(store.count("a/", Some("a/1")).await.unwrap(), 2);
    assert_eq!(store.count("c/", None).await.unwrap(), 0);
}

#[tokio::test]
async fn a_range_can_be_read_as_it_was() {
    let store = memory();
    for key in ["k/1", "k/2", "k/3"] {
        create(&store, key).await;
    }
    let then = store.revision();
    let two = store.get("k/2").unwrap().unwrap().revision;
    store.delete("k/2", two).await.unwrap();
    create(&store, "k/0").await;
    create(&store, "k/25").await;
    create(&store, "k/9").await;
    let three = store.get("k/3").unwrap().unwrap().revision;
    let changed = store.put("k/3", Expect::Revision(three), text("new")).await.unwrap();
    store.put("k/3", Expect::Revision(changed), text("newer")).await.unwrap();
    let old = store.range("k/", None, 10, Some(then)).await.unwrap();
    assert_eq!(values(&old), [("k/1", "k/1"), ("k/2", "k/2"), ("k/3", "k/3")]);
    assert_eq!(old.revision, then);
    let page = store.range("k/", Some("k/1"), 1, Some(then)).await.unwrap();
    assert_eq!(values(&page), [("k/2", "k/2")]);
    assert!(page.more);
    let now = store.range("k/", None, 10, None).await.unwrap();
    assert_eq!(values(&now).len(), 5);
    assert_eq!(now.rows[4].value, "k/9");
    let future = store.range("k/", None, 10, Some(now.revision + 1)).await;
    assert!(matches!(future, Err(Error::Gone { .. })));
}

#[tokio::test]
async fn a_watch_follows_one_prefix_in_order() {
    let store = memory();
    let since = create(&store, "a/1").await;
    let mut watch = store.watch("a/", since).unwrap();
    create(&store, "b/1").await;
    let second = create(&store, "a/2").await;
    store.delete("a/1", since).await.unwrap();
    let mut changes = Vec::new();
    while changes.len() < 2 {
        changes.extend(timeout(PATIENCE, watch.next()).await.unwrap().unwrap());
    }
    assert_eq!((changes[0].revision, &*changes[0].key), (second, "a/2"));
    assert!(changes[0].before.is_none() && changes[0].after.is_some());
    assert!(changes[1].before.is_some() && changes[1].after.is_none());
    assert_eq!(watch.revision(), store.revision());
}

#[tokio::test]
async fn a_watch_wakes_for_a_change_that_comes_later() {
    let store = memory();
    let mut watch = store.watch("a/", store.revision()).unwrap();
    let waiting = tokio::spawn(async move { watch.next().await });
    tokio::task::yield_now().await;
    create(&store, "a/1").await;
    let changes = timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(&*changes[0].key, "a/1");
}

#[tokio::test]
async fn the_log_is_bounded_and_says_so() {
    let store = Store::open(Options { log_changes: 3, ..Options::memory() }).unwrap();
    let start = store.revision();
    let mut behind = store.watch("k/", start).unwrap();
    for number in 0..5 {
        create(&store, &format!("k/{number}")).await;
    }
    assert!(matches!(store.watch("k/", start), Err(Error::Gone { oldest, .. }) if oldest == start + 2));
    assert!(matches!(behind.next().await, Err(Error::Gone { .. })), "it fell behind");
    assert!(matches!(store.range("k/", None, 1, Some(start)).await, Err(Error::Gone { .. })));
    let mut resumed = store.watch("k/", start + 2).unwrap();
    assert_eq!(resumed.next().await.unwrap().len(), 3);
}

#[tokio::test]
async fn the_log_is_bounded_in_bytes_too() {
    let store = Store::open(Options { log_bytes: 10_000, ..Options::memory() }).unwrap();
    let start = store.revision();
    for number in 0..4 {
        store.put(&format!("k/{number}"), Expect::Absent, Bytes::from(vec![b'x'; 4_000])).await.unwrap();
    }
    assert!(matches!(store.watch("k/", start), Err(Error::Gone { oldest, .. }) if oldest == start + 2));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("deep/er/data.redb");
    let store = Store::open(Options::file(&path)).unwrap();
    let first = create(&store, "a").await;
    let second = create(&store, "b").await;
    drop(store);
    let store = Store::open(Options::file(&path)).unwrap();
    assert_eq!(store.revision(), second);
    assert_eq!(store.get("a").unwrap().unwrap().revision, first);
    assert!(matches!(store.watch("", first), Err(Error::Gone { .. })), "the log starts anew");
    store.watch("", second).expect("nothing has happened since");
    assert_eq!(create(&store, "c").await, second + 1);
}

#[tokio::test]
async fn one_file_is_open_once() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("data.redb");
    let _store = Store::open(Options::file(&path)).unwrap();
    let second = Store::open(Options::file(&path)).unwrap_err();
    assert!(matches!(second, Error::InUse), "{second:?}");
}

#[tokio::test]
async fn the_file_of_a_killed_process_is_recovered() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("data.redb");
    let store = Store::open(Options::file(&path)).unwrap();
    for number in 0..100 {
        create(&store, &format!("k/{number:03}")).await;
    }
    // What kill -9 leaves: the bytes on disk, no goodbye.
    let copy = directory.path().join("copy.redb");
    std::fs::copy(&path, &copy).unwrap();
    drop(store);
    let recovered = Store::open(Options::file(&copy)).unwrap();
    assert_eq!(recovered.count("k/", None).await.unwrap(), 100);
    create(&recovered, "k/100").await;
}

#[tokio::test]
async fn opening_compacts_a_file_that_is_mostly_empty() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("data.redb");
    let store = Store::open(Options::file(&path)).unwrap();
    // Some 20 MiB that are there together; what remains lies at the end of the file.
    let mut written = Vec::new();
    for number in 0..100 {
        let key = format!("k/{number}");
        let revision = store.put(&key, Expect::Absent, Bytes::from(vec![b'x'; 200_000])).await.unwrap();
        written.push((key, revision));
    }
    written.pop();
    for (key, revision) in written {
        store.delete(&key, revision).await.unwrap();
    }
    drop(store);
    let before = std::fs::metadata(&path).unwrap().len();
    drop(Store::open(Options::file(&path)).unwrap());
    let after = std::fs::metadata(&path).unwrap().len();
    assert!(after < before / 4, "{after} is much less than {before}");
}

#[tokio::test]
async fn the_last_handle_ends_the_writer_and_frees_the_file() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("data.redb");
    for number in 0..20 {
        let store = Store::open(Options::file(&path)).expect("the one before is closed");
        let clone = store.clone();
        drop(store);
        create(&clone, &format!("k/{number}")).await;
    }
}

/// Storage that breaks on command, as a full disk does: no write, no growth, no sync.
#[derive(Debug)]
struct Fragile {
    file: FileBackend,
    broken: Arc<AtomicBool>,
    syncs: Arc<AtomicUsize>,
}

impl Fragile {
    fn check(&self) -> Result<(), io::Error> {
        let full = || Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"));
        if self.broken.load(Ordering::SeqCst) { full() } else { Ok(()) }
    }
}

impl StorageBackend for Fragile {
    fn len(&self) -> Result<u64, io::Error> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.check()?;
        self.file.set_len(len)
    }
    fn sync_data(&self) -> Result<(), io::Error> {
        self.check()?;
        self.syncs.fetch_add(1, Ordering::SeqCst);
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.check()?;
        self.file.write(offset, data)
    }
    fn close(&self) -> Result<(), io::Error> {
        self.file.close()
    }
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}

struct Rig {
    _directory: TempDir,
    path: PathBuf,
    broken: Arc<AtomicBool>,
    syncs: Arc<AtomicUsize>,
}

impl Rig {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("data.redb");
        Self { _directory: directory, path, broken: Arc::default(), syncs: Arc::default() }
    }

    fn open(&self) -> Result<Store, Error> {
        let (path, broken, syncs) = (self.path.clone(), Arc::clone(&self.broken), Arc::clone(&self.syncs));
        Store::open(Options::with(Backends::new(move || {
            let file =
                std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let file = FileBackend::new(file.map_err(|error| redb::DatabaseError::Storage(error.into()))?)?;
            Ok(Box::new(Fragile { file, broken: Arc::clone(&broken), syncs: Arc::clone(&syncs) }))
        })))
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_to_the_caller_and_service_returns_with_space() {
    let rig = Rig::new();
    let store = rig.open().unwrap();
    create(&store, "before").await;
    let mut watch = store.watch("", store.revision()).unwrap();
    rig.broken.store(true, Ordering::SeqCst);
    for number in 0..3 {
        let result = store.put(&format!("lost/{number}"), Expect::Absent, text("x")).await;
        assert!(matches!(result, Err(Error::Storage(_) | Error::Unavailable)), "{result:?}");
    }
    rig.broken.store(false, Ordering::SeqCst);
    let start = std::time::Instant::now();
    while let Err(error) = store.put("after", Expect::Absent, text("x")).await {
        assert!(matches!(error, Error::Storage(_) | Error::Unavailable), "{error:?}");
        assert!(start.elapsed() < PATIENCE, "service does not return");
        tokio::task::yield_now().await;
    }
    assert!(store.get("before").unwrap().is_some());
    assert_eq!(store.count("lost/", None).await.unwrap(), 0);
    let told = timeout(PATIENCE, watch.next()).await.unwrap();
    assert!(
        matches!(&told, Ok(changes) if changes.len() == 1 && &*changes[0].key == "after")
            || matches!(told, Err(Error::Gone { .. })),
        "a watch never tells what was refused: {told:?}"
    );
    drop((store, watch));
    assert!(rig.open().unwrap().get("after").unwrap().is_some());
}

#[tokio::test]
async fn reads_are_refused_and_do_not_wait_while_the_storage_is_opened_anew() {
    let rig = Rig::new();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = parking_lot::Mutex::new((gate, false));
    let (path, broken, syncs) = (rig.path.clone(), Arc::clone(&rig.broken), Arc::clone(&rig.syncs));
    let backends = Backends::new(move || {
        let mut gate = gate.lock();
        if std::mem::replace(&mut gate.1, true) {
            // Opened before: this is the recovery, which lasts until the test lets it go on.
            gate.0.recv_timeout(PATIENCE).expect("the test lets it go on");
        }
        let file =
            std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = FileBackend::new(file.map_err(|error| redb::DatabaseError::Storage(error.into()))?)?;
        Ok(Box::new(Fragile { file, broken: Arc::clone(&broken), syncs: Arc::clone(&syncs) }))
    });
    let store = Store::open(Options::with(backends)).unwrap();
    create(&store, "k").await;
    rig.broken.store(true, Ordering::SeqCst);
    let refused = store.put("lost", Expect::Absent, text("x")).await;
    assert!(matches!(refused, Err(Error::Storage(_))), "{refused:?}");
    rig.broken.store(false, Ordering::SeqCst);
    let start = std::time::Instant::now();
    loop {
        let reader = store.clone();
        let read = tokio::task::spawn_blocking(move || reader.get("k"));
        match timeout(PATIENCE / 2, read).await.expect("no read waits").unwrap() {
            Err(Error::Unavailable) => break,
            // The writer has not yet let go of the old database.
            Ok(Some(_)) | Err(Error::Storage(_)) => assert!(start.elapsed() < PATIENCE),
            other => panic!("{other:?}"),
        }
    }
    go.send(()).unwrap();
    timeout(PATIENCE, store.put("after", Expect::Absent, text("x"))).await.unwrap().unwrap();
    assert!(store.get("k").unwrap().is_some());
}

#[tokio::test]
async fn everybody_in_a_failed_commit_is_told() {
    let rig = Rig::new();
    let store = rig.open().unwrap();
    rig.broken.store(true, Ordering::SeqCst);
    let writes = (0..40).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.put(&format!("k/{number}"), Expect::Absent, text("x")).await })
    });
    for result in futures::future::join_all(writes).await {
        assert!(matches!(result.unwrap(), Err(Error::Storage(_) | Error::Unavailable)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_share_a_commit() {
    let rig = Rig::new();
    let store = rig.open().unwrap();
    let before = rig.syncs.load(Ordering::SeqCst);
    let writes = (0..400).map(|number| {
        let store = store.clone();
        tokio::spawn(
            async move { store.put(&format!("k/{number}"), Expect::Absent, text("x")).await.unwrap() },
        )
    });
    let mut revisions: Vec<u64> =
        futures::future::join_all(writes).await.into_iter().map(Result::unwrap).collect();
    let syncs = rig.syncs.load(Ordering::SeqCst) - before;
    assert!(syncs > 0, "they are durable");
    assert!(syncs < 200, "{syncs} syncs for 400 writes");
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), 400, "each has its own revision");
}
