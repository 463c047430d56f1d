//! The one writer: many requests, one transaction, one durable commit.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use redb::ReadableTable;
use redb::Table;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

use crate::local::store::Error;
use crate::local::store::Expect;
use crate::local::store::Row;
use crate::local::store::disk::Disk;
use crate::local::store::disk::META;
use crate::local::store::disk::REVISION;
use crate::local::store::disk::ROWS;
use crate::local::store::log::Change;
use crate::local::store::log::Log;

/// The most writes in one commit: more would not be faster, and the first of them waits for the last.
const GROUP: usize = 256;

/// The first pause between two tries of storage that failed again, and the longest: each is twice the one before. A disk that
/// is full stays so for a while, and everybody who is refused meanwhile comes back.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How long a writer that pauses leaves requests without their refusal.
const REFUSE: Duration = Duration::from_millis(100);

/// One write, waiting.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) key: Arc<str>,
    pub(super) expect: Expect,
    /// Nothing: remove the key.
    pub(super) value: Option<Bytes>,
    pub(super) reply: oneshot::Sender<Result<u64, Error>>,
}

/// The writer's thread; dropping it waits for the thread's end.
#[derive(Debug)]
pub(super) struct Writer(Mutex<Option<JoinHandle<()>>>);

impl Writer {
    /// Starts the thread, which ends when every sender of `queue` is gone.
    pub(super) fn start(disk: Arc<Disk>, log: Arc<Log>, queue: mpsc::Receiver<Request>) -> io::Result<Self> {
        let thread =
            thread::Builder::new().name("store-writer".to_owned()).spawn(move || run(&disk, &log, queue))?;
        Ok(Self(Mutex::new(Some(thread))))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The sender of the last handle is gone by now, so this waits for one commit at most.
        if let Some(thread) = self.0.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

fn run(disk: &Disk, log: &Log, mut queue: mpsc::Receiver<Request>) {
    let mut group = Vec::new();
    let mut outage = Outage::default();
    while queue.blocking_recv_many(&mut group, GROUP) > 0 {
        let requests: Vec<Request> = std::mem::take(&mut group);
        match commit(disk, log.head(), &requests) {
            Ok((changes, answers)) => {
                // Published first: whoever is told of a revision can already watch from it.
                log.publish(changes);
                outage.is_over();
                for (request, answer) in requests.into_iter().zip(answers) {
                    answer_to(request, answer);
                }
            }
            Err(error) => {
                outage.goes_on(&error);
                for request in requests {
                    answer_to(request, Err(error.clone()));
                }
                recover(disk, log, &mut queue, &mut outage);
            }
        }
    }
}

fn answer_to(request: Request, answer: Result<u64, Error>) {
    // A caller that went away has its write all the same; there is nobody to tell.
    drop(request.reply.send(answer));
}

/// Storage that fails, from the first commit that does to the next one that does not. Opening it anew proves nothing: a full
/// disk can be read.
#[derive(Debug, Default)]
struct Outage {
    failures: u32,
}

impl Outage {
    /// Told once; what comes after it has the same reason.
    fn goes_on(&mut self, error: &Error) {
        if self.failures == 0 {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "the storage fails; nothing is acknowledged until it works again"
            );
        } else {
            tracing::debug!(error = error as &dyn std::error::Error, "the storage still fails");
        }
        self.failures = self.failures.saturating_add(1);
    }

    fn is_over(&mut self) {
        if std::mem::take(&mut self.failures) > 0 {
            tracing::warn!("the storage works again");
        }
    }

    /// The pause before the next try: none after the first failure, which may have been a moment's.
    fn pause(&self) -> Duration {
        match self.failures.checked_sub(2) {
            None => Duration::ZERO,
            Some(again) => RETRY.0.saturating_mul(2_u32.saturating_pow(again)).min(RETRY.1),
        }
    }
}

/// Opens the storage anew, however long that takes, refusing meanwhile.
fn recover(disk: &Disk, log: &Log, queue: &mut mpsc::Receiver<Request>, outage: &mut Outage) {
    loop {
        if refuse_for(outage.pause(), queue).is_break() {
            return;
        }
        match disk.reopen() {
            Ok(revision) => {
                if revision != log.head() {
                    // The failed commit is there after all. Nobody saw its changes, so everybody lists again.
                    log.reset(revision);
                }
                return;
            }
            Err(error) => {
                outage.goes_on(&error);
                refuse(queue);
            }
        }
    }
}

/// Refuses what comes for so long, unless nothing can come any more.
fn refuse_for(mut left: Duration, queue: &mut mpsc::Receiver<Request>) -> ControlFlow<()> {
    while !left.is_zero() {
        refuse(queue);
        if queue.is_closed() && queue.is_empty() {
            return ControlFlow::Break(());
        }
        let step = left.min(REFUSE);
        thread::sleep(step);
        left -= step;
    }
    ControlFlow::Continue(())
}

fn refuse(queue: &mut mpsc::Receiver<Request>) {
    while let Ok(request) = queue.try_recv() {
        answer_to(request, Err(Error::Unavailable));
    }
}

type Committed = (Vec<Change>, Vec<Result<u64, Error>>);

/// Applies the requests in order, each seeing the ones before it, and commits. A refused request takes no revision.
fn commit(disk: &Disk, head: u64, requests: &[Request]) -> Result<Committed, Error> {
    let mut revision = head;
    let mut changes = Vec::with_capacity(requests.len());
    let mut answers = Vec::with_capacity(requests.len());
    let transaction = disk.write()?;
    {
        let mut rows = transaction.open_table(ROWS)?;
        for request in requests {
            match apply(&mut rows, revision + 1, request) {
                Ok(change) => {
                    revision += 1;
                    changes.push(change);
                    answers.push(Ok(revision));
                }
                Err(error @ (Error::Storage(_) | Error::InUse | Error::Unavailable)) => return Err(error),
                Err(refusal) => answers.push(Err(refusal)),
            }
        }
        transaction.open_table(META)?.insert(REVISION, revision)?;
    }
    if changes.is_empty() {
        transaction.abort()?;
    } else {
        transaction.commit()?;
    }
    Ok((changes, answers))
}

fn apply(
    rows: &mut Table<'_, &str, (u64, &[u8])>,
    revision: u64,
    request: &Request,
) -> Result<Change, Error> {
    let Request { key, expect, value, reply: _ } = request;
    let row = |revision, value| Row { key: Arc::clone(key), revision, value };
    let before = rows.get(&**key)?.map(|found| {
        let (revision, value) = found.value();
        row(revision, Bytes::copy_from_slice(value))
    });
    match (expect, &before) {
        (Expect::Absent, Some(_)) => return Err(Error::Exists),
        (Expect::Revision(_), None) => return Err(Error::Missing),
        (Expect::Revision(expected), Some(found)) if *expected != found.revision => {
            return Err(Error::Conflict { current: found.revision });
        }
        (Expect::Absent, None) | (Expect::Revision(_), Some(_)) => {}
    }
    match value {
        Some(value) => drop(rows.insert(&**key, (revision, &**value))?),
        None => drop(rows.remove(&**key)?),
    }
    Ok(Change {
        revision,
        key: Arc::clone(key),
        before,
        after: value.clone().map(|value| row(revision, value)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_that_goes_on_is_tried_less_and_less() {
        let mut outage = Outage::default();
        let pauses: Vec<u128> = (0..8)
            .map(|_| {
                outage.goes_on(&Error::Unavailable);
                outage.pause().as_millis()
            })
            .collect();
        assert_eq!(pauses, [0, 200, 400, 800, 1600, 3200, 5000, 5000]);
        outage.is_over();
        outage.goes_on(&Error::Unavailable);
        assert_eq!(outage.pause(), Duration::ZERO);
    }
}
