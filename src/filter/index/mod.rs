//! Many filters, found by the exact values that they ask for.
//!
//! Of a thousand Triggers an event concerns a handful. A filter that can only pass events of certain types or sources
//! is kept under those, any other in a bucket that is asked about every event. So an event costs two look-ups, the
//! filters of its own type and source, and the ones that cannot be told apart beforehand.
//!
//! Taking [`Index::candidates`] copies a few pointers; the filters run on that snapshot, and whoever changes the index
//! meanwhile waits for nobody and copies at most one chunk.

mod bucket;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use self::bucket::Bucket;
use super::Filter;
use super::terms::{Term, terms};
use crate::cel::Input;
use crate::event::Event;

/// Something with a filter, under a name.
struct Entry<T> {
    name: Box<str>,
    filter: Filter,
    value: Arc<T>,
}

/// Filters by name, each with what it stands for.
pub struct Index<T> {
    entries: HashMap<Box<str>, Arc<Entry<T>>>,
    by_type: HashMap<Box<str>, Bucket<T>>,
    by_source: HashMap<Box<str>, Bucket<T>>,
    /// Those that may pass any type and source.
    rest: Bucket<T>,
}

impl<T> Index<T> {
    /// Adds a filter, or replaces the one of that name.
    pub fn insert(&mut self, name: &str, filter: Filter, value: T) {
        self.remove(name);
        let entry = Arc::new(Entry { name: name.into(), filter, value: Arc::new(value) });
        match terms(&entry.filter.0) {
            None => self.rest.insert(entry.clone()),
            Some(terms) => {
                for term in terms {
                    let (rows, value) = self.rows(term);
                    rows.entry(value.into()).or_default().insert(entry.clone());
                }
            }
        }
        self.entries.insert(name.into(), entry);
    }

    /// Takes the filter of that name out, if there is one.
    pub fn remove(&mut self, name: &str) {
        let Some(entry) = self.entries.remove(name) else { return };
        let Some(terms) = terms(&entry.filter.0) else { return self.rest.remove(name) };
        for term in terms {
            let (rows, value) = self.rows(term);
            if let Some(bucket) = rows.get_mut(value) {
                bucket.remove(name);
                if bucket.is_empty() {
                    rows.remove(value);
                }
            }
        }
    }

    fn rows<'a>(&mut self, term: Term<'a>) -> (&mut HashMap<Box<str>, Bucket<T>>, &'a str) {
        match term {
            Term::Type(value) => (&mut self.by_type, value),
            Term::Source(value) => (&mut self.by_source, value),
        }
    }

    /// What the filter of that name stands for.
    pub fn get(&self, name: &str) -> Option<&Arc<T>> {
        self.entries.get(name).map(|entry| &entry.value)
    }

    /// What all the filters stand for, in no order.
    pub fn values(&self) -> impl Iterator<Item = &Arc<T>> {
        self.entries.values().map(|entry| &entry.value)
    }

    /// Whether there is no filter.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of filters.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The filters that an event may pass, as they are now.
    pub fn candidates(&self, event: &Event) -> Candidates<T> {
        let of_type = self.by_type.get(event.kind()).cloned().unwrap_or_default();
        let of_source = self.by_source.get(event.source()).cloned().unwrap_or_default();
        Candidates { buckets: [of_type, of_source, self.rest.clone()] }
    }
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            by_type: HashMap::new(),
            by_source: HashMap::new(),
            rest: Bucket::default(),
        }
    }
}

impl<T> fmt::Debug for Index<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("filters", &self.len()).finish_non_exhaustive()
    }
}

/// The filters that one event may pass.
pub struct Candidates<T> {
    buckets: [Bucket<T>; 3],
}

impl<T> Candidates<T> {
    /// What the filters stand for that let the event pass, and those that cannot be told, in the order of their names.
    ///
    /// All of them together have the event's budget. Half of it is shared out evenly; those that want more than their share
    /// are asked again when everybody had his turn, as long as anything is left. So a filter that takes long is nobody
    /// else's loss.
    pub fn matching(&self, event: &Event) -> Matches<T> {
        let input = Input::new(event);
        let (mut passed, mut dear, mut undecided) = (Vec::new(), Vec::new(), Vec::new());
        let entries = self.buckets.iter().flat_map(Bucket::iter);
        let share = input.share(2 * self.len());
        for entry in entries {
            match entry.filter.lets_pass_within(&input, share) {
                Some(true) => passed.push(entry.as_ref()),
                Some(false) => {}
                None => dear.push(entry.as_ref()),
            }
        }
        for entry in dear {
            match entry.filter.lets_pass_within(&input, u32::MAX) {
                Some(true) => passed.push(entry),
                Some(false) => {}
                None => undecided.push(entry),
            }
        }
        Matches { passed: values(passed), undecided: values(undecided) }
    }

    /// Number of filters; one that asks for a type or a source may be counted for both.
    fn len(&self) -> usize {
        self.buckets.iter().map(Bucket::len).sum()
    }
}

impl<T> fmt::Debug for Candidates<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidates").field("filters", &self.len()).finish_non_exhaustive()
    }
}

/// What the entries stand for, by name. One that asks for a type or a source may have been found by both.
fn values<T>(mut entries: Vec<&Entry<T>>) -> Vec<Arc<T>> {
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    entries.dedup_by(|a, b| a.name == b.name);
    entries.into_iter().map(|entry| entry.value.clone()).collect()
}

/// What became of the filters that one event may pass.
#[derive(Debug)]
pub struct Matches<T> {
    /// Those that let it pass.
    pub passed: Vec<Arc<T>>,
    /// Those of which nobody can say, because all expressions together may not take longer for one event.
    pub undecided: Vec<Arc<T>>,
}

impl<T> Default for Matches<T> {
    fn default() -> Self {
        Self { passed: Vec::new(), undecided: Vec::new() }
    }
}

#[cfg(test)]
mod tests;
