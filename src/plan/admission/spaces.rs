//! Namespaces, whose runs take turns where there is not room for all.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::claim::Order;

/// Bounds on runs that are under way, over all Jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Guards {
    /// Of all namespaces together; none for no bound.
    pub live: Option<usize>,
    /// Of one namespace; none for no bound.
    pub live_per_namespace: Option<usize>,
}

/// A run that its Job lets start next: its place in line, the uid of the Job, and the key.
pub(super) type Head = (Order, String, Option<String>);

/// One namespace.
#[derive(Debug, Default)]
struct Space {
    live: usize,
    /// The next run of every group that has one.
    heads: BTreeSet<Head>,
}

/// All namespaces.
#[derive(Debug, Default)]
pub(super) struct Spaces {
    guards: Guards,
    live: usize,
    all: BTreeMap<String, Space>,
    /// Those in which a run could start.
    ready: BTreeSet<String>,
    /// The one whose turn it was last.
    last: String,
}

impl Spaces {
    pub(super) fn new(guards: Guards) -> Self {
        Self { guards, ..Self::default() }
    }

    /// The run whose turn it is, if there is room for it: the one that came first in the next namespace.
    pub(super) fn next(&self) -> Option<(&str, &Head)> {
        if self.guards.live.is_some_and(|limit| self.live >= limit) {
            return None;
        }
        let later = (Bound::Excluded(self.last.as_str()), Bound::Unbounded);
        let namespace = self.ready.range::<str, _>(later).next().or_else(|| self.ready.first())?;
        Some((namespace, self.all.get(namespace)?.heads.first()?))
    }

    /// That namespace had its turn.
    pub(super) fn served(&mut self, namespace: &str) {
        namespace.clone_into(&mut self.last);
    }

    /// Which bound keeps the runs of that namespace from starting, in words, if one does.
    pub(super) fn obstacle(&self, namespace: &str) -> Option<String> {
        let here = self.all.get(namespace).map_or(0, |space| space.live);
        if let Some(limit) = self.guards.live_per_namespace.filter(|limit| here >= *limit) {
            return Some(format!(
                "waits for one of the {limit} runs that namespace {namespace} may have under way"
            ));
        }
        let limit = self.guards.live.filter(|limit| self.live >= *limit)?;
        Some(format!("waits for one of the {limit} runs that may be under way in all namespaces"))
    }

    /// A run there got a place.
    pub(super) fn took(&mut self, namespace: &str) {
        self.live += 1;
        self.change(namespace, |space| space.live += 1);
    }

    /// A run there gave its place back.
    pub(super) fn gave_back(&mut self, namespace: &str) {
        self.live = self.live.saturating_sub(1);
        self.change(namespace, |space| space.live = space.live.saturating_sub(1));
    }

    /// A group of that namespace has another next run.
    pub(super) fn lead(&mut self, namespace: &str, old: Option<Head>, new: Option<Head>) {
        self.change(namespace, |space| {
            if let Some(old) = old {
                space.heads.remove(&old);
            }
            space.heads.extend(new);
        });
    }

    fn change(&mut self, namespace: &str, change: impl FnOnce(&mut Space)) {
        let space = self.all.entry(namespace.to_owned()).or_default();
        change(space);
        let has_room = self.guards.live_per_namespace.is_none_or(|limit| space.live < limit);
        let (is_ready, is_idle) =
            (has_room && !space.heads.is_empty(), space.live == 0 && space.heads.is_empty());
        if is_ready && !self.ready.contains(namespace) {
            self.ready.insert(namespace.to_owned());
        } else if !is_ready {
            self.ready.remove(namespace);
        }
        if is_idle {
            self.all.remove(namespace);
        }
    }

    #[cfg(test)]
    pub(super) fn live(&self) -> usize {
        self.live
    }
}
