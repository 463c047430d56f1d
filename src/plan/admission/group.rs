//! The runs of one Job that are counted together.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::claim::Order;
use super::terms::Terms;
use crate::api::ConcurrencyPolicy;

/// The runs of one Job that are counted together, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) waiting: BTreeSet<Order>,
    /// Those that have a place.
    pub(super) holding: BTreeSet<Order>,
    /// Those that waited too long and are about to end.
    pub(super) late: BTreeSet<Order>,
    /// The one that is said to be next.
    pub(super) head: Option<Order>,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.holding.is_empty() && self.late.is_empty()
    }

    /// Every run, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Order> {
        self.waiting.iter().chain(&self.holding).chain(&self.late)
    }

    /// Places that nobody has.
    pub(super) fn free(&self, limit: Option<usize>) -> usize {
        limit.map_or(usize::MAX, |limit| limit.saturating_sub(self.holding.len()))
    }

    /// The run that the Job lets start next.
    ///
    /// Where later runs replace earlier ones it is the last that came: with a place free, fewer than `limit` came later.
    pub(super) fn next(&self, terms: &Terms) -> Option<&Order> {
        if terms.is_suspended || self.free(terms.limit) == 0 {
            return None;
        }
        match terms.policy {
            ConcurrencyPolicy::Allow | ConcurrencyPolicy::Queue | ConcurrencyPolicy::Forbid => {
                self.waiting.first()
            }
            ConcurrencyPolicy::Replace => self.waiting.last(),
        }
    }

    /// Whether a waiting run finds every place taken, or promised to runs before it.
    pub(super) fn is_full_for(&self, order: &Order, terms: &Terms) -> bool {
        let before = self.waiting.range(..order).take(terms.limit.unwrap_or(0)).count();
        terms.limit.is_some_and(|limit| self.holding.len() + before >= limit)
    }

    /// The last run of those that came after this one, if they are enough to take every place.
    pub(super) fn replacement(&self, order: &Order, limit: usize) -> Option<&Order> {
        let later = (Bound::Excluded(order), Bound::Unbounded);
        let count = |set: &BTreeSet<Order>| set.range(later).take(limit).count();
        if count(&self.waiting) + count(&self.holding) < limit {
            return None;
        }
        self.waiting.last().max(self.holding.last())
    }

    /// The first run, from the last, whose place later ones take.
    pub(super) fn displaced(&self, limit: usize) -> Option<&Order> {
        let (mut waiting, mut holding) =
            (self.waiting.iter().rev().peekable(), self.holding.iter().rev().peekable());
        let mut later = || if waiting.peek() > holding.peek() { waiting.next() } else { holding.next() };
        for _ in 0..limit {
            later()?;
        }
        later()
    }
}
