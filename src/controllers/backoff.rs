//! How long to wait after an error: longer each time, never at the same moment as everybody else.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use uuid::Uuid;

/// Pause after the first error.
const FIRST: Duration = Duration::from_millis(200);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(60);
/// Failing objects whose errors are counted: far more than fail at once for reasons of their own.
const REMEMBERED: usize = 10_000;

/// Counts errors in a row by object.
pub(super) struct Backoff<K> {
    failures: Mutex<HashMap<K, u32>>,
}

impl<K> Default for Backoff<K> {
    fn default() -> Self {
        Self { failures: Mutex::default() }
    }
}

impl<K: Eq + Hash> Backoff<K> {
    /// The pause after one more error.
    pub(super) fn failed(&self, key: K) -> Duration {
        let mut failures = self.failures.lock();
        if failures.len() >= REMEMBERED {
            // Objects that were deleted while they failed; those that still fail start over with short pauses.
            failures.clear();
        }
        let count = failures.entry(key).or_insert(0);
        *count = count.saturating_add(1);
        pause(*count, Uuid::new_v4().as_bytes()[0])
    }

    /// It went well; the next error is the first again.
    pub(super) fn succeeded(&self, key: &K) {
        self.failures.lock().remove(key);
    }
}

/// The pause after the `count`th error in a row: doubled each time, and stretched by up to a half at random.
fn pause(count: u32, random: u8) -> Duration {
    let doubled = FIRST.saturating_mul(1 << (count - 1).min(16)).min(LONGEST);
    doubled + doubled.mul_f64(f64::from(random) / 512.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_are_spread() {
        assert_eq!(pause(1, 0), FIRST);
        assert_eq!(pause(3, 0), FIRST * 4);
        assert_eq!(pause(500, 0), LONGEST);
        assert!(pause(1, 255) > FIRST && pause(1, 255) < FIRST * 2);
    }

    #[test]
    fn success_starts_over() {
        let backoff = Backoff::default();
        for _ in 0..10 {
            backoff.failed("a");
        }
        assert!(backoff.failed("a") > Duration::from_secs(10));
        backoff.succeeded(&"a");
        assert!(backoff.failed("a") < Duration::from_secs(1));
        assert!(backoff.failures.lock().contains_key("a"));
    }
}
