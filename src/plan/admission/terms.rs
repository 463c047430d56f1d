//! What a Job says about its runs' places, with every default filled in.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::claim::Order;
use crate::api::{ConcurrencyPolicy, DEFAULT_CONCURRENCY_LIMIT, Job};

/// What a Job says about its runs' places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Its name.
    pub(super) job: String,
    pub(super) policy: ConcurrencyPolicy,
    /// Runs at a time; none for as many as come.
    pub(super) limit: Option<usize>,
    /// Whether they are counted by their keys.
    pub(super) is_keyed: bool,
    pub(super) is_suspended: bool,
    timeout: Option<SignedDuration>,
}

impl Terms {
    /// What `job` says.
    pub fn of(job: &Job) -> Self {
        let concurrency = job.spec.concurrency.clone().unwrap_or_default();
        let counts = concurrency.policy != ConcurrencyPolicy::Allow;
        let limit = concurrency.limit.unwrap_or(DEFAULT_CONCURRENCY_LIMIT).max(1);
        Self {
            job: job.metadata.name.clone().unwrap_or_default(),
            policy: concurrency.policy,
            limit: counts.then(|| usize::try_from(limit).unwrap_or(usize::MAX)),
            is_keyed: counts && concurrency.key.is_some(),
            is_suspended: job.spec.suspend,
            timeout: concurrency.queue_timeout_seconds.map(SignedDuration::from_secs),
        }
    }

    /// Until when a run of that place in line may wait.
    pub(super) fn patience(&self, order: &Order) -> Option<Timestamp> {
        let timeout = self.timeout?;
        Some(order.since().saturating_add(timeout).unwrap_or(Timestamp::MAX))
    }

    /// For how long a run may wait, in words.
    pub(super) fn timeout(&self) -> String {
        self.timeout.map_or_else(String::new, |timeout| format!("{} s", timeout.as_secs()))
    }
}
