//! Whether the caches can be believed: has every watch listed once, and has one broken since.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

/// The kinds that are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watched {
    Executions,
    Jobs,
    Triggers,
    TaskSets,
    Pods,
}

impl Watched {
    const COUNT: usize = 5;
}

/// How long a watch that broke and then stayed silent counts as broken. A watch that mends itself says nothing until
/// something happens; one that does not mend reports an error every 90 seconds at least, which is its longest pause and
/// what its client puts up with ([`Manners`](crate::manners::Manners)).
const DOUBT: Duration = Duration::from_secs(120);

/// Health of the watches.
pub(super) struct Health {
    listed: watch::Sender<[bool; Watched::COUNT]>,
    broken: Mutex<[Option<Instant>; Watched::COUNT]>,
}

impl Default for Health {
    fn default() -> Self {
        Self { listed: watch::Sender::new([false; Watched::COUNT]), broken: Mutex::default() }
    }
}

impl Health {
    /// A watch has brought its whole list.
    pub(super) fn listed(&self, kind: Watched) {
        self.listed.send_modify(|listed| listed[kind as usize] = true);
    }

    /// Whether a watch has brought its whole list.
    pub(super) fn has_listed(&self, kind: Watched) -> bool {
        self.listed.borrow()[kind as usize]
    }

    /// A watch has brought something.
    pub(super) fn works(&self, kind: Watched) {
        self.broken.lock()[kind as usize] = None;
    }

    /// A watch broke at `now`.
    pub(super) fn broke(&self, kind: Watched, now: Instant) {
        self.broken.lock()[kind as usize] = Some(now);
    }

    /// Whether a cache may be behind the world.
    pub(super) fn is_doubtful(&self, now: Instant) -> bool {
        self.broken.lock().iter().flatten().any(|since| now.saturating_duration_since(*since) < DOUBT)
    }

    /// Waits until every watch has listed once.
    pub(super) async fn ready(&self) {
        let mut listed = self.listed.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        drop(listed.wait_for(|listed| listed.iter().all(|listed| *listed)).await);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn nothing_is_ready_before_every_watch_has_listed() {
        let health = Health::default();
        for kind in [Watched::Executions, Watched::Jobs, Watched::Triggers, Watched::TaskSets] {
            health.listed(kind);
        }
        assert!(health.ready().now_or_never().is_none());
        health.listed(Watched::Pods);
        assert!(health.ready().now_or_never().is_some());
    }

    #[test]
    fn a_broken_watch_is_doubted_until_it_speaks_or_was_long_silent() {
        let (health, now) = (Health::default(), Instant::now());
        assert!(!health.is_doubtful(now));
        health.broke(Watched::Pods, now);
        assert!(health.is_doubtful(now));
        assert!(!health.is_doubtful(now + DOUBT));
        health.works(Watched::Jobs);
        assert!(health.is_doubtful(now), "another watch's word does not help");
        health.works(Watched::Pods);
        assert!(!health.is_doubtful(now));
    }
}
