//! The database file: opening, recovery after a crash or a failed commit, compaction.

use std::fmt;
use std::fs;
use std::fs::OpenOptions;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;
use redb::BackendError;
use redb::Database;
use redb::DatabaseError;
use redb::ReadTransaction;
use redb::ReadableDatabase;
use redb::ReadableTable;
use redb::StorageBackend;
use redb::TableDefinition;
use redb::WriteTransaction;
use redb::backends::FileBackend;
use redb::backends::InMemoryBackend;

use crate::local::store::Error;

/// Key → (revision of the last write, value).
pub(super) const ROWS: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("rows");
/// Counters, by name.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// The newest revision, in [`META`].
pub(super) const REVISION: &str = "revision";
/// The length of the file after its last compaction, in [`META`].
const COMPACTED: &str = "compacted";

/// A file is compacted once it is twice as long as after the last time, and this much longer: rewriting it takes about
/// a second for some hundred MiB, which a start should not pay without need.
const SLACK: u64 = 16 << 20;

/// Opens the storage below the database: at the start and after every failure.
#[derive(Clone)]
pub struct Backends(Arc<Opener>);

type Opener = dyn Fn() -> Result<Box<dyn StorageBackend>, DatabaseError> + Send + Sync;

impl Backends {
    /// Whatever `open` gives. A test hands in storage that fails on command.
    pub fn new(
        open: impl Fn() -> Result<Box<dyn StorageBackend>, DatabaseError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(open))
    }

    pub(super) fn memory() -> Self {
        Self::new(|| Ok(Box::new(InMemoryBackend::new())))
    }

    pub(super) fn file(path: PathBuf) -> Self {
        Self::new(move || {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory).map_err(|error| DatabaseError::Storage(error.into()))?;
            }
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            Ok(Box::new(FileBackend::new(file.map_err(|error| DatabaseError::Storage(error.into()))?)?))
        })
    }
}

impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backends")
    }
}

/// A backend that can still be asked for its length when the database has it.
#[derive(Debug, Clone)]
struct Shared(Arc<dyn StorageBackend>);

impl StorageBackend for Shared {
    fn len(&self) -> Result<u64, std::io::Error> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> Result<(), std::io::Error> {
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.0.write(offset, data)
    }
    fn close(&self) -> Result<(), std::io::Error> {
        self.0.close()
    }
    // The defaults would say that nothing can be locked, and two processes would write one file.
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }
    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_shared_range(start, end)
    }
    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_range(start, end)
    }
    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_shared_range(start, end)
    }
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }
    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.query_lock_range(start, end)
    }
}

/// The database, absent only while it is being opened anew.
#[derive(Debug)]
pub(super) struct Disk {
    backends: Backends,
    cache_bytes: usize,
    database: RwLock<Option<Database>>,
}

impl Disk {
    /// Opens the database and returns its newest revision.
    pub(super) fn open(backends: Backends, cache_bytes: usize) -> Result<(Self, u64), Error> {
        let (mut database, storage) = Self::database(&backends, cache_bytes)?;
        // Only the start can afford it: nobody reads or writes yet.
        compact(&mut database, &storage)?;
        let revision = revision(&database.begin_read()?)?;
        Ok((Self { backends, cache_bytes, database: RwLock::new(Some(database)) }, revision))
    }

    fn database(backends: &Backends, cache_bytes: usize) -> Result<(Database, Shared), Error> {
        let storage = Shared((backends.0)()?.into());
        let database =
            Database::builder().set_cache_size(cache_bytes).create_with_backend(storage.clone())?;
        let transaction = database.begin_write()?;
        transaction.open_table(ROWS)?;
        {
            let mut meta = transaction.open_table(META)?;
            if meta.get(REVISION)?.is_none() {
                // Kubernetes gives "0" a meaning of its own ("any version"), so nothing is ever at revision 0.
                meta.insert(REVISION, 1)?;
            }
        }
        transaction.commit()?;
        Ok((database, storage))
    }

    /// A snapshot of everything that is committed.
    pub(super) fn read(&self) -> Result<ReadTransaction, Error> {
        Ok(self.database.read().as_ref().ok_or(Error::Unavailable)?.begin_read()?)
    }

    /// A write transaction. Only the writer calls this.
    pub(super) fn write(&self) -> Result<WriteTransaction, Error> {
        Ok(self.database.read().as_ref().ok_or(Error::Unavailable)?.begin_write()?)
    }

    /// Closes the database and opens it again, which is how the database recovers from a storage failure. Returns the
    /// newest revision: a commit whose answer was lost may turn out to be there.
    pub(super) fn reopen(&self) -> Result<u64, Error> {
        // The old one must let go of the file before the new one can lock it. Closing and repairing take as long as they
        // take, so neither happens under the lock: readers are refused meanwhile instead of blocking their threads.
        let old = self.database.write().take();
        drop(old);
        let (database, _) = Self::database(&self.backends, self.cache_bytes)?;
        let revision = revision(&database.begin_read()?)?;
        *self.database.write() = Some(database);
        Ok(revision)
    }
}

/// Gives space back that the database no longer uses, if that is much.
fn compact(database: &mut Database, storage: &Shared) -> Result<(), Error> {
    let length = || storage.len().map_err(redb::StorageError::from);
    let before = database.begin_read()?.open_table(META)?.get(COMPACTED)?.map_or(0, |length| length.value());
    if length()? < SLACK + 2 * before {
        return Ok(());
    }
    database.compact()?;
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert(COMPACTED, length()?)?;
    transaction.commit()?;
    Ok(())
}

/// The newest revision in a snapshot.
pub(super) fn revision(snapshot: &ReadTransaction) -> Result<u64, Error> {
    Ok(snapshot.open_table(META)?.get(REVISION)?.map_or(0, |revision| revision.value()))
}
