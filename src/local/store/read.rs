//! Reads: one key, or a range of keys as they were at one revision.
//!
//! A paged list must not change between its pages. The database only has the present, so the past is rebuilt from it:
//! every change after the wanted revision that is still in the log is undone on the way.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use redb::ReadTransaction;

use crate::local::store::Error;
use crate::local::store::Row;
use crate::local::store::Store;
use crate::local::store::disk;
use crate::local::store::disk::ROWS;
use crate::local::store::log::Change;

/// A part of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The revision at which the range was read.
    pub revision: u64,
    /// In the order of their keys.
    pub rows: Vec<Row>,
    /// Whether there are rows after the last one.
    pub more: bool,
}

/// What each key changed since the wanted revision was at that revision.
type Past = BTreeMap<Arc<str>, Option<Row>>;

impl Store {
    /// What is stored under the key.
    pub fn get(&self, key: &str) -> Result<Option<Row>, Error> {
        let rows = self.disk.read()?.open_table(ROWS)?;
        let Some(found) = rows.get(key)? else { return Ok(None) };
        let (revision, value) = found.value();
        Ok(Some(Row { key: Arc::from(key), revision, value: Bytes::copy_from_slice(value) }))
    }

    /// The rows below `prefix` whose keys come after `after`, at most `limit` of them, as they are now or as they were at
    /// revision `at` if the log still knows.
    pub async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<u64>,
    ) -> Result<Page, Error> {
        let snapshot = self.disk.read()?;
        let current = disk::revision(&snapshot)?;
        let past = match at {
            Some(at) if at > current => return Err(Error::Gone { asked: at, oldest: current }),
            Some(at) if at < current => {
                self.log.reached(current).await?;
                past(&self.log.after(at)?, prefix, current)
            }
            _ => Past::new(),
        };
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        let read = move || scan(&snapshot, &past, &prefix, after.as_deref(), limit);
        let (rows, more) = tokio::task::spawn_blocking(read).await.map_err(|_| Error::Closed)??;
        Ok(Page { revision: at.unwrap_or(current), rows, more })
    }

    /// How many keys below `prefix` come after `after`, now.
    pub async fn count(&self, prefix: &str, after: Option<&str>) -> Result<usize, Error> {
        let snapshot = self.disk.read()?;
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        let read = move || {
            let rows = snapshot.open_table(ROWS)?;
            let mut counted = 0;
            for entry in rows.range::<&str>((start(&prefix, after.as_deref()), Bound::Unbounded))? {
                if !entry?.0.value().starts_with(&prefix) {
                    break;
                }
                counted += 1;
            }
            Ok(counted)
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| Error::Closed)?
    }
}

/// The state before the oldest change of each key is its state at the wanted revision.
fn past(changes: &[Arc<Change>], prefix: &str, current: u64) -> Past {
    let mut past = Past::new();
    // A change after the snapshot is not in what the snapshot shows, so there is nothing to undo.
    for change in changes.iter().filter(|change| change.revision <= current && change.key.starts_with(prefix))
    {
        past.entry(Arc::clone(&change.key)).or_insert_with(|| change.before.clone());
    }
    past
}

fn start<'a>(prefix: &'a str, after: Option<&'a str>) -> Bound<&'a str> {
    match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    }
}

/// Merges the snapshot with the past, both in key order.
fn scan(
    snapshot: &ReadTransaction,
    past: &Past,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<Row>, bool), Error> {
    let from = start(prefix, after);
    let rows = snapshot.open_table(ROWS)?;
    let mut present = rows.range::<&str>((from, Bound::Unbounded))?;
    let mut past = past.range::<str, _>((from, Bound::Unbounded)).peekable();
    let mut found = Vec::new();
    let mut next = present.next().transpose()?;
    loop {
        let key = next.as_ref().map(|(key, _)| key.value()).filter(|key| key.starts_with(prefix));
        // The past has the last word about the keys it knows.
        let old = past.next_if(|(old, _)| key.is_none_or(|key| ***old <= *key));
        let row = match (key, &old) {
            (None, None) => return Ok((found, false)),
            (_, Some((_, row))) => Option::clone(row),
            (Some(key), None) => {
                let value = next.as_ref().map(|(_, value)| value.value());
                value.map(|(revision, value)| Row {
                    key: Arc::from(key),
                    revision,
                    value: Bytes::copy_from_slice(value),
                })
            }
        };
        if key.is_some_and(|key| old.is_none_or(|(old, _)| **old == *key)) {
            next = present.next().transpose()?;
        }
        if let Some(row) = row {
            if found.len() == limit {
                return Ok((found, true));
            }
            found.push(row);
        }
    }
}
