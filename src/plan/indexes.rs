//! Sets of task indexes as `batch/v1` writes them: `0,3-5,7`.

/// A set of indexes. What cannot be read of its text is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Indexes(Vec<(i32, i32)>);

impl Indexes {
    /// Reads `completedIndexes` or `failedIndexes`.
    pub(super) fn parse(text: Option<&str>) -> Self {
        let parts = text.unwrap_or_default().split(',').filter(|part| !part.is_empty());
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            (0 <= first && first <= last).then_some((first, last))
        };
        Self(parts.filter_map(range).collect())
    }

    /// How many there are.
    pub(super) fn count(&self) -> i32 {
        self.0
            .iter()
            .map(|(first, last)| last.saturating_sub(*first).saturating_add(1))
            .fold(0, i32::saturating_add)
    }

    pub(super) fn contains(&self, index: i32) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&index))
    }

    /// The members, lowest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = i32> {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_single_indexes_are_read() {
        let found = Indexes::parse(Some("0,3-5,7"));
        assert_eq!(found.iter().collect::<Vec<_>>(), [0, 3, 4, 5, 7]);
        assert_eq!(found.count(), 5);
        assert!(found.contains(4) && !found.contains(6));
    }

    #[test]
    fn nothing_is_the_empty_set() {
        for text in [None, Some("")] {
            assert_eq!(Indexes::parse(text).count(), 0);
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_in_it() {
        for text in ["x", "-1", "3-1", "1-", "1-2-3", "99999999999"] {
            assert_eq!(Indexes::parse(Some(text)), Indexes::default(), "{text}");
        }
        assert_eq!(Indexes::parse(Some("x,2")).count(), 1);
    }
}
