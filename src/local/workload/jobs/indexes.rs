//! Sets of completion indexes and their compressed text, as in `status.completedIndexes`: `0,3-5,7`.
//!
//! Two neighbours are written with a comma and three or more with a dash, as the Job API documents it. What cannot be read is left
//! out: a status that somebody damaged must not stop the Job.

use std::collections::BTreeSet;
use std::fmt;

/// A set of completion indexes, kept as ordered intervals that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes(Vec<(u32, u32)>);

impl Indexes {
    /// Reads the compressed text; indexes at or above `limit` (the Job's completions) are left out.
    pub(super) fn parse(text: &str, limit: u32) -> Self {
        let intervals = text.split(',').filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.trim().parse().ok()?, last.trim().parse::<u32>().ok()?);
            (first <= last && first < limit).then(|| (first, last.min(limit - 1)))
        });
        Self::from_intervals(intervals.collect())
    }

    fn from_intervals(mut intervals: Vec<(u32, u32)>) -> Self {
        intervals.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(intervals.len());
        for (first, last) in intervals {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    /// This set and the given indexes.
    pub(super) fn with(&self, more: impl IntoIterator<Item = u32>) -> Self {
        let added: BTreeSet<u32> = more.into_iter().collect();
        if added.iter().all(|index| self.contains(*index)) {
            return self.clone();
        }
        Self::from_intervals(
            self.0.iter().copied().chain(added.into_iter().map(|index| (index, index))).collect(),
        )
    }

    /// This set and another.
    pub(super) fn union(&self, other: &Self) -> Self {
        Self::from_intervals(self.0.iter().chain(&other.0).copied().collect())
    }

    pub(super) fn contains(&self, index: u32) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= index);
        after > 0 && self.0[after - 1].1 >= index
    }

    /// How many indexes the set holds.
    pub(super) fn len(&self) -> u32 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// The indexes below `limit` that are not in the set, in order.
    pub(super) fn missing(&self, limit: u32) -> impl Iterator<Item = u32> {
        let starts = std::iter::once(0).chain(self.0.iter().map(|(_, last)| last.saturating_add(1)));
        let ends = self.0.iter().map(|(first, _)| *first).chain(std::iter::once(limit));
        starts.zip(ends).flat_map(move |(start, end)| start..end.min(limit))
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (first, last)) in self.0.iter().enumerate() {
            if position > 0 {
                out.write_str(",")?;
            }
            match last - first {
                0 => write!(out, "{first}")?,
                1 => write!(out, "{first},{last}")?,
                _ => write!(out, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(indexes: &[u32]) -> Indexes {
        Indexes::default().with(indexes.iter().copied())
    }

    #[test]
    fn the_text_follows_the_job_api() {
        for (indexes, text) in [
            (&[][..], ""),
            (&[0], "0"),
            (&[0, 1], "0,1"),
            (&[0, 1, 2], "0-2"),
            (&[1, 3, 4, 5, 7], "1,3-5,7"),
            (&[9, 2, 3, 8], "2,3,8,9"),
        ] {
            assert_eq!(set(indexes).to_string(), text);
        }
    }

    #[test]
    fn damaged_text_keeps_what_can_be_read() {
        for (text, limit, left) in [
            ("1,x,3-5", 10, "1,3-5"),
            ("5-3,7", 10, "7"),
            ("0-9", 4, "0-3"),
            ("4,5", 4, ""),
            ("-1,2", 10, "2"),
            ("3,1,2", 10, "1-3"),
            ("1-3,2-6", 10, "1-6"),
            ("0", 0, ""),
            ("4294967295", u32::MAX, ""),
        ] {
            assert_eq!(Indexes::parse(text, limit).to_string(), left, "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_set_are_the_same_thing(indexes in proptest::collection::btree_set(0_u32..200, 0..120)) {
            let it = Indexes::default().with(indexes.iter().copied());
            let back = Indexes::parse(&it.to_string(), 200);
            prop_assert_eq!(&back, &it);
            prop_assert_eq!(it.len() as usize, indexes.len());
            prop_assert!((0..200).all(|index| it.contains(index) == indexes.contains(&index)));
            let missing: Vec<u32> = it.missing(200).collect();
            let expected: Vec<u32> = (0..200).filter(|index| !indexes.contains(index)).collect();
            prop_assert_eq!(missing, expected);
        }

        #[test]
        fn a_union_holds_exactly_both(left in proptest::collection::btree_set(0_u32..60, 0..40), right in proptest::collection::btree_set(0_u32..60, 0..40)) {
            let (a, b) = (Indexes::default().with(left.iter().copied()), Indexes::default().with(right.iter().copied()));
            let both = a.union(&b);
            prop_assert!((0..60).all(|index| both.contains(index) == (left.contains(&index) || right.contains(&index))));
            prop_assert_eq!(&both, &a.with(right.iter().copied()));
        }

        #[test]
        fn reading_never_panics(text in "[0-9,\\- x]{0,40}", limit in 0_u32..50) {
            let it = Indexes::parse(&text, limit);
            prop_assert!(it.len() <= limit);
        }
    }
}
