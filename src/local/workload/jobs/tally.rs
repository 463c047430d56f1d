//! What the Pods of a Job amount to: who is active, what succeeded, what failed, which failures still wait for their replacement.

use crate::local::workload::jobs::attempt::Attempt;
use crate::local::workload::jobs::attempt::Phase;
use crate::local::workload::jobs::backoff::Streak;
use crate::local::workload::jobs::ending;
use crate::local::workload::jobs::indexes::Indexes;
use crate::local::workload::jobs::names::condition;
use crate::local::workload::jobs::policy;
use crate::local::workload::jobs::policy::Verdict;
use crate::local::workload::jobs::terms::Terms;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::batch::v1::JobStatus;
use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Arc;

/// A Job and its Pods, sorted and counted.
#[derive(Debug)]
pub(super) struct Tally<'a> {
    pub(super) terms: &'a Terms<'a>,
    pub(super) namespace: &'a str,
    pub(super) active: Vec<&'a Arc<Attempt>>,
    pub(super) terminating: Vec<&'a Arc<Attempt>>,
    /// With the finalizer, ordered by index, then name.
    pub(super) tracked: Vec<&'a Arc<Attempt>>,
    /// UIDs that the status lists as ended but not yet counted.
    pub(super) uncounted_succeeded: HashSet<&'a str>,
    pub(super) uncounted_failed: HashSet<&'a str>,
    /// Completions reached, those included that no status shows yet.
    pub(super) succeeded: u32,
    /// Failures that count, those included that no status shows yet.
    pub(super) failed: u32,
    pub(super) completed_indexes: Indexes,
    /// None unless each index has its own limit.
    pub(super) failed_indexes: Option<Indexes>,
    /// The last failed Pod of each index that will be tried again. It keeps its finalizer until a replacement carries its counts on.
    pub(super) to_replace: BTreeMap<u32, &'a Arc<Attempt>>,
    pub(super) streak: Streak,
}

impl<'a> Tally<'a> {
    pub(super) fn of(
        job: &'a Job,
        terms: &'a Terms<'a>,
        attempts: &'a [Arc<Attempt>],
        before: &Streak,
    ) -> Self {
        static NONE: JobStatus = EMPTY;
        let status = job.status.as_ref().unwrap_or(&NONE);
        let mut tracked: Vec<_> = attempts.iter().filter(|attempt| attempt.tracked()).collect();
        tracked.sort_by(|a, b| (a.index, &a.name).cmp(&(b.index, &b.name)));
        let uncounted = status.uncounted_terminated_pods.as_ref();
        let listed = |list: Option<&'a Vec<String>>| list.into_iter().flatten().map(String::as_str).collect();
        let mut tally = Self {
            terms,
            namespace: job.metadata.namespace.as_deref().unwrap_or_default(),
            active: attempts.iter().filter(|attempt| attempt.active()).collect(),
            terminating: attempts.iter().filter(|attempt| attempt.terminating()).collect(),
            tracked,
            uncounted_succeeded: listed(uncounted.and_then(|uncounted| uncounted.succeeded.as_ref())),
            uncounted_failed: listed(uncounted.and_then(|uncounted| uncounted.failed.as_ref())),
            succeeded: 0,
            failed: 0,
            completed_indexes: Indexes::default(),
            failed_indexes: None,
            to_replace: BTreeMap::new(),
            streak: Streak::default(),
        };
        if ending::holds(job, condition::FAILURE_TARGET).is_none() {
            tally.forgive(status);
        }
        tally.count(status, before);
        tally
    }

    /// A Pod that was listed as failed while it terminated, and then succeeded after all, is a success, unless its index was
    /// given up. A Job that fails keeps the failures that it fails for.
    fn forgive(&mut self, status: &JobStatus) {
        let given_up = Indexes::parse(status.failed_indexes.as_deref().unwrap_or_default(), u32::MAX);
        for attempt in self.tracked.iter().filter(|attempt| attempt.phase == Phase::Succeeded) {
            if !attempt.index.is_some_and(|index| given_up.contains(index)) {
                self.uncounted_failed.remove(attempt.uid.as_str());
            }
        }
    }

