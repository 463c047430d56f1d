//! Exponential waiting between attempts.
//!
//! With `backoffLimitPerIndex` each index waits on its own: its last failed Pod, which is kept until it is replaced, tells how
//! often and when it failed. Without it the whole Job waits, and the streak of failures is memory of the controller: a restart forgets
//! it, as in a cluster.

use jiff::SignedDuration;
use jiff::Timestamp;
use std::time::Duration;

/// How long to wait after failures: `base`, doubled with each further failure, at most `cap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) base: Duration,
    pub(super) cap: Duration,
}

impl Pace {
    /// When the next attempt may start after the `failures`-th failure in a row, which was at `last`. A `last` that lies in the
    /// future (clocks differ between machines) counts as now.
    pub(super) fn until(self, failures: u32, last: Timestamp, now: Timestamp) -> Timestamp {
        let Some(doublings) = failures.checked_sub(1) else { return now };
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        let wait = self.base.saturating_mul(factor).min(self.cap);
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
        last.min(now).saturating_add(wait).unwrap_or(Timestamp::MAX)
    }
}

/// Failures of a Job since its last success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Streak {
    pub(super) failures: u32,
    pub(super) last: Option<Timestamp>,
}

impl Streak {
    /// The streak after further Pods ended at these times.
    pub(super) fn after(&self, succeeded: &[Timestamp], failed: &[Timestamp]) -> Self {
        let Some(success) = succeeded.iter().max() else {
            let more = u32::try_from(failed.len()).unwrap_or(u32::MAX);
            return Self {
                failures: self.failures.saturating_add(more),
                last: self.last.max(failed.iter().max().copied()),
            };
        };
        let later: Vec<Timestamp> = failed.iter().filter(|end| *end > success).copied().collect();
        Self { failures: u32::try_from(later.len()).unwrap_or(u32::MAX), last: later.iter().max().copied() }
    }

    /// When the next attempt may start.
    pub(super) fn until(&self, pace: Pace, now: Timestamp) -> Timestamp {
        self.last.map_or(now, |last| pace.until(self.failures, last, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { base: Duration::from_secs(10), cap: Duration::from_secs(600) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).expect("a time")
    }

    #[test]
    fn waits_double_up_to_the_cap() {
        for (failures, wait) in
            [(0, 100), (1, 10), (2, 20), (3, 40), (6, 320), (7, 600), (40, 600), (u32::MAX, 600)]
        {
            assert_eq!(PACE.until(failures, at(0), at(100)), at(wait), "{failures}");
        }
    }

    #[test]
    fn a_failure_in_the_future_counts_as_now() {
        assert_eq!(PACE.until(1, at(5000), at(100)), at(110));
    }

    #[test]
    fn the_largest_waits_do_not_overflow() {
        let endless = Pace { base: Duration::MAX, cap: Duration::MAX };
        assert_eq!(endless.until(9, at(0), at(0)), Timestamp::MAX);
    }

    #[test]
    fn a_success_ends_the_streak_and_later_failures_begin_a_new_one() {
        let before = Streak { failures: 4, last: Some(at(1)) };
        for (succeeded, failed, failures, last) in [
            (&[][..], &[][..], 4, Some(at(1))),
            (&[], &[at(3), at(2)], 6, Some(at(3))),
            (&[at(5)], &[], 0, None),
            (&[at(5)], &[at(4), at(5)], 0, None),
            (&[at(2), at(5)], &[at(4), at(6), at(9)], 2, Some(at(9))),
        ] {
            assert_eq!(
                before.after(succeeded, failed),
                Streak { failures, last },
                "{succeeded:?} {failed:?}"
            );
        }
    }

    #[test]
    fn a_job_without_failures_does_not_wait() {
        assert_eq!(Streak::default().until(PACE, at(7)), at(7));
        assert_eq!(Streak { failures: 2, last: Some(at(1)) }.until(PACE, at(7)), at(21));
    }
}
