//! Pauses that double up to a limit.

use std::time::Duration;

/// The pauses between attempts of one thing.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// How long to wait now; the next wait is twice as long.
    pub(super) fn next(&mut self) -> Duration {
        let now = self.next.min(self.most);
        self.next = now.saturating_mul(2).min(self.most);
        now
    }

    /// After a success: starts over.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(300));
        let pauses: Vec<_> = (0..7).map(|_| backoff.next().as_secs()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300]);
        backoff.reset();
        assert_eq!(backoff.next().as_secs(), 10);
    }

    #[test]
    fn the_limit_holds_from_the_start() {
        let mut backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(5));
        assert_eq!(backoff.next().as_secs(), 5);
    }
}