    fn count(&mut self, status: &JobStatus, before: &Streak) {
        let fresh = |list: &HashSet<&str>, ended: &dyn Fn(&Attempt) -> bool| -> Vec<&'a Arc<Attempt>> {
            let new = |attempt: &&&Arc<Attempt>| {
                self.valid(attempt) && !list.contains(attempt.uid.as_str()) && ended(attempt)
            };
            self.tracked.iter().filter(new).copied().collect()
        };
        let succeeded = fresh(&self.uncounted_succeeded, &|attempt| attempt.phase == Phase::Succeeded);
        let failed = fresh(&self.uncounted_failed, &|attempt| self.failed(attempt));
        let ends =
            |list: &[&'a Arc<Attempt>]| list.iter().map(|attempt| attempt.finished).collect::<Vec<_>>();
        self.streak = before.after(&ends(&succeeded), &ends(&failed));

        let counted = failed.iter().filter(|attempt| self.verdict(attempt) != Verdict::Ignore).count();
        self.failed = natural(status.failed) + size(self.uncounted_failed.len()) + size(counted);
        if !self.terms.indexed {
            self.succeeded =
                natural(status.succeeded) + size(self.uncounted_succeeded.len()) + size(succeeded.len());
            return;
        }
        let limit = self.terms.completions.unwrap_or(0);
        let read = |text: Option<&String>| Indexes::parse(text.map_or("", String::as_str), limit);
        // An index never stands in both lists: the first end that was recorded stays.
        let failed_before = read(status.failed_indexes.as_ref());
        let open = |attempt: &&Arc<Attempt>| attempt.index.filter(|index| !failed_before.contains(*index));
        self.completed_indexes =
            read(status.completed_indexes.as_ref()).with(succeeded.iter().filter_map(open));
        self.succeeded = self.completed_indexes.len();
        if self.terms.per_index.is_some() {
            let lost =
                self.tracked.iter().filter(|attempt| self.valid(attempt) && self.index_failed(attempt));
            let lost = lost
                .filter_map(|attempt| attempt.index)
                .filter(|index| !self.completed_indexes.contains(*index));
            self.failed_indexes = Some(failed_before.with(lost));
            self.to_replace = self.replaceable();
        }
    }

    fn replaceable(&self) -> BTreeMap<u32, &'a Arc<Attempt>> {
        let running = self.active_indexes();
        let mut last: BTreeMap<u32, &'a Arc<Attempt>> = BTreeMap::new();
        for attempt in
            self.tracked.iter().copied().filter(|attempt| self.valid(attempt) && self.failed(attempt))
        {
            let Some(index) = attempt.index else { continue };
            if self.ended(index) || running.contains(&index) {
                continue;
            }
            let age = |attempt: &Attempt| (attempt.failures + attempt.ignored, attempt.finished);
            if last.get(&index).is_none_or(|before| age(before) <= age(attempt)) {
                last.insert(index, attempt);
            }
        }
        last
    }

    /// Whether the Pod belongs to the Job's completions: in an Indexed Job one with an index in range.
    pub(super) fn valid(&self, attempt: &Attempt) -> bool {
        !self.terms.indexed
            || attempt.index.is_some_and(|index| self.terms.completions.is_some_and(|limit| index < limit))
    }

    /// Whether the Pod counts as failed. One that is being deleted does, unless only ended Pods are replaced.
    pub(super) fn failed(&self, attempt: &Attempt) -> bool {
        attempt.phase == Phase::Failed || (!self.terms.replace_failed_only && attempt.terminating())
    }

    /// What the failure policy says of the Pod.
    pub(super) fn verdict(&self, attempt: &Attempt) -> Verdict {
        policy::judge(self.terms.failure_policy, self.namespace, attempt)
    }

    fn index_failed(&self, attempt: &Attempt) -> bool {
        self.failed(attempt)
            && match self.verdict(attempt) {
                Verdict::FailIndex => true,
                Verdict::Ignore => false,
                Verdict::Count | Verdict::FailJob(_) => {
                    self.terms.per_index.is_some_and(|limit| attempt.failures >= limit)
                }
            }
    }

    /// Whether the index succeeded or failed for good.
    pub(super) fn ended(&self, index: u32) -> bool {
        self.completed_indexes.contains(index)
            || self.failed_indexes.as_ref().is_some_and(|failed| failed.contains(index))
    }

    pub(super) fn active_indexes(&self) -> HashSet<u32> {
        self.active.iter().filter_map(|attempt| attempt.index).collect()
    }
}

/// A status without any field, to borrow where a Job has none.
const EMPTY: JobStatus = JobStatus {
    active: None,
    completed_indexes: None,
    completion_time: None,
    conditions: None,
    failed: None,
    failed_indexes: None,
    ready: None,
    start_time: None,
    succeeded: None,
    terminating: None,
    uncounted_terminated_pods: None,
};

/// A counter of the API as a number.
pub(super) fn natural(counter: Option<i32>) -> u32 {
    counter.map_or(0, |counter| u32::try_from(counter).unwrap_or(0))
}

/// The size of a collection as the API counts.
pub(super) fn size(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
