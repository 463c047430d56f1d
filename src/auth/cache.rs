//! Answers that are still fresh, and no more than fit.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What an answer is found by: a SHA-256, so that no token is kept.
pub(super) type Key = [u8; 32];

/// Answers by the hash of their question.
pub(super) struct Cache<V> {
    fresh: Duration,
    most: usize,
    inner: Mutex<Inner<V>>,
}

struct Inner<V> {
    answers: HashMap<Key, Answer<V>>,
    /// Every answer lives equally long, so the one that came first goes first: its number, its end and its question.
    order: VecDeque<(u64, Instant, Key)>,
    /// Answers so far.
    count: u64,
}

struct Answer<V> {
    number: u64,
    ends: Instant,
    value: V,
}

impl<V: Clone> Cache<V> {
    /// Keeps each answer for `fresh`, and `most` of them.
    pub(super) fn new(fresh: Duration, most: usize) -> Self {
        let inner = Inner { answers: HashMap::new(), order: VecDeque::new(), count: 0 };
        Self { fresh, most, inner: Mutex::new(inner) }
    }

    /// The answer, if there is a fresh one.
    pub(super) fn get(&self, key: &Key) -> Option<V> {
        let inner = self.inner.lock();
        let answer = inner.answers.get(key)?;
        (answer.ends > Instant::now()).then(|| answer.value.clone())
    }

    /// Keeps an answer to a question that was asked at that time.
    pub(super) fn put(&self, key: Key, value: V, asked: Instant) {
        let ends = asked + self.fresh;
        let mut inner = self.inner.lock();
        let Inner { answers, order, count } = &mut *inner;
        *count += 1;
        let number = *count;
        answers.insert(key, Answer { number, ends, value });
        order.push_back((number, ends, key));
        let now = Instant::now();
        // As many lines as answers, and one for each that was replaced: those go with their time, or with the room.
        while order.front().is_some_and(|(_, ends, _)| *ends <= now) || order.len() > self.most {
            let Some((number, _, key)) = order.pop_front() else { break };
            if answers.get(&key).is_some_and(|current| current.number == number) {
                answers.remove(&key);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.inner.lock().answers.len()
    }
}

impl<V> std::fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("fresh", &self.fresh).field("most", &self.most).finish_non_exhaustive()
    }
}
