//! Whether the caches can be believed: has every watch listed once, and has one broken since.

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

/// Health of the watches.
pub(super) struct Health {
    listed: watch::Sender<[bool; Watched::COUNT]>,
    broken: Mutex<[bool; Watched::COUNT]>,
}

impl Default for Health {
    fn default() -> Self {
        Self { listed: watch::Sender::new([false; Watched::COUNT]), broken: Mutex::default() }
    }
}

impl Health {
    /// A watch has brought its whole list: whatever was missed before is known now.
    pub(super) fn listed(&self, kind: Watched) {
        self.broken.lock()[kind as usize] = false;
        self.listed.send_modify(|listed| listed[kind as usize] = true);
    }

    /// Whether a watch has brought its whole list.
    pub(super) fn has_listed(&self, kind: Watched) -> bool {
        self.listed.borrow()[kind as usize]
    }

    /// A watch broke: until it has listed again, its cache may be behind the world.
    pub(super) fn broke(&self, kind: Watched) {
        self.broken.lock()[kind as usize] = true;
    }

    /// Whether the caches show the world as it was a moment ago.
    pub(super) fn is_good(&self) -> bool {
        self.listed.borrow().iter().all(|listed| *listed) && !self.broken.lock().contains(&true)
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
    fn a_broken_watch_is_doubted_until_it_has_listed_again() {
        let health = Health::default();
        let all = [Watched::Executions, Watched::Jobs, Watched::Triggers, Watched::TaskSets, Watched::Pods];
        for kind in all {
            assert!(!health.is_good());
            health.listed(kind);
        }
        assert!(health.is_good());
        health.broke(Watched::Pods);
        assert!(!health.is_good());
        health.listed(Watched::Jobs);
        assert!(!health.is_good(), "another list does not help");
        health.listed(Watched::Pods);
        assert!(health.is_good());
    }
}
