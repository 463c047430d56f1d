//! The newest changes, in memory, and the watches that follow them.
//!
//! Changes enter only after their commit is durable, in the order of their revisions and without gaps, so the place
//! of a revision in the queue is arithmetic. A watch is a position in the log: it never blocks the writer, and one
//! that falls behind the oldest change is told so.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::local::store::Error;
use crate::local::store::Row;

/// One committed write.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// The revision of the write.
    pub revision: u64,
    /// What was written to.
    pub key: Arc<str>,
    /// What was there before; nothing for a creation.
    pub before: Option<Row>,
    /// What is there now; nothing for a removal.
    pub after: Option<Row>,
}

impl Change {
    fn bytes(&self) -> usize {
        let value = |row: &Option<Row>| row.as_ref().map_or(0, |row| row.value.len());
        // 200: the change, its rows and its key.
        200 + value(&self.before) + value(&self.after)
    }
}

#[derive(Debug)]
struct Kept {
    /// The revision before the oldest kept change: a watch may resume from here or later.
    floor: u64,
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
}

impl Kept {
    fn head(&self) -> u64 {
        self.floor + self.changes.len() as u64
    }

    fn index(&self, since: u64) -> Option<usize> {
        usize::try_from(since.checked_sub(self.floor)?).ok()
    }
}

/// The bounded log.
#[derive(Debug)]
pub(super) struct Log {
    kept: Mutex<Kept>,
    /// Announces the newest revision to everybody who waits.
    head: watch::Sender<u64>,
    most_changes: usize,
    most_bytes: usize,
}

/// At most this many changes are copied out under the lock at once.
const BATCH: usize = 512;

impl Log {
    pub(super) fn new(revision: u64, most_changes: usize, most_bytes: usize) -> Self {
        let kept = Kept { floor: revision, changes: VecDeque::new(), bytes: 0 };
        Self { kept: Mutex::new(kept), head: watch::Sender::new(revision), most_changes, most_bytes }
    }

    pub(super) fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// Adds what a commit made durable and drops what is too old.
    pub(super) fn publish(&self, changes: Vec<Change>) {
        let mut kept = self.kept.lock();
        for change in changes {
            debug_assert_eq!(change.revision, kept.head() + 1, "revisions have no gaps");
            kept.bytes += change.bytes();
            kept.changes.push_back(Arc::new(change));
        }
        while kept.changes.len() > self.most_changes || kept.bytes > self.most_bytes {
            let Some(oldest) = kept.changes.pop_front() else { break };
            kept.bytes -= oldest.bytes();
            kept.floor += 1;
        }
        let head = kept.head();
        drop(kept);
        self.head.send_replace(head);
    }

    /// Forgets everything: nobody knows what happened up to `revision`.
    pub(super) fn reset(&self, revision: u64) {
        *self.kept.lock() = Kept { floor: revision, changes: VecDeque::new(), bytes: 0 };
        self.head.send_replace(revision);
    }

    /// The changes after `since`, oldest first, all of them.
    pub(super) fn after(&self, since: u64) -> Result<Vec<Arc<Change>>, Error> {
        let kept = self.kept.lock();
        let Some(index) = kept.index(since) else {
            return Err(Error::Gone { asked: since, oldest: kept.floor });
        };
        Ok(kept.changes.iter().skip(index).cloned().collect())
    }

    /// Waits until everything up to `revision` is published.
    pub(super) async fn reached(&self, revision: u64) -> Result<(), Error> {
        let mut head = self.head.subscribe();
        head.wait_for(|head| *head >= revision).await.map(drop).map_err(|_| Error::Closed)
    }

    pub(super) fn watch(this: &Arc<Self>, prefix: &str, since: u64) -> Result<Watch, Error> {
        let floor = this.kept.lock().floor;
        if since < floor {
            return Err(Error::Gone { asked: since, oldest: floor });
        }
        let head = this.head.subscribe();
        Ok(Watch { log: Arc::clone(this), prefix: prefix.to_owned(), revision: since, head })
    }
}

/// A position in the log.
#[derive(Debug)]
pub struct Watch {
    log: Arc<Log>,
    prefix: String,
    revision: u64,
    head: watch::Receiver<u64>,
}

impl Watch {
    /// Everything up to and including this revision has been handed out.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The next changes below the prefix, oldest first. Waits until there is at least one, or until `revision` has moved
    /// far without one: then the answer is empty, so that the caller can tell its client how far it is.
    ///
    /// Cancelling the future loses nothing.
    pub async fn next(&mut self) -> Result<Vec<Arc<Change>>, Error> {
        loop {
            let (found, scanned) = self.take()?;
            if !found.is_empty() || scanned == BATCH {
                return Ok(found);
            }
            self.head.changed().await.map_err(|_| Error::Closed)?;
        }
    }

    fn take(&mut self) -> Result<(Vec<Arc<Change>>, usize), Error> {
        // Seen before the log is read: whatever comes later wakes us again.
        self.head.mark_unchanged();
        let kept = self.log.kept.lock();
        let Some(index) = kept.index(self.revision) else {
            return Err(Error::Gone { asked: self.revision, oldest: kept.floor });
        };
        let mut scanned = 0;
        let mut found = Vec::new();
        for change in kept.changes.iter().skip(index).take(BATCH) {
            scanned += 1;
            if change.key.starts_with(&self.prefix) {
                found.push(Arc::clone(change));
            }
        }
        drop(kept);
        self.revision += scanned as u64;
        Ok((found, scanned))
    }
}
