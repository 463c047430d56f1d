//! The durable store of local mode: keys and bytes, one revision counter, and a log of changes to watch.
//!
//! It plays the part that etcd plays for an API server, reduced to what one process needs:
//!
//! - **One writer.** A thread owns the write side. It takes whatever waits in its queue, applies it in one
//!   transaction and commits once ([`writer`]). A caller is answered only after that commit is durable, so sixty
//!   callers share one `fsync`. Compare-and-swap happens inside the transaction: of eight concurrent creates of one
//!   key exactly one wins.
//! - **Readers never wait for it.** They read snapshots ([`read`]).
//! - **Every change has its own revision**, without gaps. The newest changes stay in memory ([`log`]): enough to resume
//!   a watch and to read the recent past for a paged list. Whoever asks for something older is told
//!   [`Error::Gone`], as an API server does once etcd is compacted, and lists again. A restart starts with an empty log.
//! - **A failed commit is an error to everybody in it**, never an acknowledgement; the file is then opened anew
//!   ([`disk`]) so that service returns when there is space again.
//!
//! What the bytes mean is left to the server.

mod disk;
mod log;
mod read;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

pub use disk::Backends;
pub use log::Change;
pub use log::Watch;
pub use read::Page;

use disk::Disk;
use log::Log;
use writer::Request;
use writer::Writer;

/// The longest key. Names and namespaces are at most 253 characters each; the rest is the kind.
const KEY_BYTES: usize = 1024;

/// How many writes may wait. Above it callers wait in line, which is the back pressure that they should feel.
const QUEUE: usize = 1024;

/// Where the data lives and how much of the past is kept.
#[derive(Debug)]
pub struct Options {
    /// What opens the storage, once at the start and again after a failed commit.
    pub backends: Backends,
    /// How many changes can be watched from behind. 50 000 are ten seconds of the fastest load measured.
    pub log_changes: usize,
    /// How many bytes of values those changes may hold, whichever limit is met first.
    pub log_bytes: usize,
    /// Bytes of pages that the database may cache.
    pub cache_bytes: usize,
}

impl Options {
    /// Data that ends with the process.
    pub fn memory() -> Self {
        Self::with(Backends::memory())
    }

    /// Data in one file, which is created with its directories if it does not exist.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::with(Backends::file(path.into()))
    }

    /// Data wherever `backends` puts it.
    pub fn with(backends: Backends) -> Self {
        Self { backends, log_changes: 50_000, log_bytes: 64 << 20, cache_bytes: 64 << 20 }
    }
}

/// What can go wrong with a read or a write.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The key is already there (a write that expected it to be absent).
    #[error("the key exists")]
    Exists,
    /// The key is not there (a write that expected a revision).
    #[error("the key does not exist")]
    Missing,
    /// The key was changed since the expected revision.
    #[error("the key has changed, it is at revision {current}")]
    Conflict {
        /// The revision at which the key was last written.
        current: u64,
    },
    /// The log does not reach back that far, or the revision was never given out.
    #[error("revision {asked} is not in the log, which begins after {oldest}")]
    Gone {
        /// The revision that was asked for.
        asked: u64,
        /// The oldest revision that could be resumed from.
        oldest: u64,
    },
    /// The key is longer than any key of ours can be.
    #[error("the key has {0} bytes, more than {KEY_BYTES}")]
    KeyTooLong(usize),
    /// Another process has the file open.
    #[error("the file is in use")]
    InUse,
    /// The storage failed: disk full, file unreadable. The write may or may not be there after recovery.
    #[error("the storage failed")]
    Storage(#[source] Arc<redb::Error>),
    /// Storage is being opened anew after a failure.
    #[error("the storage is not available")]
    Unavailable,
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

impl<E: Into<redb::Error>> From<E> for Error {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => Self::InUse,
            error => Self::Storage(Arc::new(error)),
        }
    }
}

/// What a write demands of the key as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing is stored there.
    Absent,
    /// It was last written at this revision.
    Revision(u64),
}

/// A key and what is stored there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where it is stored.
    pub key: Arc<str>,
    /// The revision that wrote it.
    pub revision: u64,
    /// What was written.
    pub value: Bytes,
}

/// A handle to the store. Clones share it; the last one to go ends the writer and closes the file.
#[derive(Debug, Clone)]
pub struct Store {
    disk: Arc<Disk>,
    log: Arc<Log>,
    requests: mpsc::Sender<Request>,
    /// Dropped after `requests`: it waits for the writer to end.
    _writer: Arc<Writer>,
}

impl Store {
    /// Opens the storage, recovers it if the last process was killed, compacts it and starts the writer.
    pub fn open(options: Options) -> Result<Self, Error> {
        let Options { backends, log_changes, log_bytes, cache_bytes } = options;
        let (disk, revision) = Disk::open(backends, cache_bytes)?;
        let disk = Arc::new(disk);
        let log = Arc::new(Log::new(revision, log_changes, log_bytes));
        let (requests, queue) = mpsc::channel(QUEUE);
        let writer = Writer::start(Arc::clone(&disk), Arc::clone(&log), queue)
            .map_err(|error| Error::Storage(Arc::new(redb::Error::Io(error))))?;
        Ok(Self { disk, log, requests, _writer: Arc::new(writer) })
    }

    /// Writes `value` if the key is as expected. Returns the revision of the write once it is durable.
    pub async fn put(&self, key: &str, expect: Expect, value: Bytes) -> Result<u64, Error> {
        self.write(key, expect, Some(value)).await
    }

    /// Removes the key if it is at `revision`. Returns the revision of the removal once it is durable.
    pub async fn delete(&self, key: &str, revision: u64) -> Result<u64, Error> {
        self.write(key, Expect::Revision(revision), None).await
    }

    async fn write(&self, key: &str, expect: Expect, value: Option<Bytes>) -> Result<u64, Error> {
        if key.len() > KEY_BYTES {
            return Err(Error::KeyTooLong(key.len()));
        }
        let (reply, answer) = oneshot::channel();
        let request = Request { key: Arc::from(key), expect, value, reply };
        self.requests.send(request).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Everything that happens below `prefix` after revision `since`.
    pub fn watch(&self, prefix: &str, since: u64) -> Result<Watch, Error> {
        Log::watch(&self.log, prefix, since)
    }

    /// The newest revision that is durable and published to watches.
    pub fn revision(&self) -> u64 {
        self.log.head()
    }
}

#[cfg(test)]
mod tests;
