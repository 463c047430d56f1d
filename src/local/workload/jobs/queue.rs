//! Which Jobs to look at, now and later.

use crate::local::workload::jobs::cache::Uid;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::VecDeque;
use tokio::time::Instant;

/// Jobs to look at, each at most once now and once later. Its size is bounded by that of the cache.
#[derive(Debug, Default)]
pub(super) struct Queue {
    now: VecDeque<Uid>,
    waiting: HashSet<Uid>,
    later: BTreeSet<(Instant, Uid)>,
    due: HashMap<Uid, Instant>,
}

impl Queue {
    /// Look at the Job as soon as possible.
    pub(super) fn push(&mut self, uid: Uid) {
        if self.waiting.insert(uid.clone()) {
            self.now.push_back(uid);
        }
    }

    /// Look at the Job at this time, or earlier if that was asked for before.
    pub(super) fn push_at(&mut self, uid: Uid, at: Instant) {
        match self.due.get(&uid) {
            Some(before) if *before <= at => return,
            Some(before) => self.later.remove(&(*before, uid.clone())),
            None => false,
        };
        self.due.insert(uid.clone(), at);
        self.later.insert((at, uid));
    }

    /// When the next Job is due, if none is due now.
    pub(super) fn next(&self) -> Option<Instant> {
        self.later.first().map(|(at, _)| *at)
    }

    /// Moves what has become due.
    pub(super) fn advance(&mut self, now: Instant) {
        while self.later.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, uid)) = self.later.pop_first() else { return };
            self.due.remove(&uid);
            self.push(uid);
        }
    }

    /// The next Job. Whatever it waited for is forgotten: the pass says again what it waits for.
    pub(super) fn pop(&mut self) -> Option<Uid> {
        let uid = self.now.pop_front()?;
        self.waiting.remove(&uid);
        if let Some(at) = self.due.remove(&uid) {
            self.later.remove(&(at, uid.clone()));
        }
        Some(uid)
    }

    /// Forgets a Job.
    pub(super) fn remove(&mut self, uid: &Uid) {
        if let Some(at) = self.due.remove(uid) {
            self.later.remove(&(at, uid.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn uid(text: &str) -> Uid {
        text.into()
    }

    #[test]
    fn a_job_waits_only_once_and_in_order() {
        let mut queue = Queue::default();
        for name in ["a", "b", "a"] {
            queue.push(uid(name));
        }
        assert_eq!([queue.pop(), queue.pop(), queue.pop()], [Some(uid("a")), Some(uid("b")), None]);
    }

    #[test]
    fn the_earlier_time_wins_and_a_look_forgets_the_later_one() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        queue.push_at(uid("a"), after(5));
        queue.push_at(uid("a"), after(3));
        queue.push_at(uid("a"), after(9));
        queue.push_at(uid("b"), after(4));
        assert_eq!(queue.next(), Some(after(3)));
        queue.advance(after(3));
        assert_eq!((queue.pop(), queue.pop(), queue.next()), (Some(uid("a")), None, Some(after(4))));
        queue.push(uid("b"));
        assert_eq!((queue.pop(), queue.next()), (Some(uid("b")), None));
        queue.push_at(uid("c"), after(1));
        queue.remove(&uid("c"));
        assert_eq!(queue.next(), None);
    }
}
