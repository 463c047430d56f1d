//! Entries by name in chunks that are shared with whoever reads them.

use std::sync::Arc;

use super::Entry;

/// Most entries of a chunk: what a change copies at most while somebody reads.
const CHUNK: usize = 256;

/// A few thousand entries are a few chunks: a copy of a bucket is a copy of that many pointers.
pub(super) struct Bucket<T> {
    /// By name, within a chunk and from one to the next; none is empty.
    chunks: Vec<Arc<Vec<Arc<Entry<T>>>>>,
}

impl<T> Bucket<T> {
    /// Adds an entry whose name is not there yet.
    pub(super) fn insert(&mut self, entry: Arc<Entry<T>>) {
        let Some(last) = self.chunks.len().checked_sub(1) else {
            return self.chunks.push(Arc::new(vec![entry]));
        };
        let at = self.chunk_of(&entry.name).min(last);
        let chunk = Arc::make_mut(&mut self.chunks[at]);
        let place = chunk.partition_point(|other| other.name < entry.name);
        chunk.insert(place, entry);
        if chunk.len() > CHUNK {
            let upper = chunk.split_off(CHUNK / 2);
            self.chunks.insert(at + 1, Arc::new(upper));
        }
    }

    /// Takes the entry of that name out.
    pub(super) fn remove(&mut self, name: &str) {
        let at = self.chunk_of(name);
        let Some(chunk) = self.chunks.get_mut(at) else { return };
        let Ok(place) = chunk.binary_search_by(|entry| (*entry.name).cmp(name)) else { return };
        if chunk.len() == 1 {
            self.chunks.remove(at);
        } else {
            Arc::make_mut(chunk).remove(place);
        }
    }

    /// The first chunk that goes as far as that name.
    fn chunk_of(&self, name: &str) -> usize {
        self.chunks.partition_point(|chunk| chunk.last().is_some_and(|last| *last.name < *name))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Entry<T>>> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }
}

impl<T> Default for Bucket<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T> Clone for Bucket<T> {
    fn clone(&self) -> Self {
        Self { chunks: self.chunks.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Filter;

    fn entry(number: usize) -> Arc<Entry<usize>> {
        let (name, value) = (format!("t{number:06}").into(), Arc::new(number));
        Arc::new(Entry { name, filter: Filter::nothing(), value })
    }

    fn numbers(bucket: &Bucket<usize>) -> Vec<usize> {
        bucket.iter().map(|entry| *entry.value).collect()
    }

    #[test]
    fn entries_stay_in_order_whatever_order_they_come_in() {
        let mut bucket = Bucket::default();
        // 7919 is prime to 5000, so each number comes once.
        for number in 0..5000 {
            bucket.insert(entry(number * 7919 % 5000));
        }
        assert_eq!(numbers(&bucket), (0..5000).collect::<Vec<_>>());
        assert!(bucket.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.len())));
        for number in (0..5000).filter(|number| number % 3 != 0) {
            bucket.remove(&entry(number).name);
        }
        assert_eq!(numbers(&bucket), (0..5000).step_by(3).collect::<Vec<_>>());
        bucket.remove("never there");
        for number in (0..5000).step_by(3) {
            bucket.remove(&entry(number).name);
        }
        assert!(bucket.is_empty() && numbers(&bucket).is_empty());
    }

    #[test]
    fn what_somebody_reads_does_not_change_and_only_one_chunk_is_copied() {
        let mut bucket = Bucket::default();
        (0..1000).for_each(|number| bucket.insert(entry(number)));
        let snapshot = bucket.clone();
        bucket.remove(&entry(500).name);
        assert_eq!((numbers(&snapshot).len(), numbers(&bucket).len()), (1000, 999));
        let same =
            bucket.chunks.iter().filter(|chunk| snapshot.chunks.iter().any(|old| Arc::ptr_eq(old, chunk)));
        assert_eq!(same.count(), bucket.chunks.len() - 1);
    }
}
