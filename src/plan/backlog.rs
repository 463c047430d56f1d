//! Whether a Job lets another run wait.
//!
//! Whoever accepts runs knows what the Job's status says of those that wait, and what it accepted itself since. The bound is
//! therefore one on order of magnitude: what several accept at the same time, until the status is written again, may come on
//! top.

use crate::api::{ConcurrencyPolicy, DEFAULT_CONCURRENCY_LIMIT, Job};

/// How many runs may wait, if no other may: `since` runs were accepted since the Job's status was as it is here.
pub fn is_full(job: &Job, since: i64) -> Option<i64> {
    let concurrency = job.spec.concurrency.as_ref()?;
    let limit = concurrency.queue_limit?;
    let status = job.status.clone().unwrap_or_default();
    let waiting = status.queued_count;
    let free = match concurrency.policy {
        _ if job.spec.suspend || waiting > 0 => 0,
        ConcurrencyPolicy::Queue => {
            (concurrency.limit.unwrap_or(DEFAULT_CONCURRENCY_LIMIT) - status.running_count).max(0)
        }
        // Nothing of theirs waits for another of its Job.
        ConcurrencyPolicy::Allow | ConcurrencyPolicy::Forbid | ConcurrencyPolicy::Replace => i64::MAX,
    };
    let with_this = waiting.saturating_add(since.saturating_add(1).saturating_sub(free).max(0));
    (with_this > limit).then_some(limit)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(concurrency: &Value, suspend: bool, (queued, running): (i64, i64)) -> Job {
        serde_json::from_value(json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": "r"},
            "spec": {"suspend": suspend, "concurrency": concurrency,
                "template": {"spec": {"template": {"spec": {"containers": [{"image": "i"}]}}}}},
            "status": {"queuedCount": queued, "runningCount": running},
        }))
        .unwrap()
    }

    /// How many runs are taken after each other on one status, up to 20.
    fn taken(job: &Job) -> i64 {
        (0..20).find(|since| is_full(job, *since).is_some()).unwrap_or(20)
    }

    #[test]
    fn what_can_start_does_not_wait_and_the_rest_may_be_so_many() {
        let queue = json!({"policy": "Queue", "limit": 3, "queueLimit": 5});
        assert_eq!(taken(&job(&queue, false, (0, 0))), 8, "three start");
        assert_eq!(taken(&job(&queue, false, (0, 2))), 6);
        assert_eq!(taken(&job(&queue, false, (2, 3))), 3);
        assert_eq!(taken(&job(&queue, false, (5, 3))), 0);
        assert_eq!(taken(&job(&queue, false, (9, 9))), 0, "whatever came on top");
        assert_eq!(taken(&job(&queue, true, (0, 0))), 5, "nothing starts");
        assert_eq!(is_full(&job(&queue, true, (5, 0)), 0), Some(5));
        let nobody = json!({"policy": "Queue", "queueLimit": 0});
        assert_eq!(taken(&job(&nobody, false, (0, 0))), 1);
        assert_eq!(taken(&job(&nobody, false, (0, 1))), 0);
    }

    #[test]
    fn where_runs_do_not_wait_for_each_other_only_those_count_that_wait_all_the_same() {
        for policy in ["Allow", "Forbid", "Replace"] {
            let limited = json!({"policy": policy, "queueLimit": 5});
            assert_eq!(taken(&job(&limited, false, (0, 100))), 20, "{policy}");
            assert_eq!(taken(&job(&limited, false, (4, 100))), 1, "{policy}");
            assert_eq!(taken(&job(&limited, true, (0, 0))), 5, "{policy}");
        }
    }

    #[test]
    fn without_a_limit_there_is_none() {
        assert_eq!(taken(&job(&json!(null), true, (1_000_000, 0))), 20);
        assert_eq!(taken(&job(&json!({"policy": "Queue"}), false, (1_000_000, 1))), 20);
    }
}
